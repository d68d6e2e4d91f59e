"""A cluster of kind: a control plane and a worker, each a container with a real kubelet."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.binaries import Say, cache, say
from tests.kind import programs
from tests.kind.engine import Engine, EngineError, needed, run
from tests.kind.images import REGISTRY

HERE = Path(__file__).parent

_NODE = f"{REGISTRY}/kindnode"
_CREATE_SECONDS = 300.0


@dataclass(frozen=True)
class KindCluster:
    """A cluster that runs; `kubeconfig` opens it as its administrator."""

    engine: Engine
    name: str
    kubeconfig: Path
    kind: Path
    kubectl_program: Path

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes, which are those of their containers: the control plane first."""
        return (f"{self.name}-control-plane", f"{self.name}-worker")

    def kubectl(self, *arguments: str, given: str = "", seconds: float = 60.0) -> str:
        """Run kubectl and return what it says. Raises `EngineError`."""
        command: list[str | Path] = [self.kubectl_program, f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, self.engine.environment, given=given.encode(), seconds=seconds)

    def address(self, node: str) -> str:
        """Return the IP address of a node, which this machine reaches."""
        return self.engine.docker("inspect", "--format", "{{.NetworkSettings.Networks.kind.IPAddress}}", node)

    def load(self, *images: str) -> None:
        """Bring images of the engine onto every node."""
        command: list[str | Path] = [self.kind, "load", "docker-image", *images, f"--name={self.name}"]
        run(command, self.engine.environment, seconds=300)


@contextmanager
def kind_cluster(engine: Engine, name: str = "comanda-tests", tell: Say = say) -> Iterator[KindCluster]:
    """Make a cluster of two nodes whose pods can run, and take it away at the end.

    Raises `EngineError`, `BuildError`.
    """
    built = programs.build(tell)
    image = node_image(engine, built, tell)
    with tempfile.TemporaryDirectory(prefix="kind") as folder:
        made = KindCluster(engine, name, Path(folder) / "kubeconfig", built["kind"], built["kubectl"])
        tell(f"» Making a cluster of two nodes ({name})")
        chosen = [f"--name={name}", f"--kubeconfig={made.kubeconfig}"]
        create: list[str | Path] = [made.kind, "create", "cluster", *chosen, "--config=-", "--wait=120s", "--quiet"]
        try:
            run(create, engine.environment, given=json.dumps(_config(image)).encode(), seconds=_CREATE_SECONDS)
            made.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s", seconds=150)
            firewall = (
                (HERE / "network-policies.yaml").read_text().replace("VERSION", programs.versions()["kube-router"])
            )
            made.kubectl("apply", "--filename=-", given=firewall)
            for workload in ("deployment/coredns", "daemonset/kube-router"):
                made.kubectl("--namespace=kube-system", "rollout", "status", workload, seconds=150)
            yield made
        finally:
            run([made.kind, "delete", "cluster", *chosen], engine.environment)
            with suppress(EngineError):  # others' clusters may be on it
                engine.docker("network", "rm", "kind")


def node_image(engine: Engine, built: Mapping[str, Path], tell: Say = say) -> str:
    """Return the name of the node image, built anew where anything that goes into it changed. Raises `EngineError`."""
    inputs = [
        path for path in sorted(HERE.rglob("*")) if path.name in {"node.sh", "go.sum"} or path.parent.name == "node"
    ]
    pins = [path.read_bytes() for path in inputs] + [str(sorted(programs.versions().items())).encode()]
    image = f"{_NODE}:{hashlib.sha256(b''.join(pins)).hexdigest()[:16]}"
    if engine.has_image(image):
        return image
    tell("» Building the image of a node (once; some two minutes)")
    for old in engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}", _NODE).split():
        engine.docker("rmi", "--force", old)
    for name in ("gcc", "jq", "debootstrap"):
        needed(name)
    with tempfile.TemporaryDirectory() as folder:
        for name, path in built.items():
            (Path(folder) / name).symlink_to(path)
        recipe = hashlib.sha256((HERE / "node.sh").read_bytes()).hexdigest()[:16]
        rootfs = cache() / "docker" / f"node-rootfs-{recipe}.tar"
        for outdated in set(rootfs.parent.glob("node-rootfs*.tar")) - {rootfs}:
            outdated.unlink()
        tagged = [f"{name}:{version}" for name, version in programs.versions().items()]
        command: list[str | Path] = [HERE / "node.sh", image, folder, programs.kind_files(), rootfs, *tagged]
        run(command, engine.environment, seconds=900)
    return image


def _config(image: str) -> Mapping[str, Any]:
    """Return kind's configuration. Without fsync etcd is faster; a power failure of the host would lose data."""
    tags = programs.versions()
    cluster = {
        "kind": "ClusterConfiguration",
        "imageRepository": REGISTRY,
        "etcd": {"local": {"imageTag": tags["etcd"], "extraArgs": {"unsafe-no-fsync": "true"}}},
        "dns": {"imageTag": tags["coredns"]},
    }
    # kubelets refuse cgroup v1 unless they are told not to.
    kubelet = {"kind": "KubeletConfiguration", "failCgroupV1": False}
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"disableDefaultCNI": True},  # the node brings its own, node/pod-network.sh
        "kubeadmConfigPatches": [json.dumps(cluster), json.dumps(kubelet)],
        "nodes": [{"role": role, "image": image} for role in ("control-plane", "worker")],
    }
