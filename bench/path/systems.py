"""The two systems under test, behind one face: start until the first webhook is accepted, look at, stop."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import psutil
from bench.common.processes import Child, free_port
from bench.path import peer_install
from bench.path.meta import Meta, NoAnswerError, Number
from bench.path.restaurants import APP_SECRET, numbers, write_folder

START_SECONDS = 60.0
POLL_SECONDS = 0.005
"""How often a starting system is tried: the grain of a cold start's figure."""
PROCESSES = 3
"""A router and the two pods of the pool."""
COMANDA = Path(sys.executable).with_name("comanda")


class System(Protocol):
    """A bot platform that answers Meta's webhooks."""

    name: str
    numbers: list[Number]
    cold_start_ms: float
    """From the start of the process to the first webhook that was answered 200."""
    first_reply_ms: float
    """From the start of the process to the reply to that webhook's message."""

    async def start(self, *, statuses: bool) -> Meta:
        """Start it, with a Meta of its own. Raises `NoAnswerError` when it does not come up."""
        ...

    def processes(self) -> Mapping[str, psutil.Process]:
        """Return its processes by name."""
        ...

    async def stop(self) -> None:
        """End it and see that it ended well. Raises `NoAnswerError`."""
        ...


class Comanda:
    """`comanda up`: a router and a pool of two pods on SQLite, as a laptop runs it."""

    name = "comanda"

    def __init__(self, folder: Path, tenants: int = 10) -> None:
        self.numbers = numbers(tenants)
        self.cold_start_ms = self.first_reply_ms = 0.0
        self._folder = folder
        self._data = folder / "data"
        self._child: Child | None = None
        self._meta: Meta | None = None
        self._events: list[dict[str, Any]] = []
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def start(self, *, statuses: bool) -> Meta:
        """Start it; the cold start ends with the first webhook answered 200 by a stored message."""
        write_folder(self._folder / "tenants", self.numbers)
        router, graph = free_port(), free_port()
        self._meta = Meta(router, "/webhook", APP_SECRET, statuses=statuses)
        await self._meta.listen(graph)
        command = [str(COMANDA), "up", "-f", str(self._folder / "tenants"), "--data-dir", str(self._data)]
        command += ["--router-port", str(router), "--graph-url", f"http://127.0.0.1:{graph}", "--output", "json"]
        began = time.perf_counter()
        self._child = await Child.start(command, log=self._folder / "up.log", cwd=self._folder)
        self._reading = asyncio.create_task(self._read_events(self._child))
        accepted, replied = await first_answers(self._meta, self.numbers[0], self._child)
        self.cold_start_ms, self.first_reply_ms = (accepted - began) * 1000, (replied - began) * 1000
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise NoAnswerError(f"comanda up did not say that it is ready.\n{self._logs()}") from None
        if self._restarts():
            raise NoAnswerError(f"A process died while it started.\n{self._logs()}")
        return self._meta

    def processes(self) -> Mapping[str, psutil.Process]:
        """Return router and pods; the parent that looks after them on a laptop has no place in a cluster."""
        started = (event for event in self._events if event["event"] == "process_started")
        return {event["process"]: psutil.Process(event["pid"]) for event in started}

    def supervisor(self) -> psutil.Process:
        """Return the process of `comanda up` itself."""
        if self._child is None:
            raise NoAnswerError("comanda up is not running.")
        return psutil.Process(self._child.pid)

    async def stop(self) -> None:
        """Stop it; an exit code, a restart or a dead letter is an error."""
        if self._meta is not None:
            await self._meta.close()
        if self._child is None:
            return
        code = await self._child.stop()
        if self._reading is not None:
            await self._reading
        restarts = self._restarts()
        letters = [path for path in (self._data / "router" / "dead-letters").rglob("*") if path.is_file()]
        if code != 0 or restarts or letters:
            raise NoAnswerError(
                f"comanda up ended with {code}, {len(restarts)} restarts, {len(letters)} dead letters.\n{self._logs()}"
            )

    async def orders(self) -> list[dict[str, Any]]:
        """Return all orders in its database, as the command line lists them."""
        rows: list[dict[str, Any]] = []
        for number in self.numbers:
            command = [str(COMANDA), "orders", "list", "--data-dir", str(self._data), "--output", "json"]
            process = await asyncio.create_subprocess_exec(
                *command, "--tenant", number.tenant, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            if process.returncode != 0:
                raise NoAnswerError(f"comanda orders list ended with {process.returncode}.")
            rows += json.loads(output)
        return rows

    async def _read_events(self, child: Child) -> None:
        while line := await child.next_line():
            event = json.loads(line)
            self._events.append(event)
            # `ready` is said first, and who was started after it.
            said = [each["event"] for each in self._events]
            if "ready" in said and said.count("process_started") == PROCESSES:
                self._ready.set()

    def _restarts(self) -> list[dict[str, Any]]:
        return [event for event in self._events if event["event"] == "process_exited"]

    def _logs(self) -> str:
        logs = [self._folder / "up.log", *sorted((self._data / "logs").glob("*.log"))]
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs if log.exists())


class BuilderBot:
    """The peer: one bot on BuilderBot's Meta provider, unmodified, its Graph calls led to us by a preload."""

    name = "builderbot"

    def __init__(self, folder: Path, runtime: peer_install.Runtime) -> None:
        self.numbers = numbers(1)
        self.cold_start_ms = self.first_reply_ms = 0.0
        self._folder = folder
        self._runtime = runtime
        self._child: Child | None = None
        self._draining: asyncio.Task[None] | None = None
        self._meta: Meta | None = None

    async def start(self, *, statuses: bool) -> Meta:
        """Start it; the cold start ends with the first webhook answered 200."""
        self._folder.mkdir(parents=True)
        port, graph = free_port(), free_port()
        self._meta = Meta(port, "/webhook", "it looks at no signature", statuses=statuses)
        await self._meta.listen(graph)
        environment = {
            "PORT": str(port),
            "NUMBER_ID": self.numbers[0].phone_number_id,
            "GRAPH_BASE_URL": f"http://127.0.0.1:{graph}",
            "NODE_OPTIONS": f"--require {self._runtime.folder / 'graph-redirect.cjs'}",
            "NODE_ENV": "production",
        }
        command = [str(self._runtime.node), str(self._runtime.folder / "bot.cjs")]
        began = time.perf_counter()
        # It writes its logs to where it runs.
        self._child = await Child.start(
            command, log=self._folder / "bot.log", cwd=self._folder, environment=environment
        )
        self._draining = asyncio.create_task(_drain(self._child))
        accepted, replied = await first_answers(self._meta, self.numbers[0], self._child)
        self.cold_start_ms, self.first_reply_ms = (accepted - began) * 1000, (replied - began) * 1000
        return self._meta

    def processes(self) -> Mapping[str, psutil.Process]:
        """Return its one process."""
        return {} if self._child is None else {self.name: psutil.Process(self._child.pid)}

    async def stop(self) -> None:
        """Stop it; it knows no orderly end, so its exit code says nothing, but it must not have died before."""
        if self._meta is not None:
            await self._meta.close()
        if self._child is None:
            return
        died = self._child.process.returncode is not None
        await self._child.stop()
        if self._draining is not None:
            await self._draining
        if died:
            raise NoAnswerError(f"BuilderBot died.\n{self._child.log_tail()}")


async def first_answers(meta: Meta, number: Number, child: Child) -> tuple[float, float]:
    """Try the first customer's webhook until it is answered 200, then wait for the reply; returns when each came.

    Raises `NoAnswerError`.
    """
    value = meta.first_message()
    deadline = time.monotonic() + START_SECONDS
    while await meta.try_once(number, value) != 200:
        if child.process.returncode is not None or time.monotonic() > deadline:
            raise NoAnswerError(f"It did not come up within {START_SECONDS:.0f} s.\n{child.log_tail()}")
        await asyncio.sleep(POLL_SECONDS)
    accepted = time.perf_counter()
    try:
        async with asyncio.timeout(START_SECONDS):
            await meta.first_replied.wait()
    except TimeoutError:
        raise NoAnswerError(f"The first message got no reply within {START_SECONDS:.0f} s.") from None
    return accepted, time.perf_counter()


async def _drain(child: Child) -> None:
    """Read what it prints, so that a full pipe never stops it."""
    while await child.next_line():
        pass
