"""`make bench NAME=cluster`: the chart on two real nodes, with images built here, beside its own promises.

README.md in the folder above says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from rich.console import Console

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.results import Row, Target, print_results, write_results
from bench.common.stats import percentile
from tests.e2e.cluster.town import NUMBERS, OWN_NAMESPACE, POOL_PODS, Town, built_site, town_on
from tests.harness import until
from tests.kind import docker_engine
from tests.kind.images import REGISTRY, TAG, base_image

STANDARD, ENTERPRISE, ROTATED = NUMBERS[0], NUMBERS[1], NUMBERS[6]
SHOPS = NUMBERS[2:5]
KILL_SECONDS, KILL_RATE = 15.0, 20.0
MB = 1e6


@dataclass
class Measured:
    """What one run found; seconds, MB, counts."""

    install_seconds: float = 0.0
    standard_seconds: float = 0.0
    enterprise_seconds: float = 0.0
    rotation_seconds: float = 0.0
    killed: list[float] = field(default_factory=list)
    """Of messages that came while a pod was killed: from being written to the first reply."""
    upgrade_rate: float = 0.0
    upgrade_acknowledged: list[float] = field(default_factory=list)
    upgrade_failed: int = 0
    broken_promises: int = 0
    over_base: dict[str, float] = field(default_factory=dict)


@contextmanager
def timed(console: Console, what: str) -> Iterator[list[float]]:
    """Give a list that holds how long the block took once it is over."""
    took: list[float] = []
    began = monotonic()
    yield took
    took.append(monotonic() - began)
    console.print(f"{what}: {took[0]:.1f} s", style="dim")


async def measure(console: Console, rate: float) -> Measured:
    """Run all parts on one cluster."""
    found = Measured(upgrade_rate=rate)
    with docker_engine() as engine, built_site(engine) as site:
        base = _size(engine.docker, base_image(engine, "python"))
        for service in ("router", "operator", "botpod", "simulator", "migrate"):
            found.over_base[service] = (_size(engine.docker, f"{REGISTRY}/comanda-{service}:{TAG}") - base) / MB
        async with town_on(site) as town:
            with timed(console, "helm install --wait") as took:
                await town.install()
            found.install_seconds = took[0]
            await first_replies(console, town, found)
            await rotation(console, town, found)
            await a_pod_dies(console, town, found)
            await upgrade(console, town, found)
            await town.settle()
            found.broken_promises = len(await town.broken(*SHOPS))
    return found


def _size(docker: Callable[..., str], image: str) -> int:
    return int(docker("inspect", "--format", "{{.Size}}", image))


async def first_replies(console: Console, town: Town, found: Measured) -> None:
    """Apply a tenant of each plan and write to it as soon as it is ready."""
    with timed(console, "standard tenant applied → first reply") as took:
        await town.open(STANDARD)
        await town.is_open(STANDARD)
        await town.say(STANDARD, town.customer(), "Hola")
    found.standard_seconds = took[0]
    with timed(console, "enterprise tenant applied → first reply") as took:
        await town.open(ENTERPRISE, namespace=OWN_NAMESPACE, plan="enterprise", enterprise={"replicas": 1})
        await town.is_open(ENTERPRISE, OWN_NAMESPACE, seconds=120)
        await town.say(ENTERPRISE, town.customer(), "Hola")
    found.enterprise_seconds = took[0]


async def rotation(console: Console, town: Town, found: Measured) -> None:
    """Give a tenant another token; every pod of the pool says by itself when it has loaded it."""
    await town.open(ROTATED, token="a-token-that-was")
    await town.is_open(ROTATED)
    before = [await loaded(town, pod) for pod in await town.ready_pods(POOL_PODS)]

    async def everywhere() -> bool:
        now = [await loaded(town, pod) for pod in await town.ready_pods(POOL_PODS)]
        return len(now) == len(before) and all(each not in before for each in now)

    with timed(console, "credential rotated → loaded by every pod") as took:
        await town.secret(f"t{ROTATED}-token", accessToken=f"token-{ROTATED}")
        await until(everywhere, 60, "every pod has the new token")
    found.rotation_seconds = took[0]


async def loaded(town: Town, pod: str) -> str:
    """Return what a pod says that it has loaded, asked from its own node."""
    body = await town.pod(pod)
    address, node = body["status"]["podIP"], body["spec"]["nodeName"]
    asked = ["exec", node, "curl", "--silent", "--max-time", "2", f"http://{address}:8081/readyz"]
    said = json.loads(await asyncio.to_thread(town.kind.engine.docker, *asked))
    return json.dumps(said["shards"], sort_keys=True)


async def a_pod_dies(console: Console, town: Town, found: Measured) -> None:
    """Kill a pod's process while customers write; take the time of each first reply."""
    for number in SHOPS:
        await town.open(number)
    for number in SHOPS:
        await town.is_open(number)
    victim = await town.pod((await town.ready_pods(POOL_PODS))[0])
    (container,) = victim["status"]["containerStatuses"]
    identity = container["containerID"].rpartition("/")[2]
    async with town.crowd(SHOPS, KILL_RATE):
        await asyncio.sleep(2)
        began = len(town.webhooks)
        kill = [
            "exec",
            victim["spec"]["nodeName"],
            "ctr",
            "--namespace=k8s.io",
            "tasks",
            "kill",
            "-s",
            "KILL",
            identity,
        ]
        await asyncio.to_thread(town.kind.engine.docker, *kill)
        await asyncio.sleep(KILL_SECONDS)
    (after,) = (await town.pod(victim["metadata"]["name"]))["status"]["containerStatuses"]
    assert after["restartCount"] == container["restartCount"] + 1, "nothing was killed"
    await town.settle()
    written = {webhook.phone for webhook in town.webhooks[began:]}
    found.killed = await town.reply_seconds(SHOPS, written)
    console.print(
        f"pod killed: {len(found.killed)} conversations, first reply p50 {percentile(found.killed, 50):.2f} s, "
        f"p99 {percentile(found.killed, 99):.2f} s",
        style="dim",
    )


async def upgrade(console: Console, town: Town, found: Measured) -> None:
    """Replace router, operator and pool, one after the other, while customers write."""
    before = (await town.stats())["webhooks"]
    began = len(town.webhooks)
    async with town.crowd(SHOPS, found.upgrade_rate):
        for name in ("deployment/comanda-router", "deployment/comanda-operator", "statefulset/pool-default"):
            with timed(console, f"rolling restart of {name}"):
                await town.restart(name)
    after = (await town.stats())["webhooks"]
    found.upgrade_failed = sum(after[name] - before[name] for name in ("refused", "retried", "dropped"))
    found.upgrade_acknowledged = [webhook.acked - webhook.begun for webhook in town.webhooks[began:] if webhook.acked]
    console.print(
        f"rolling upgrade: {len(found.upgrade_acknowledged):,} webhooks, {found.upgrade_failed} not taken at once, "
        f"acknowledged p99 {1000 * percentile(found.upgrade_acknowledged, 99):.0f} ms",
        style="dim",
    )


def rows_of(found: Measured) -> list[Row]:
    """Return the figures with their targets."""
    made = [
        Row("helm install --wait, with the simulator", found.install_seconds, "s", Target("<=", 60)),
        Row("tenant applied → first reply, standard", found.standard_seconds, "s", Target("<=", 5)),
        Row("tenant applied → first reply, enterprise", found.enterprise_seconds, "s", Target("<=", 15)),
        Row("credential rotated → loaded by every pod", found.rotation_seconds, "s", Target("<=", 5)),
        Row("pod killed: first reply of who wrote then, p99", percentile(found.killed, 99), "s", Target("<=", 3)),
        Row("pod killed: who wrote then", len(found.killed), "customers"),
        Row("rolling upgrade: webhooks a second, asked for", found.upgrade_rate, "/s"),
        Row("rolling upgrade: webhooks", len(found.upgrade_acknowledged), "webhooks"),
        Row("rolling upgrade: not acknowledged at the first try", found.upgrade_failed, "webhooks", Target("<=", 0)),
        Row(
            "rolling upgrade: acknowledged, p99",
            1000 * percentile(found.upgrade_acknowledged, 99),
            "ms",
            Target("<=", 500),
        ),
        Row("lost, doubled, crossed or out of order", found.broken_promises, "promises", Target("<=", 0)),
    ]
    limit = Target("<=", 120)
    made += [
        Row(f"image over its base, {name}", size, "MB", limit if name in {"router", "botpod", "operator"} else None)
        for name, size in found.over_base.items()
    ]
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the results and show them."""
    parser = argparse.ArgumentParser(prog="make bench NAME=cluster", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rate", type=float, default=100.0, help="webhooks a second during the upgrade (%(default)s)")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    found = asyncio.run(measure(console, given.rate))
    rows = rows_of(found)
    notes = ["Nodes, load and Meta's side share this machine's cores."]
    path = write_results("cluster", rows, [found], notes)
    print_results("cluster", rows, notes, console)
    console.print(f"written to {path}", style="dim")


if __name__ == "__main__":
    main()
