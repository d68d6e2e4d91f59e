"""The compose file on a Docker Engine; for `make e2e`."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("COMANDA_E2E") else ["test_*.py"]
