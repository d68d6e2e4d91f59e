"""`make bench NAME=operator`: 10,000 tenants on a real kube-apiserver, beside the obvious kopf operator.

README.md in the folder above says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
from rich.console import Console

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.results import Row, Target, print_results, write_results
from bench.common.stats import percentile
from tests.cluster import FaultProxy
from tests.harness import until
from tests.test_operator.cluster import HOME, ROOT, SOURCE, Cluster, OperatorProcess, cluster

from comanda_kube.informer import Informer
from comanda_kube.resources import SECRETS, Selection
from comanda_operator.reconcile import TENANTS
from comanda_operator.records import TenantRecord, read_tenant

MIB = 2**20
PEER = "obvious kopf operator (create, update, resume and delete handlers that write the status)"
LONG = 900.0
PEER_SECONDS = 300.0
"""It may lose sight of some tenants for good: then it is given up, and the notes say how far it came."""
AWAY_SECONDS, AWAY_EDITS = 60.0, 200


@dataclass
class Measured:
    """What one run found; seconds, MiB, counts."""

    tenants: int
    onboard_seconds: float = 0.0
    onboard_status_writes: int = 0
    onboard_secret_writes: int = 0
    hot_edits: list[float] = field(default_factory=list)
    takeover_killed: float = 0.0
    storm_writes: int = 0
    storm_seconds: float = 0.0
    takeover_released: float = 0.0
    idle_cpu_percent: float = 0.0
    idle_requests: float = 0.0
    away_seconds: float = 0.0
    cold_seconds: float = 0.0
    cold_writes: int = 0
    cold_rss: float = 0.0
    peer_seconds: float = 0.0
    peer_handled: int = 0
    peer_writes: int = 0
    peer_refused: int = 0
    peer_rss: float = 0.0


class Scene:
    """A cluster with many tenants, watched from beside the operator."""

    def __init__(self, made: Cluster, tenants: int) -> None:
        self.cluster = made
        self.tenants = tenants
        self.informer: Informer[TenantRecord] = Informer(made.admin, Selection(TENANTS), read_tenant, lambda _: None)

    def is_converged(self) -> bool:
        """Tell whether every tenant's status speaks of its present generation, as far as has been heard."""
        store = self.informer.store
        return len(store) == self.tenants and all(
            each.status.observed_generation == each.metadata.generation for each in store.values()
        )

    def settled(self, generation: int) -> int:
        """Count the tenants whose status speaks of this generation or a later one."""
        return sum(each.status.observed_generation >= generation for each in self.informer.store.values())

    async def make_secrets(self) -> None:
        """Make the Secrets of all tenants."""
        data = {"accessToken": "dG9rZW4="}
        await self._many(
            lambda number: self.cluster.admin.create(
                SECRETS,
                {"metadata": {"namespace": "shop", "name": f"t{number}-token", "labels": SOURCE}, "data": data},
            )
        )

    async def apply_tenants(self, name: str) -> None:
        """Apply all tenants, 32 at once."""
        await self._many(lambda number: self.apply_tenant(number, name))

    async def apply_tenant(self, number: int, name: str) -> Any:
        """Apply one tenant with this display name; returns the object."""
        spec = {
            "phoneNumberId": str(10**14 + number),
            "wabaId": str(10**13 + number),
            "displayName": f"{name} {number}",
            "poolRef": f"pool-{number % 2}",
            "credentials": {"secretRef": {"name": f"t{number}-token"}},
            "locale": "es-CL",
            "timezone": "America/Santiago",
            "currency": "CLP",
        }
        metadata = {"namespace": "shop", "name": f"t{number}"}
        return await self.cluster.admin.apply(TENANTS, {"metadata": metadata, "spec": spec})

    async def _many(self, make: Any) -> None:
        numbers = iter(range(self.tenants))

        async def work() -> None:
            for number in numbers:
                await make(number)

        await asyncio.gather(*(work() for _ in range(32)))


async def measure(console: Console, tenants: int, folder: Path) -> Measured:
    """Run all parts on one API."""
    found = Measured(tenants)
    async with cluster(folder, "--audit-log-maxsize=10000") as made:
        scene = Scene(made, tenants)
        watching = asyncio.create_task(scene.informer.run())
        await made.namespace("shop")
        await made.app()
        for name in ("pool-0", "pool-1"):
            await made.pool(name, maxTenants=max(1, tenants))
        console.print(f"making {tenants:,} Secrets", style="dim")
        await scene.make_secrets()
        await onboard(console, scene, found)
        await cold(console, scene, found)
        await away(console, scene, found)
        if tenants:
            await peer(console, scene, found, folder)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return found


async def onboard(console: Console, scene: Scene, found: Measured) -> None:
    """Apply all tenants at once, then edit all and kill the leader, then end the next one; then be idle."""
    made = scene.cluster
    async with made.operator("a", LEASE_SECONDS="15") as first, made.operator("b", LEASE_SECONDS="15") as second:
        await until(lambda: one_leads(first, second), LONG, "one leads")
        leader, other = (first, second) if await first.leads() else (second, first)
        since, began = len(made.server.audit()), monotonic()
        applying = asyncio.create_task(scene.apply_tenants("Napoli"))
        found.hot_edits = await hot_edits(scene, applying)
        await until(scene.is_converged, LONG, "all have their status")
        found.onboard_seconds = monotonic() - began
        await until(leader.is_idle, LONG, "nothing waits")
        written = made.writes(since)
        found.onboard_status_writes = count(written, "whatsapptenants")
        found.onboard_secret_writes = count(written, "secrets")
        console.print(
            f"onboarded in {found.onboard_seconds:.1f} s, {found.onboard_status_writes:,} status writes, "
            f"{found.onboard_secret_writes:,} of Secrets, hot edits p99 {p99(found.hot_edits):.2f} s",
            style="dim",
        )
        await be_idle(console, leader, scene, found)
        since, began = len(made.server.audit()), monotonic()
        applying = asyncio.create_task(scene.apply_tenants("Farol"))
        await until(lambda: scene.settled(2) > scene.tenants // 4, LONG, "the storm is under way")
        killed = monotonic()
        await leader.kill()
        await until(other.leads, LONG, "the other takes over")
        found.takeover_killed = monotonic() - killed
        await applying
        await until(scene.is_converged, LONG, "all have their status again")
        found.storm_seconds = monotonic() - began
        await until(other.is_idle, LONG, "nothing waits")
        found.storm_writes = count(made.writes(since), "whatsapptenants")
        await leader.again()
        await until(lambda: synced(leader), LONG, "the first one follows")
        ended = monotonic()
        other.process.send_signal(signal.SIGTERM)
        await until(leader.leads, LONG, "the Lease is handed over")
        found.takeover_released = monotonic() - ended
        console.print(
            f"takeover {found.takeover_killed:.1f} s killed, {found.takeover_released:.1f} s released; "
            f"{found.storm_writes:,} status writes for {scene.tenants:,} edits",
            style="dim",
        )


async def one_leads(*operators: OperatorProcess) -> bool:
    """Tell whether one of several replicas leads."""
    return any([await operator.leads() for operator in operators])


async def synced(operator: OperatorProcess) -> bool:
    """Tell whether a replica knows everything."""
    return bool((await operator.health()).get("synced"))


async def hot_edits(scene: Scene, applying: asyncio.Task[None]) -> list[float]:
    """While all tenants are applied, have single ones edited by another process; return how long each took."""
    command = [sys.executable, str(Path(__file__).with_name("hot.py")), str(scene.cluster.server.kubeconfig())]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    await applying
    process.kill()
    said, _ = await process.communicate()
    return [float(line) for line in said.split()]


async def be_idle(console: Console, operator: OperatorProcess, scene: Scene, found: Measured) -> None:
    """Look at what it costs to do nothing."""
    seconds = 30.0
    process = psutil.Process(operator.process.pid)
    user = f"system:serviceaccount:{HOME}:operator"
    since = sum(each["user"]["username"] == user for each in scene.cluster.server.audit())
    before = process.cpu_times()
    await asyncio.sleep(seconds)
    after = process.cpu_times()
    found.idle_cpu_percent = 100 * (after.user + after.system - before.user - before.system) / seconds
    said = [each for each in scene.cluster.server.audit() if each["user"]["username"] == user]
    # A watch is in the log twice, when it begins and when it ends.
    began = {each["auditID"] for each in said[since:]} - {each["auditID"] for each in said[:since]}
    found.idle_requests = len(began) / seconds / 2  # both replicas
    console.print(f"idle: {found.idle_cpu_percent:.1f} % of a core, {found.idle_requests:.2f} requests/s", style="dim")


async def cold(console: Console, scene: Scene, found: Measured) -> None:
    """Start an operator beside tenants that need nothing."""
    made = scene.cluster
    since, began = len(made.server.audit()), monotonic()
    async with made.operator("cold") as operator:
        await until(operator.leads, LONG, "it leads")
        await until(operator.is_idle, LONG, "nothing waits")
        found.cold_seconds = monotonic() - began
        await asyncio.sleep(3)  # whatever it would still write shows
        found.cold_writes = len(made.writes(since))
        memory = Path(f"/proc/{operator.process.pid}/status").read_text()
        found.cold_rss = int(memory.split("VmHWM:")[1].split()[0]) / 1024
    console.print(
        f"cold: {found.cold_seconds:.1f} s, {found.cold_writes} writes, {found.cold_rss:.0f} MiB at most", style="dim"
    )


async def away(console: Console, scene: Scene, found: Measured) -> None:
    """Edit tenants while the operator's API is away for a minute; then see how soon all of it is done.

    Without its Lease the operator ends, and is started again as a kubelet would.
    """
    made, edited = scene.cluster, range(min(AWAY_EDITS, scene.tenants))

    def is_done() -> bool:
        records = (scene.informer.store[f"shop/t{number}"] for number in edited)
        return all(each.status.observed_generation == each.metadata.generation for each in records)

    async with FaultProxy(made.server.port) as proxy, made.operator("away", port=proxy.port, LEASE_SECONDS="15") as it:
        await until(it.leads, LONG, "it leads")
        await until(it.is_idle, LONG, "nothing waits")
        await proxy.refuse()
        began = monotonic()
        for number in edited:
            await scene.apply_tenant(number, "Away")
        starting = asyncio.create_task(start_again(it))
        await asyncio.sleep(max(0.0, AWAY_SECONDS - (monotonic() - began)))
        await proxy.accept()
        back = monotonic()
        await until(is_done, LONG, "all edits are in the status")
        found.away_seconds = monotonic() - back
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    console.print(
        f"API away {AWAY_SECONDS:.0f} s: {len(edited)} edits done after {found.away_seconds:.1f} s", style="dim"
    )


async def start_again(operator: OperatorProcess) -> None:
    """Start a replica again whenever it has ended."""
    while True:
        await operator.process.wait()
        await asyncio.sleep(1.0)
        await operator.again()


async def peer(console: Console, scene: Scene, found: Measured, folder: Path) -> None:
    """Start the peer beside the same tenants; its statuses say the same."""
    made = scene.cluster
    since = len(made.server.audit())
    environment = os.environ | {"KUBECONFIG": str(made.server.kubeconfig()), "BENCH_TENANTS": str(scene.tenants)}
    with (folder / "peer.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("peer.py")), env=environment, cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(PEER_SECONDS):
                    while found.peer_handled < scene.tenants and (line := (await process.stdout.readline()).split()):
                        found.peer_handled, found.peer_seconds = int(line[0]), float(line[1])
            if found.peer_handled < scene.tenants:
                found.peer_seconds = PEER_SECONDS
            memory = Path(f"/proc/{process.pid}/status").read_text()
            found.peer_rss = int(memory.split("VmHWM:")[1].split()[0]) / 1024
        finally:
            process.kill()
            await process.wait()
    entries = [each for each in made.server.audit()[since:] if each.get("userAgent", "").startswith("kopf")]
    found.peer_writes = sum(each["verb"] == "patch" for each in entries)
    found.peer_refused = sum(each["responseStatus"]["code"] >= 429 for each in entries)
    console.print(
        f"peer: {found.peer_handled:,} in {found.peer_seconds:.1f} s, {found.peer_rss:.0f} MiB, "
        f"{found.peer_writes:,} writes, {found.peer_refused} refused",
        style="dim",
    )


def count(entries: Sequence[dict[str, Any]], resource: str) -> int:
    """Count the writes of a resource."""
    return sum(each["objectRef"]["resource"] == resource for each in entries)


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile, 0 of nothing."""
    return percentile(values, 99) if values else 0.0


def make_rows(found: Measured) -> list[Row]:
    """Return the rows of the results file."""
    each = found.onboard_status_writes / max(1, found.tenants + len(found.hot_edits))
    many = f"{found.tenants:,} tenants"
    return [
        Row(f"{many}: cold start, nothing to do", found.cold_seconds, "s", Target("<=", 8), PEER, found.peer_seconds),
        Row("writes of that", found.cold_writes, "writes", Target("<=", 0), PEER, found.peer_writes),
        Row("memory of that, at most (RSS)", found.cold_rss, "MiB", Target("<=", 150), PEER, found.peer_rss),
        Row("requests of that refused or timed out", 0, "requests", None, PEER, found.peer_refused),
        Row(f"{many} onboarded in one go: converged", found.onboard_seconds, "s", Target("<=", 120)),
        Row("status writes a change, meanwhile", each, "writes", Target("<=", 1.2)),
        Row("writes of Secrets, meanwhile", found.onboard_secret_writes, "writes", Target("<=", 999)),
        Row("a hot edit meanwhile, applied → in the status, p99", p99(found.hot_edits), "s", Target("<=", 1)),
        Row("hot edits that were made", len(found.hot_edits), "edits"),
        Row("leader killed in mid-storm: takeover", found.takeover_killed, "s", Target("<=", 20)),
        Row("leader ended in order: takeover", found.takeover_released, "s", Target("<=", 3)),
        Row("status writes a tenant in that storm", found.storm_writes / max(1, found.tenants), "writes"),
        Row("that storm: converged", found.storm_seconds, "s"),
        Row("API away for 60 s, 200 edits meanwhile: done after it is back", found.away_seconds, "s", Target("<=", 20)),
        Row("idle, leading: processor", found.idle_cpu_percent, "% of a core", Target("<=", 1)),
        Row("idle: requests a replica", found.idle_requests, "/s", Target("<=", 1)),
    ]  # fmt: skip


def main() -> int:
    """Measure, write and show."""
    parser = argparse.ArgumentParser(prog="make bench NAME=operator", description=__doc__)
    parser.add_argument("--tenants", type=int, default=10_000)
    arguments = parser.parse_args()
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="comanda-bench-operator-"))
    try:
        found = asyncio.run(measure(console, arguments.tenants, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = make_rows(found)
    notes = [
        "Tenants have no pods here, so their status is written once a change: NotLoaded.",
        "API, etcd, operators and the load share the two cores.",
        "The peer handles the tenants for the first time; what it writes is what ours has written before.",
    ]
    if found.peer_handled < found.tenants:
        notes.append(f"The peer handled {found.peer_handled:,} tenants in {PEER_SECONDS:.0f} s, and was given up then.")
    path = write_results("operator", rows, [found], notes)
    print_results("operator", rows, notes, console)
    console.print(f"written to {path.relative_to(ROOT)}", style="dim")
    return 0


if __name__ == "__main__":
    sys.exit(main())
