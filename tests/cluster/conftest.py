from __future__ import annotations

from tests.cluster.plugin import apiserver, apiserver_proxy, namespace, pytest_collection_finish

__all__ = ["apiserver", "apiserver_proxy", "namespace", "pytest_collection_finish"]
