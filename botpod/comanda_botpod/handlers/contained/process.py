"""How a worker's process is started: with an environment of its own, and with nothing of the pod's in its hands."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ALWAYS_SEEN = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "TZ")
"""What every handler may see of the pod's environment."""
OWN_PREFIX = "COMANDA_"
"""The pod's own settings begin with it, keys and database addresses among them: no handler sees them."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PR_SET_DUMPABLE = 4


def environment(pod: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the environment of a worker: what every handler sees, and the variables that the tenant names."""
    wanted = [*ALWAYS_SEEN, *(name for name in names if not name.startswith(OWN_PREFIX))]
    return {name: pod[name] for name in wanted if name in pod}


@dataclass(frozen=True)
class Pipe:
    """The pod's end of what a worker prints."""

    reader: asyncio.StreamReader
    transport: asyncio.ReadTransport


@dataclass(frozen=True)
class Spawned:
    """A started worker: its process, the pod's end of the channel, and what it prints."""

    process: asyncio.subprocess.Process
    channel: socket.socket
    stdout: Pipe
    stderr: Pipe


async def spawn(entry_point: str, seen: Mapping[str, str]) -> Spawned:
    """Start a worker. Raises `OSError`.

    The channel is its standard input: besides 0, 1 and 2 it keeps no descriptor. It leads a process group of its own,
    so that what it starts ends with it.
    """
    _hide_memory()
    with ExitStack() as theirs:
        ours, channel = socket.socketpair()
        theirs.enter_context(channel)
        # Pipes of our own: a process that asyncio made pipes for is not over while something it forked holds them.
        (stdout, out), (stderr, err) = os.pipe(), os.pipe()
        theirs.callback(os.close, out)
        theirs.callback(os.close, err)
        pipes = await _pipe(stdout), await _pipe(stderr)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder that the pod happens to run in holds no handlers
                "-u",
                "-m",
                "comanda_botpod.handlers.worker",
                entry_point,
                stdin=channel.fileno(),
                stdout=out,
                stderr=err,
                env=dict(seen),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            for pipe in pipes:
                pipe.transport.close()
            raise
    ours.setblocking(False)  # noqa: FBT003 - the socket's own signature
    return Spawned(process, ours, *pipes)


async def _pipe(descriptor: int) -> Pipe:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    file = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
    return Pipe(reader, transport)


def kill(pid: int) -> None:
    """End a worker and all that it started, at once."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def resident_bytes(pid: int) -> int:
    """Return how much memory a process holds; 0 where the system does not tell (it is then not watched)."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


@cache
def _hide_memory() -> None:
    """Keep the pod's memory and environment from other processes of the same user, its workers among them."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
