"""What pods reach and what they do not, where the nodes enforce policies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from comanda_operator.manifests.names import DELIVERIES, METRICS
from comanda_operator.reconcile import TENANTS
from tests.e2e.cluster.town import NUMBERS, OWN_NAMESPACE, POOL_PODS, Town
from tests.harness import until
from tests.kind.engine import EngineError
from tests.test_charts.chart import NAMESPACE

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

NEIGHBOUR = NUMBERS[8]
API_SERVICE = "kubernetes.default.svc"
KUBELET = 10250
_TRY = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    print("open")
except OSError:
    print("closed")
"""


@dataclass(frozen=True)
class Place:
    """Something that listens."""

    name: str
    host: str
    port: int


async def reaches(town: Town, namespace: str, pod: str, place: Place) -> bool:
    """Tell whether a pod can open a connection."""
    command = ["exec", f"--namespace={namespace}", pod, "--", "python", "-c", _TRY, place.host, str(place.port)]
    said = (await asyncio.to_thread(town.site.kubectl, *command)).strip()
    assert said in {"open", "closed"}
    return said == "open"


async def listens(town: Town, pod: dict[str, Any], place: Place) -> bool:
    """Tell whether something is there at all, asked from the pod's own node, which every policy lets pass."""
    command = ["exec", pod["spec"]["nodeName"], "bash", "-c", f"exec 3<>/dev/tcp/{place.host}/{place.port}"]
    try:
        await asyncio.to_thread(town.kind.engine.docker, *command)
    except EngineError:
        return False
    return True


async def places(town: Town) -> dict[str, Place]:
    """Return all that listens around the pods of a restaurant, each looked at from its own node."""
    ports = {
        ("router", NAMESPACE, "app.kubernetes.io/component=router"): (8080, 9090),
        ("operator", NAMESPACE, "app.kubernetes.io/component=operator"): (9090,),
        ("database", NAMESPACE, "app.kubernetes.io/component=database"): (5432,),
        ("simulator", NAMESPACE, "app.kubernetes.io/component=simulator"): (8090,),
        ("pool", NAMESPACE, POOL_PODS): (DELIVERIES, METRICS),
        ("neighbour", OWN_NAMESPACE, f"comanda.dev/group=tenant-t{NEIGHBOUR}"): (DELIVERIES, METRICS),
    }
    found = {}
    for (name, namespace, labels), numbers in ports.items():
        # Of the pool the other one than that which tries.
        pod = max(await town.pods(labels, namespace), key=lambda each: str(each["metadata"]["name"]))
        for port in numbers:
            place = Place(f"{name}:{port}", pod["status"]["podIP"], port)
            assert await listens(town, pod, place), place
            found[place.name] = place
    nodes = {f"kubelet-{number}": town.kind.address(node) for number, node in enumerate(town.kind.nodes)}
    found |= {name: Place(name, address, KUBELET) for name, address in nodes.items()}
    return found | {"api": Place("api", API_SERVICE, 443)}


async def reached(town: Town, namespace: str, pod: str) -> set[str]:
    """Return the names of all places that a pod reaches."""
    found = await places(town)
    return {name for name, place in found.items() if await reaches(town, namespace, pod, place)}


async def test_pods_of_a_restaurant_reach_meta_and_nothing_else(town: Town) -> None:
    for number in (NUMBERS[1], NEIGHBOUR):
        if not await town.get(TENANTS, f"t{number}", OWN_NAMESPACE):
            await town.open(number, namespace=OWN_NAMESPACE, plan="enterprise", enterprise={"replicas": 1})
        await town.is_open(number, OWN_NAMESPACE, seconds=120)

    async def nothing_else() -> bool:
        return await reached(town, OWN_NAMESPACE, f"tenant-t{NUMBERS[1]}-0") == {"simulator:8090"}

    # Whatever enforces policies needs a moment after a pod has begun.
    await until(nothing_else, 30, "policies are in force")


async def test_pods_of_a_pool_reach_meta_and_their_database_and_nothing_else(town: Town) -> None:
    # kube-router, which enforces policies here, takes what one pod of a policy lets in for what another one of the same
    # policy may go out to, and metrics are for anybody.
    found = await reached(town, NAMESPACE, "pool-default-0") - {f"pool:{METRICS}"}
    assert found == {"simulator:8090", "database:5432"}


async def test_a_stranger_in_the_namespace_reaches_webhooks_and_metrics_of_bots_of_what_is_ours(town: Town) -> None:
    """A pod without our labels, though in our namespace and free to go where it wants."""
    image = (await town.pod("pool-default-0"))["spec"]["containers"][0]["image"]
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "stranger",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", "import time; time.sleep(600)"],
        "securityContext": security,
    }
    await town.run_pod("stranger", {"containers": [container], "terminationGracePeriodSeconds": 0})
    expected = {"router:8080", f"pool:{METRICS}", f"neighbour:{METRICS}", "api", "kubelet-0", "kubelet-1"}
    # The way to the simulator is the tests' own: customers come from outside.
    assert await reached(town, NAMESPACE, "stranger") == expected | {"simulator:8090"}
