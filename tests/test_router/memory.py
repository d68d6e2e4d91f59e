"""A network in memory: connections whose reads a test cuts as it likes, and pods that answer in the loop's next turn.

With it nothing has to be waited for: once the loop has nothing left to do, all that will happen has happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from comanda_contract.deliveries import STORED, BatchAnswer, Delivery, decode_batch, encode_answers


class InlineExecutor(ThreadPoolExecutor):
    """Runs what others would run in a thread, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - handed to whoever asks
            future.set_exception(error)
        return future


class MemoryTransport(asyncio.Transport):
    """One side of a connection: keeps what is written."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = bytearray()
        self.closed = False
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after the close"
        self.written += data

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default


class _PodTransport(MemoryTransport):
    """The router's side of a connection to a pod, which answers each request in one piece."""

    def __init__(self, protocol: asyncio.Protocol, pods: MemoryPods, port: int) -> None:
        super().__init__(protocol)
        self._pods = pods
        self._port = port

    def write(self, data: bytes | bytearray | memoryview) -> None:
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/deliveries HTTP/1.1\r\n")
        assert head.endswith(b"Content-Length: %d" % len(body))
        answer = encode_answers(BatchAnswer(answers=self._pods.store(self._port, decode_batch(body).deliveries)))
        message = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)
        asyncio.get_running_loop().call_soon(self.protocol.data_received, message)


@dataclass
class MemoryPods:
    """Every pod there is, by port."""

    stored: list[tuple[int, Delivery]] = field(default_factory=list)

    def store(self, port: int, deliveries: Iterable[Delivery]) -> list[Any]:
        answers = [(port, delivery) for delivery in deliveries]
        self.stored += answers
        return [STORED] * len(answers)

    async def create_connection(self, factory: Callable[[], Any], _host: str, port: int) -> tuple[Any, Any]:
        """Stand in for the event loop's method of this name."""
        protocol = factory()
        transport = _PodTransport(protocol, self, port)
        protocol.connection_made(transport)
        return transport, protocol


async def settle() -> None:
    """Let the loop do all that it has to do."""
    ready: Sized = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    while True:
        await asyncio.sleep(0)
        if not ready:
            return
