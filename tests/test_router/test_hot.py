"""What the hot path does that its plain twin does not: limits, order under back-pressure, ends of connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from comanda_router.hot import PLAIN_HEAD_BYTES, UNDER_WAY, HotProtocol
from tests.test_router.memory import MemoryTransport, settle
from tests.test_router.test_twin import BODIES, USUAL, World, make_usual, running_world, statuses


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


@pytest.fixture(autouse=True)
def awake(world: World) -> Iterator[None]:
    yield
    world.app.answers.draining = False


def connect(world: World) -> tuple[HotProtocol, MemoryTransport]:
    return world.runner.run(connected(world))


async def connected(world: World) -> tuple[HotProtocol, MemoryTransport]:
    return world.connect(HotProtocol)


def feed(world: World, protocol: HttpToolsProtocol, *reads: bytes) -> None:
    async def do() -> None:
        for read in reads:
            if not protocol.transport.is_closing():
                protocol.data_received(read)
            await settle()

    world.runner.run(do())


def test_many_pipelined_requests_are_answered_in_order_and_reading_pauses_meanwhile(world: World) -> None:
    bodies = [BODIES[0] if index % 3 else b"{" for index in range(3 * UNDER_WAY)]
    content = b"".join(make_usual(body).content for body in bodies)

    async def do() -> tuple[bool, MemoryTransport]:
        protocol, transport = world.connect(HotProtocol)
        protocol.data_received(content)
        paused = transport.paused
        await settle()
        return paused, transport

    paused, transport = world.runner.run(do())
    assert paused
    assert not transport.paused
    assert statuses(bytes(transport.written), ["POST"] * len(bodies)) == [
        200 if body == BODIES[0] else 400 for body in bodies
    ]


def test_a_client_that_takes_no_answers_is_not_read_on(world: World) -> None:
    protocol, transport = connect(world)

    async def do() -> None:
        protocol.pause_writing()
        protocol.data_received(USUAL.content * 2)
        await settle()
        assert (bytes(transport.written), transport.paused) == (b"", True)
        protocol.resume_writing()
        await settle()

    world.runner.run(do())
    assert statuses(bytes(transport.written), ["POST"] * 2) == [200, 200]
    assert not transport.paused


@pytest.mark.parametrize("length", [1, 40, -1])
@pytest.mark.parametrize("method", [b"POST", b"PUT"])
def test_a_request_that_does_not_come_to_its_end_is_cut_off(world: World, length: int, method: bytes) -> None:
    protocol, transport = connect(world)
    feed(world, protocol, USUAL.content.replace(b"POST", method, 1)[:length])
    now = world.runner.get_loop().time()
    look(world, protocol, now + 9)
    assert not transport.closed
    look(world, protocol, now + 11)
    assert transport.closed


def test_a_connection_without_a_request_is_closed_after_the_keep_alive_time(world: World) -> None:
    protocol, transport = connect(world)
    feed(world, protocol, USUAL.content)
    now = world.runner.get_loop().time()
    look(world, protocol, now + 70)
    assert not transport.closed
    look(world, protocol, now + 80)
    assert transport.closed


def test_an_endless_head_is_cut_off(world: World) -> None:
    protocol, transport = connect(world)
    line = b"X-Long: " + b"a" * 10_000 + b"\r\n"
    feed(world, protocol, b"POST /webhook HTTP/1.1\r\n", *[line] * (2 * PLAIN_HEAD_BYTES // len(line)))
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    assert transport.closed


def test_a_head_behind_a_large_body_is_not_taken_for_a_large_head(world: World) -> None:
    protocol, transport = connect(world)
    body = b'{"pad":"' + b"x" * 2 * PLAIN_HEAD_BYTES + b'"}'
    large = make_usual(body).content.replace(b"Host: x", b"Connection: keep-alive", 1)
    feed(world, protocol, large + USUAL.content[:50], USUAL.content[50:])
    assert statuses(bytes(transport.written), ["POST"] * 2) == [200, 200]


def test_while_it_drains_the_last_answer_says_so_and_the_connection_closes(world: World) -> None:
    protocol, transport = connect(world)
    feed(world, protocol, USUAL.content)
    world.app.answers.draining = True
    feed(world, protocol, USUAL.content * 2)
    first, second, third = transport.written.split(b"HTTP/1.1 200")[1:]
    assert [b"connection: close" in each for each in (first, second, third)] == [False, False, True]
    assert transport.closed


def test_a_shutdown_closes_an_idle_connection_and_waits_for_a_busy_one(world: World) -> None:
    idle, busy, partial = connect(world), connect(world), connect(world)

    async def do() -> None:
        busy[0].data_received(USUAL.content)
        partial[0].data_received(USUAL.content[:100])
        for protocol, _ in (idle, busy, partial):
            protocol.shutdown()
        assert [transport.closed for _, transport in (idle, busy, partial)] == [True, False, False]
        await settle()
        assert [transport.closed for _, transport in (busy, partial)] == [True, False]
        partial[0].data_received(USUAL.content[100:])
        await settle()

    world.runner.run(do())
    for _, transport in (busy, partial):
        assert transport.closed
        assert statuses(bytes(transport.written), ["POST"]) == [200]


def test_a_client_that_has_gone_still_gets_its_webhook_stored(world: World) -> None:
    protocol, transport = connect(world)
    world.pods.stored.clear()

    async def do() -> None:
        protocol.data_received(USUAL.content)
        transport.close()
        await settle()

    world.runner.run(do())
    assert transport.written == b""
    assert [delivery.key for _, delivery in world.pods.stored] == ["w11"]


def look(world: World, protocol: HotProtocol, now: float) -> None:
    async def do() -> None:
        protocol.look(now, 10)
        await asyncio.sleep(0)

    world.runner.run(do())
