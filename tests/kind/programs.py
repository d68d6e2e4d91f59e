"""The programs of a kind cluster: those of the test API, those of a node, CoreDNS, kube-router, and kind itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.cluster.binaries import API, Module, Say, say

HERE = Path(__file__).parent

NODE = Module(
    HERE,
    {name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kube-scheduler", "kube-proxy", "kubeadm", "kubelet")},
)
COREDNS = Module(HERE / "coredns", {"coredns": "github.com/coredns/coredns"})
KUBE_ROUTER = Module(HERE / "kube-router", {"kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"})
KIND = Module(HERE / "program", {"kind": "sigs.k8s.io/kind"})
IMAGES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "kube-router")
"""Programs that run as containers of a cluster's own, each in an image of its own."""


def versions() -> Mapping[str, str]:
    """Return the version of each image of the cluster's own pods, as its tag."""
    kubernetes, etcd = API.version("k8s.io/kubernetes"), API.version("go.etcd.io/etcd/server/v3")
    firewall = KUBE_ROUTER.version("github.com/cloudnativelabs/kube-router/v2")
    other = {"etcd": etcd, "coredns": COREDNS.version("github.com/coredns/coredns"), "kube-router": firewall}
    return {name: other.get(name, kubernetes) for name in IMAGES}


def build(tell: Say = say) -> Mapping[str, Path]:
    """Build what is missing; return the path of each program. Raises `BuildError`."""
    return {
        name: folder / name
        for module in (API, NODE, COREDNS, KUBE_ROUTER, KIND)
        for folder in [module.build(tell)]
        for name in module.programs
    }


def kind_files() -> Path:
    """Return the folder of what kind's own base image consists of."""
    return KIND.source("sigs.k8s.io/kind") / "images/base/files"
