"""The compose file on a Docker Engine."""

from __future__ import annotations

from tests.e2e.where import CLUSTER

collect_ignore_glob = [] if CLUSTER == "kind" else ["test_*.py"]
