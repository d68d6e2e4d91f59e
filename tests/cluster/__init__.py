"""A real Kubernetes API for the tests: etcd and kube-apiserver, built once, up in seconds, several side by side."""

from tests.cluster.proxy import FaultProxy
from tests.cluster.server import ApiServer, api_server
from tests.cluster.spare import reused_api_server

__all__ = ["ApiServer", "FaultProxy", "api_server", "reused_api_server"]
