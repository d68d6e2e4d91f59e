"""`python -m comanda_botpod.handlers.worker ENTRY_POINT`: the process in which a tenant's own code runs.

The pod starts it, with one end of a socket pair as standard input. It knows no database, no token and no number but
those of the message it is asked to answer. It ends when the pod does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import msgspec

from comanda_botpod.handlers.contained import wire
from comanda_botpod.handlers.contained.channel import BadFrameError, Channel
from comanda_botpod.handlers.loading import LoadError, frames_of, line_of, load_handler
from comanda_botpod.handlers.sdk.context import Fact, Level
from comanda_botpod.handlers.sdk.media import File, MediaError
from comanda_botpod.handlers.sdk.orders import PastOrder
from comanda_botpod.handlers.sdk.turn import HandlerFunction, Services, http_session, run_turn
from comanda_contract.errors import ComandaError, UnavailableError
from comanda_flow import Restaurant, load_restaurant

_PR_SET_PDEATHSIG = 1
_OWN_FILES = str(Path(__file__).parent)
_MIB = 1024 * 1024
_SINGLE_ALLOCATION = 2
"""The pod watches how much is held; this many times as much cannot even be asked for between two looks."""


class TurnRunner:
    """Runs the turns that the pod asks for, all on one event loop."""

    def __init__(self, channel: Channel, handler: HandlerFunction, tenant: str, http: aiohttp.ClientSession) -> None:
        self._channel = channel
        self._handler = handler
        self._tenant = tenant
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._restaurant: Restaurant | None = None
        self._turns: dict[int, asyncio.Task[None]] = {}
        self._past: dict[int, asyncio.Future[tuple[PastOrder, ...]]] = {}
        self._one_file = asyncio.Lock()
        self._file: asyncio.Future[wire.FileAnswer] | None = None
        self._transfers: set[asyncio.Task[wire.FileAnswer]] = set()

    async def listen(self) -> None:
        """Take frames until the pod is gone."""
        while (content := await self._channel.read()) is not None:
            self._take(wire.decode_down(content))

    def _take(self, frame: wire.Down) -> None:
        match frame:
            case wire.Ping(number=number):
                self._put(wire.Pong(number=number))
            case wire.Turn():
                self._turns[frame.id] = asyncio.create_task(self._run(frame), name=f"turn-{frame.id}")
            case wire.Cancel(id=number):
                if number in self._turns:
                    self._turns[number].cancel()
            case wire.Menu():
                self._restaurant = _restaurant(frame)
            case wire.Past(id=number, orders=orders, available=available):
                self._tell(number, orders, available=available)
            case wire.Fetched() | wire.Uploaded() | wire.NoFile():
                if self._file is not None:
                    self._file.set_result(frame)
            case wire.Start():
                raise BadFrameError("a second start")

    async def _run(self, turn: wire.Turn) -> None:
        """Run one turn; whatever it raises, it is answered."""
        try:
            answer = await self._answer(turn)
        except BaseException as error:  # noqa: BLE001 - SystemExit, and a cancelled turn, must not end the others
            answer = wire.encode(_failed(turn.id, error, str(getattr(self._handler, "__module__", ""))))
        self._turns.pop(turn.id, None)
        self._past.pop(turn.id, None)
        self._channel.put(answer)

    async def _answer(self, turn: wire.Turn) -> bytes:
        if self._restaurant is None:
            raise BadFrameError("a turn before the menu")
        services = Services(self._http, partial(self._fetch, turn.id), _Files(self, turn.id), self._write)
        effects = await run_turn(self._handler, self._tenant, self._restaurant, turn.facts, services)
        return wire.encode(wire.Done(id=turn.id, effects=effects))

    async def _fetch(self, number: int) -> tuple[PastOrder, ...]:
        if number not in self._past:
            self._past[number] = asyncio.get_running_loop().create_future()
            self._put(wire.AskPast(id=number))
        return await asyncio.shield(self._past[number])

    async def transfer(self, ask: wire.AskFile) -> wire.FileAnswer:
        """Ask the pod for a file, or hand one over. Raises `MediaError`."""
        # A task of its own: a turn that is cancelled meanwhile must not let the next one ask before this is answered.
        task = asyncio.create_task(self._transfer(ask), name=f"file-{ask.id}")
        self._transfers.add(task)
        task.add_done_callback(self._transferred)
        return await asyncio.shield(task)

    async def _transfer(self, ask: wire.AskFile) -> wire.FileAnswer:
        async with self._one_file:
            if ask.id not in self._turns:
                raise MediaError("The turn is over.")
            self._file = self._loop.create_future()
            self._put(ask)
            answer = await self._file
            self._file = None
        if isinstance(answer, wire.NoFile):
            raise MediaError(answer.problem, hint=answer.hint, again=answer.again)
        return answer

    def _transferred(self, task: asyncio.Task[wire.FileAnswer]) -> None:
        self._transfers.discard(task)
        if not task.cancelled():
            task.exception()  # seen: the turn that waited for it may be gone

    def _tell(self, number: int, orders: tuple[PastOrder, ...], *, available: bool) -> None:
        waiting = self._past.get(number)
        if waiting is None:
            return
        if available:
            waiting.set_result(orders)
        else:
            waiting.set_exception(UnavailableError("The past orders could not be read."))
            waiting.exception()

    def _write(self, level: Level, event: str, facts: dict[str, Fact]) -> None:
        readable = {str(name)[:60]: _readable(value) for name, value in list(facts.items())[:20]}
        said = wire.Said(level=level, event=str(event)[:200], facts=readable)
        if threading.get_ident() == self._thread:
            self._put(said)
        else:
            self._loop.call_soon_threadsafe(self._put, said)

    def _put(self, frame: wire.Up) -> None:
        self._channel.put(wire.encode(frame))


@dataclass(frozen=True)
class _Files:
    """The files of one turn, by way of the pod."""

    runner: TurnRunner
    turn: int

    async def fetch(self) -> File:
        answer = await self.runner.transfer(wire.Fetch(id=self.turn))
        if not isinstance(answer, wire.Fetched):
            raise BadFrameError("an answer to another question")
        return File(answer.content, answer.mime_type)

    async def upload(self, file: File) -> str:
        ask = wire.Upload(id=self.turn, content=file.content, mime_type=file.mime_type)
        answer = await self.runner.transfer(ask)
        if not isinstance(answer, wire.Uploaded):
            raise BadFrameError("an answer to another question")
        return answer.media


def _failed(number: int, error: BaseException, module: str) -> wire.Failed:
    """Describe an exception by its type and place. Its text may hold what a customer wrote: only ours are shown."""
    kind = type(error)
    problem = ""
    if isinstance(error, ComandaError) and kind.__module__.startswith("comanda_"):
        problem = str(error)
    name = (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )
    frames = tuple(frame[:1000] for frame in frames_of(error.__traceback__, skip=_OWN_FILES))
    at = line_of(error.__traceback__, module)[:1000]
    return wire.Failed(id=number, error=name[:1000], at=at, problem=problem[:1000], frames=frames)


def _readable(value: Any) -> Fact:
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return str(value)[:500]


def _restaurant(menu: wire.Menu) -> Restaurant:
    document, currency, timezone, locale = msgspec.json.decode(menu.document)
    return load_restaurant({"name": menu.display_name} | document, currency=currency, timezone=timezone, locale=locale)


async def serve(sock: socket.socket, entry_point: str) -> int:
    """Import the handler and run turns until the pod is gone. Returns the exit code."""
    asyncio.get_running_loop().set_exception_handler(_report)
    channel = await Channel.over(sock, largest=wire.DOWN_BYTES)
    content = await channel.read()
    start = wire.decode_down(content) if content is not None else None
    if not isinstance(start, wire.Start):
        return 1
    _limit_memory(start.memory_mib)
    try:
        handler = load_handler(entry_point)
    except LoadError as error:
        channel.put(wire.encode(wire.Unusable(problem=str(error)[:1000])))
        await channel.flush()
        return 1
    async with http_session() as http:
        channel.put(wire.encode(wire.Ready()))
        await TurnRunner(channel, handler, start.tenant, http).listen()
    return 0


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say that something went wrong beside the turns: its type and place, and nothing of what it says."""
    error = context.get("exception")
    what = f"{type(error).__name__} at {', '.join(frames_of(error.__traceback__))}" if error is not None else ""
    print(f"asyncio: {context.get('message', '')} {what}".strip(), file=sys.stderr)  # noqa: T201 - the pod reads it


def _limit_memory(memory_mib: int) -> None:
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        most = memory_mib * _MIB * _SINGLE_ALLOCATION
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with suppress(OSError):
        # If the machine itself runs out of memory, this process goes and not the pod.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _take_channel() -> socket.socket:
    """Take the socket away from standard input, where nobody else shall read or inherit it."""
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    channel.setblocking(False)  # noqa: FBT003 - the socket's own signature
    return channel


def _close_inherited() -> None:
    """Close what an event loop that knows no `close_fds` let through."""
    for descriptor in list(Path("/dev/fd").iterdir()):
        if int(descriptor.name) > 2:
            with suppress(OSError):  # the listing's own
                os.close(int(descriptor.name))


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


async def _serve_and_leave(entry_point: str) -> NoReturn:
    status = await serve(_take_channel(), entry_point)
    # At once: a turn that will not be cancelled, or a thread of the handler's, must not keep the process.
    os._exit(status)


def main() -> None:
    """Run one worker until the pod is gone."""
    _die_with_parent()
    _close_inherited()
    asyncio.run(_serve_and_leave(sys.argv[1]))


if __name__ == "__main__":
    main()
