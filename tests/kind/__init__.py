"""Kubernetes as it really is, without an image registry: a cluster of two nodes in containers, made by kind.

What a registry would give is built here once, into the tests' cache: the node image from Go modules and Debian
packages, images of PostgreSQL and of Comanda itself. A Docker Engine that answers is used, else one of our own.
"""

from tests.kind.cluster import KindCluster, kind_cluster
from tests.kind.engine import Engine, docker_engine

__all__ = ["Engine", "KindCluster", "docker_engine", "kind_cluster"]
