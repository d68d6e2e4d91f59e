"""Routers as real processes before recording pods, and clients that speak to them as Meta's proxies do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness import APP_SECRET, sign, until
from tests.test_router.conftest import MASTER_KEY


@dataclass
class RouterProcess:
    """One router, or one parent of workers."""

    process: asyncio.subprocess.Process
    port: int
    health_port: int

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return await self.process.wait()

    async def is_ready(self) -> bool:
        try:
            return (await get(self.health_port, "/readyz")).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


@asynccontextmanager
async def running_router(folder: Path, port: int, health_port: int, **settings: str) -> AsyncIterator[RouterProcess]:
    """Run a router and wait until it is ready. It is killed at the end if it still lives."""
    router = await start_router(folder, port, health_port, **settings)
    try:
        yield router
    finally:
        if router.process.returncode is None:
            router.process.kill()
            await router.process.wait()


async def start_router(folder: Path, port: int, health_port: int, **settings: str) -> RouterProcess:
    environment = {
        "PORT": str(port),
        "HEALTH_PORT": str(health_port),
        "DIRECTORY_FILE": str(folder / "directory.json"),
        "APPS_DIR": str(folder / "apps"),
        "MASTER_KEY": MASTER_KEY,
        "DEAD_LETTERS_DIR": str(folder / "dead"),
        "CUSTOMER_PER_MINUTE": "100000",
        "CUSTOMER_BURST": "100000",
        **settings,
    }
    with (folder / "router.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "comanda_router"),
            env=os.environ | {f"COMANDA_ROUTER_{name}": value for name, value in environment.items()},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=log,
        )
    router = RouterProcess(process, port, health_port)

    async def ready() -> bool:
        assert process.returncode is None, (folder / "router.log").read_text()
        return await router.is_ready()

    await until(ready, 30)
    return router


async def get(port: int, path: str) -> bytes:
    """Return the whole answer to a GET, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: router\r\nConnection: close\r\n\r\n".encode())
        return await reader.read()
    finally:
        writer.close()


def request_of(body: bytes) -> bytes:
    """Return a signed webhook as it comes over the wire."""
    head = f"POST /webhook HTTP/1.1\r\nHost: router\r\nX-Hub-Signature-256: {sign(body, APP_SECRET)}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class KeepAliveClient:
    """A client with one connection at a time, which it keeps as long as the router does.

    It repeats a request on a new connection only when the old one has ended without one byte of an answer: an ended
    connection answers nothing it has not read, and HTTP lets a client repeat then (RFC 9112, section 9.3.1).
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.repeated = 0

    async def post(self, body: bytes) -> int:
        """Post one webhook and return its status."""
        request = request_of(body)
        while True:
            try:
                head = await self._ask(request)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                if isinstance(error, asyncio.IncompleteReadError) and error.partial:
                    raise
                self.repeated += 1
                self.close()
                continue
            if b"\r\nconnection: close\r\n" in head.lower():
                self.close()
            return int(head.split(b" ", 2)[1])

    async def _ask(self, request: bytes) -> bytes:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await self._reader.readexactly(length)
        return head

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
