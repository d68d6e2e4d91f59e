"""Faults: which comes next is drawn from the seed; each is done, lasts, and is undone."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.postgres import PostgresServer
from tests.torture.world import LEASE_SECONDS, World

Fault = Callable[["Nemesis"], Awaitable[None]]


@dataclass
class Nemesis:
    """Does faults to a world; `server` is the database's, None for SQLite."""

    world: World
    server: PostgresServer | None = None
    kills: int = 0
    freeze_database_seconds: float = 4.0

    async def do(self, name: str) -> None:
        """Do one fault, undo it, and write both down."""
        begun = time.monotonic()
        await FAULTS[name](self)
        self.world.history.faults.append({"fault": name, "begun": begun, "ended": time.monotonic()})

    def some_pod(self) -> int:
        return self.world.draw.randrange(len(self.world.pods))

    async def lasts(self, seconds: float) -> None:
        """Let the run go on with the fault in place. The one place where a run waits for time to pass."""
        await asyncio.sleep(seconds)


async def kill_pod(nemesis: Nemesis) -> None:
    pod = nemesis.world.pods[nemesis.some_pod()]
    await pod.end(signal.SIGKILL)
    nemesis.kills += 1
    pod.start()
    await nemesis.world.ready(pod)


async def kill_both_pods(nemesis: Nemesis) -> None:
    for pod in nemesis.world.pods:
        await pod.end(signal.SIGKILL)
        nemesis.kills += 1
    for pod in nemesis.world.pods:
        pod.start()
    for pod in nemesis.world.pods:
        await nemesis.world.ready(pod)


async def stop_pod(nemesis: Nemesis) -> None:
    pod = nemesis.world.pods[nemesis.some_pod()]
    assert await pod.end(signal.SIGTERM) == 0
    pod.start()
    await nemesis.world.ready(pod)


async def freeze_pod(nemesis: Nemesis) -> None:
    """Stop a pod for longer than its lease: the other one takes its work, and it must not go on with it."""
    pod = nemesis.world.pods[nemesis.some_pod()]
    pod.tell(signal.SIGSTOP)
    await nemesis.lasts(2 * LEASE_SECONDS)
    pod.tell(signal.SIGCONT)


async def graph_down(nemesis: Nemesis) -> None:
    nemesis.world.graph.down = True
    await nemesis.lasts(1.5)
    nemesis.world.graph.down = False


async def graph_slow(nemesis: Nemesis) -> None:
    nemesis.world.graph.slow_seconds = 2.0
    await nemesis.lasts(2.0)
    nemesis.world.graph.slow_seconds = 0.0


async def graph_refuses(nemesis: Nemesis) -> None:
    nemesis.world.graph.refuse = 0.3
    await nemesis.lasts(2.0)
    nemesis.world.graph.refuse = 0.0


async def kill_database(nemesis: Nemesis) -> None:
    assert nemesis.server is not None
    await asyncio.to_thread(nemesis.server.kill)
    nemesis.kills += 1
    nemesis.server.start()
    await nemesis.server.accepts()


async def freeze_database(nemesis: Nemesis) -> None:
    assert nemesis.server is not None
    nemesis.server.freeze()
    await nemesis.lasts(nemesis.freeze_database_seconds)
    nemesis.server.thaw()


FAULTS: dict[str, Fault] = {
    function.__name__: function
    for function in (
        kill_pod,
        kill_both_pods,
        stop_pod,
        freeze_pod,
        graph_down,
        graph_slow,
        graph_refuses,
        kill_database,
        freeze_database,
    )
}
POD_FAULTS = ("kill_pod", "kill_pod", "kill_both_pods", "stop_pod", "freeze_pod")
GRAPH_FAULTS = ("graph_down", "graph_slow", "graph_refuses")
DATABASE_FAULTS = ("kill_database", "freeze_database")
