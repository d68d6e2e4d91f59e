"""One child process from its start to its end: turns go in, effects come out, and it is watched all the while."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
import structlog

from comanda_botpod.handlers.contained import process as processes
from comanda_botpod.handlers.contained import wire
from comanda_botpod.handlers.contained.channel import BadFrameError, Channel
from comanda_botpod.handlers.contained.output import Output, Redaction
from comanda_botpod.handlers.sdk.gathered import MAX_FILES, STATE_BYTES, Effects
from comanda_botpod.handlers.sdk.media import File, MediaError, Transfers
from comanda_botpod.handlers.sdk.orders import PastOrder
from comanda_botpod.handlers.sdk.turn import Facts
from comanda_contract.errors import ComandaError, InvalidInputError

_log = structlog.get_logger()

MIB = 1024 * 1024
_LAST_WORDS_SECONDS = 1.0
"""How long a dead process's last output and its status are waited for."""
_NOT_OURS = (BadFrameError, msgspec.MsgspecError, InvalidInputError, RecursionError)
"""What reading a frame raises that no worker of ours has written."""
FetchPast = Callable[[], Awaitable[tuple[PastOrder, ...]]]


@dataclass(frozen=True)
class WorkerPlan:
    """What a tenant's worker is: whose, which entry point, and what it may use."""

    tenant: str
    entry_point: str
    timeout_seconds: float
    memory_mib: int
    env: tuple[str, ...] = ()


@dataclass(frozen=True)
class Watch:
    """How closely a worker is watched, in seconds."""

    start_seconds: float = 30.0
    """How long the import of the handler may take."""
    ping_seconds: float = 1.0
    stall_seconds: float = 5.0
    """An event loop that does not turn for this long is blocked for good."""
    memory_seconds: float = 0.25
    patience_seconds: float = 10.0
    """How long a message waits for a worker to be started before it is given back."""
    longest_pause_seconds: float = 30.0
    """The longest wait before a worker that does not start is tried again."""


@dataclass(frozen=True)
class Request:
    """A turn for a worker: its facts, the restaurant as it is now, how past orders are read, and its files."""

    facts: Facts
    menu: wire.Menu
    fetch: FetchPast
    files: Transfers


class StartError(Exception):
    """A worker did not start; the text says which entry point and why."""


class FallenError(Exception):
    """The worker died with this turn in it. `alone`: no other turn can have been to blame."""

    def __init__(self, reason: str, *, alone: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.alone = alone


class RaisedError(Exception):
    """The handler raised."""

    def __init__(self, failed: wire.Failed) -> None:
        super().__init__(failed.error)
        self.failed = failed


class TimeIsUpError(Exception):
    """The handler did not return in time."""


@dataclass
class _Flight:
    """A turn that is under way in the worker."""

    request: Request
    result: asyncio.Future[Effects]
    past: asyncio.Task[None] | None = None
    overdue: asyncio.TimerHandle | None = field(default=None)
    """Set once its time was up: kills the worker unless the handler lets itself be cancelled."""
    files: int = 0
    """Files asked for and handed over."""


class Worker:
    """A running worker. Made by `start`; ended by `kill`, by its own death, or by one of its watchers."""

    def __init__(
        self, plan: WorkerPlan, watch: Watch, spawned: processes.Spawned, channel: Channel, redact: Redaction
    ) -> None:
        self._plan = plan
        self._watch = watch
        self._process = spawned.process
        self._pipes = (spawned.stdout, spawned.stderr)
        self._channel = channel
        self._redact = redact
        self._output = Output(plan.tenant, redact)
        self._flights: dict[int, _Flight] = {}
        self._numbers = count(1)
        self._menu: wire.Menu | None = None
        self._pongs: dict[int, asyncio.Event] = {}
        self._transfer: asyncio.Task[None] | None = None
        """The one file that is on its way, in either direction."""
        self.reason = ""
        """What ended it, to be read after `its process`."""
        self._tasks: list[asyncio.Task[None]] = []
        self.dying = asyncio.Event()
        """Set as soon as it is to be given no more turns."""
        self.ended = asyncio.Event()
        self.turns_taken = 0

    @classmethod
    async def start(cls, plan: WorkerPlan, watch: Watch) -> Worker:
        """Start a process and wait until its handler is imported. Raises `StartError`."""
        making = asyncio.create_task(cls._make(plan, watch), name="handler-spawn")
        try:
            worker = await asyncio.shield(making)
        except asyncio.CancelledError:
            # Half a process cannot be cleaned up; a whole one can.
            (made,) = await asyncio.gather(making, return_exceptions=True)
            if isinstance(made, Worker):
                await made._bury()  # noqa: SLF001 - this very class
            raise
        await worker._begin()  # noqa: SLF001 - this very class
        return worker

    @classmethod
    async def _make(cls, plan: WorkerPlan, watch: Watch) -> Worker:
        seen = processes.environment(os.environ, plan.env)
        named = {name: value for name, value in seen.items() if name not in processes.ALWAYS_SEEN}
        try:
            spawned = await processes.spawn(plan.entry_point, seen)
        except OSError as error:
            raise StartError(f"{_called(plan)} cannot be started: {error.strerror}.") from error
        channel = await Channel.over(spawned.channel, largest=wire.UP_BYTES)
        worker = cls(plan, watch, spawned, channel, Redaction(named))
        worker._go(worker._output.capture(spawned.stdout.reader, "stdout"), "stdout")
        worker._go(worker._output.capture(spawned.stderr.reader, "stderr"), "stderr")
        worker._go(worker._watch_exit(), "exit")
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def turn(self, request: Request) -> Effects:
        """Run one turn. Raises `RaisedError`, `TimeIsUpError` or `FallenError`."""
        if self.ended.is_set():
            raise FallenError(self.reason, alone=False)
        self.turns_taken += 1
        number = next(self._numbers)
        flight = self._flights[number] = _Flight(request, asyncio.get_running_loop().create_future())
        if request.menu != self._menu:
            self._menu = request.menu
            self._put(request.menu)
        self._put(wire.Turn(id=number, facts=request.facts))
        try:
            await asyncio.wait({flight.result}, timeout=self._plan.timeout_seconds)
            if not flight.result.done():
                # Is it the turn, or the whole loop? Of a blocked loop no turn is guilty until it is known which.
                await self._answer()
            if not flight.result.done():
                raise TimeIsUpError
            return flight.result.result()
        finally:
            if not flight.result.done():
                self._cancel(number, flight)

    def kill(self, reason: str) -> None:
        """Kill the process; its turns fall, and `ended` is set when nothing of it is left."""
        self.reason = self.reason or reason
        self.dying.set()
        if self._process.returncode is None:
            processes.kill(self.pid)

    # Start and end

    async def _begin(self) -> None:
        self._put(wire.Start(tenant=self._plan.tenant, memory_mib=self._plan.memory_mib))
        problem = "is not wanted any more."
        try:
            async with asyncio.timeout(self._watch.start_seconds):
                problem = await self._import_problem()
        except TimeoutError:
            problem = f"was not imported within {self._watch.start_seconds:g} s."
        finally:
            if problem:
                await self._bury()
        if problem:
            raise StartError(f"{_called(self._plan)} {problem}")
        self._go(self._keep_pinging(), "ping")
        self._go(self._watch_memory(), "memory")
        self._listening = asyncio.create_task(self._listen(), name="handler-listen")

    async def _import_problem(self) -> str:
        """Return what the worker says of its handler, "" when it is ready."""
        try:
            content = await self._channel.read()
            frame = wire.decode_up(content) if content is not None else None
        except _NOT_OURS:
            frame = None
        match frame:
            case wire.Ready():
                return ""
            case wire.Unusable(problem=problem):
                return self._redact(problem, 800)
        await self._exited()
        return f"could not be imported: its process {self.reason or 'broke off'}."

    def _go(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=f"handler-{name}"))

    async def _exited(self) -> None:
        """Wait for the process to be gone, and note how it ended."""
        status = await self._process.wait()
        self.reason = self.reason or _how_it_ended(status)

    async def _watch_exit(self) -> None:
        await self._exited()
        # What it left behind holds its end of the channel open, and would let nobody notice.
        processes.kill(self.pid)
        await asyncio.sleep(_LAST_WORDS_SECONDS)
        self._channel.close()

    async def _bury(self) -> None:
        """Make sure that the process is gone, with all that it started, and tell everybody who waits."""
        self.dying.set()
        processes.kill(self.pid)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._exited()
        self._channel.close()
        await self._stop_tasks()
        alone = len(self._flights) == 1
        for flight in self._flights.values():
            if flight.overdue is not None:
                flight.overdue.cancel()
            if not flight.result.done():
                _fail(flight.result, FallenError(self.reason, alone=alone))
        self._flights.clear()
        for answered in self._pongs.values():
            answered.set()
        self.ended.set()

    async def _stop_tasks(self) -> None:
        """Stop the watchers; what was printed last is still read, for a moment."""
        await asyncio.wait(self._tasks[:2], timeout=_LAST_WORDS_SECONDS)
        for pipe in self._pipes:
            pipe.transport.close()
        fetches = [flight.past for flight in self._flights.values() if flight.past is not None]
        if self._transfer is not None:
            fetches.append(self._transfer)
        for task in (*self._tasks, *fetches):
            task.cancel()
        await asyncio.gather(*self._tasks, *fetches, return_exceptions=True)

    # What comes out of it

    async def _listen(self) -> None:
        try:
            while (content := await self._channel.read()) is not None:
                frame = wire.decode_up(content)
                if len(content) > wire.USUAL_BYTES and not isinstance(frame, wire.Upload):
                    raise BadFrameError(f"a frame of {len(content)} bytes that is no file")
                await self._take(frame)
        except _NOT_OURS as error:
            # No handler does this by accident: a worker checks what it sends.
            _log.warning("handler_protocol", tenant=self._plan.tenant, problem=self._redact(str(error)))
            self.kill("sent what is no valid frame")
        finally:
            await self._bury()

    async def _take(self, frame: wire.Up) -> None:
        match frame:
            case wire.Pong(number=number) if number in self._pongs:
                self._pongs.pop(number).set()
            case wire.Done(id=number) | wire.Failed(id=number) if number in self._flights:
                self._land(self._flights.pop(number), frame)
            case wire.AskPast(id=number) if number in self._flights and self._flights[number].past is None:
                flight = self._flights[number]
                flight.past = asyncio.create_task(self._tell_past(number, flight), name="handler-past-orders")
            case wire.Fetch(id=number) | wire.Upload(id=number) if self._may_transfer(number):
                self._transfer = asyncio.create_task(self._hand(self._flights[number], frame), name="handler-file")
            case wire.Said():
                if not self._output.said(frame):
                    await asyncio.sleep(0.01)  # a flood of events waits for itself
            case _:
                raise BadFrameError("a frame that answers nothing")

    def _land(self, flight: _Flight, frame: wire.Done | wire.Failed) -> None:
        if flight.overdue is not None:
            flight.overdue.cancel()
        if flight.past is not None:
            flight.past.cancel()
        if isinstance(frame, wire.Done) and len(bytes(frame.effects.state)) > STATE_BYTES:
            raise BadFrameError("a state that is too large")
        if flight.result.done():
            return
        if isinstance(frame, wire.Failed):
            _fail(flight.result, RaisedError(self._readable(frame)))
        else:
            flight.result.set_result(frame.effects)

    def _readable(self, failed: wire.Failed) -> wire.Failed:
        return msgspec.structs.replace(
            failed,
            error=self._redact(failed.error, 200),
            at=self._redact(failed.at, 300),
            problem=self._redact(failed.problem, 300),
            frames=tuple(self._redact(frame, 300) for frame in failed.frames),
        )

    async def _tell_past(self, number: int, flight: _Flight) -> None:
        try:
            self._put(wire.Past(id=number, orders=await flight.request.fetch()))
        except ComandaError as error:
            _log.warning("handler_past_orders", tenant=self._plan.tenant, code=error.code, error=error.message)
            self._put(wire.Past(id=number, available=False))

    def _may_transfer(self, number: int) -> bool:
        """Tell whether a turn may have a file now: one at a time a worker, and so many in a turn."""
        return number in self._flights and self._transfer is None and self._flights[number].files < MAX_FILES

    async def _hand(self, flight: _Flight, ask: wire.AskFile) -> None:
        """Fetch a file for a turn, or hand one over. It is answered although the turn may have ended meanwhile."""
        flight.files += 1
        try:
            with suppress(ConnectionError):
                # A worker that does not read gets nothing more until it does.
                await self._channel.flush()
            self._put(await self._file(flight.request.files, ask))
        finally:
            self._transfer = None

    async def _file(self, files: Transfers, ask: wire.AskFile) -> wire.FileAnswer:
        try:
            if isinstance(ask, wire.Upload):
                return wire.Uploaded(id=ask.id, media=await files.upload(File(ask.content, ask.mime_type)))
            file = await files.fetch()
            return wire.Fetched(id=ask.id, content=file.content, mime_type=file.mime_type)
        except MediaError as error:
            _log.warning("handler_file", tenant=self._plan.tenant, error=error.message)
            return wire.NoFile(id=ask.id, problem=error.message, hint=error.hint, again=error.again)

    # Watching

    def _cancel(self, number: int, flight: _Flight) -> None:
        """Stop a turn that nobody waits for any more; a handler that will not be stopped takes its worker with it."""
        flight.result.cancel()
        self._put(wire.Cancel(id=number))
        loop = asyncio.get_running_loop()
        reason = "held on to a turn whose time was up"
        flight.overdue = loop.call_later(self._watch.stall_seconds, self.kill, reason)

    async def _answer(self) -> None:
        """Return when the worker's loop has turned once, or the worker has ended."""
        number = next(self._numbers)
        answered = self._pongs[number] = asyncio.Event()
        self._put(wire.Ping(number=number))
        await answered.wait()

    async def _keep_pinging(self) -> None:
        missed = 0
        # Two windows: a pod that was itself held up sees the answer to the second.
        while missed < 2:
            try:
                async with asyncio.timeout(self._watch.stall_seconds / 2):
                    await self._answer()
            except TimeoutError:
                missed += 1
                continue
            missed = 0
            await asyncio.sleep(self._watch.ping_seconds)
        self.kill("blocked its event loop")

    async def _watch_memory(self) -> None:
        held = 0
        while held <= self._plan.memory_mib * MIB:
            await asyncio.sleep(self._watch.memory_seconds)
            held = processes.resident_bytes(self.pid)
        self.kill(f"held more than {self._plan.memory_mib} MiB of memory")

    def _put(self, frame: wire.Down) -> None:
        if not self.ended.is_set():
            self._channel.put(wire.encode(frame))


def _called(plan: WorkerPlan) -> str:
    return f"Handler {plan.entry_point} of tenant {plan.tenant}"


def _fail(result: asyncio.Future[Effects], error: Exception) -> None:
    result.set_exception(error)
    result.exception()  # seen: whoever waited for it may be gone


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"was ended by signal {-status}"
    return f"ended with status {status}"
