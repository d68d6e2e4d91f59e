from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.cluster import FaultProxy
from tests.cluster.processes import free_port
from tests.harness import until


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """In front of a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
        writer.close()

    port = free_port()
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    async with server, FaultProxy(port) as proxy:
        yield proxy


class Talk:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, proxy: FaultProxy) -> Talk:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def say(self, words: bytes) -> bytes:
        self.writer.write(words)
        return await self.reader.readexactly(len(words))

    def end(self) -> None:
        self.writer.transport.abort()


async def test_what_goes_in_comes_out(proxy: FaultProxy) -> None:
    talk = await Talk.to(proxy)
    assert await talk.say(b"x" * 1_000_000) == b"x" * 1_000_000
    talk.writer.write_eof()
    assert await talk.reader.read() == b""
    talk.end()


async def test_cutting_resets_what_is_open_and_nothing_else(proxy: FaultProxy) -> None:
    old = await Talk.to(proxy)
    await old.say(b"hello")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await old.reader.readexactly(1)
    new = await Talk.to(proxy)
    assert await new.say(b"hello") == b"hello"
    assert proxy.connections == 2
    new.end()


async def test_refusing_ends_what_is_open_and_keeps_new_ones_out_until_it_accepts_again(proxy: FaultProxy) -> None:
    talk = await Talk.to(proxy)
    await talk.say(b"hello")
    await proxy.refuse()
    with pytest.raises(ConnectionResetError):
        await talk.reader.readexactly(1)
    with pytest.raises(ConnectionRefusedError):
        await Talk.to(proxy)
    await proxy.accept()
    again = await Talk.to(proxy)
    assert await again.say(b"hello") == b"hello"
    again.end()


async def test_freezing_holds_everything_and_thawing_loses_nothing(proxy: FaultProxy) -> None:
    talk = await Talk.to(proxy)
    await talk.say(b"hello")
    proxy.freeze()
    saying = asyncio.create_task(talk.say(b"later"))
    await until(lambda: proxy.held_bytes == 5)
    assert not saying.done()
    proxy.thaw()
    assert await saying == b"later"
    assert proxy.held_bytes == 0
    talk.end()


async def test_freezing_may_come_in_the_middle_of_what_is_said(proxy: FaultProxy) -> None:
    talk = await Talk.to(proxy)
    await talk.say(b"hello")
    proxy.freeze(after_bytes=3)
    talk.writer.write(b"later")
    await until(lambda: proxy.held_bytes > 0)
    proxy.thaw()
    assert await talk.reader.readexactly(5) == b"later"
    talk.end()


async def test_stranded_connections_stay_silent_while_new_ones_work(proxy: FaultProxy) -> None:
    old = await Talk.to(proxy)
    await old.say(b"hello")
    proxy.strand()
    saying = asyncio.create_task(old.say(b"anybody?"))
    new = await Talk.to(proxy)
    assert await new.say(b"hello") == b"hello"
    assert not saying.done()
    proxy.cut()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await saying
    new.end()


async def test_a_delay_keeps_the_order(proxy: FaultProxy) -> None:
    proxy.delay_seconds = 0.01
    talk = await Talk.to(proxy)
    for word in (b"one", b"two", b"six"):
        assert await talk.say(word) == word
    talk.end()


async def test_a_target_that_is_not_there_is_a_connection_that_ends() -> None:
    async with FaultProxy(free_port()) as proxy:
        talk = await Talk.to(proxy)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await talk.reader.readexactly(1)
        talk.end()
