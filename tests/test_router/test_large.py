"""Large bodies and large reads: taken in pieces and in turns, refused before they are read where that is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest

from comanda_contract.cloud.limits import WEBHOOK_BYTES
from comanda_router.hot import HotProtocol
from comanda_router.metrics import LIMITS
from comanda_router.signature import SignedBody
from comanda_router.turns import READ_BYTES, Turns
from tests.test_router.memory import MemoryTransport, settle
from tests.test_router.test_hot import connect, feed, look
from tests.test_router.test_twin import BODIES, USUAL, World, make_usual, running_world, statuses

LARGE = BODIES[0][:-1] + b" " * 300_000 + b"}"
"""A webhook with one message, for a pod."""
REQUEST = make_usual(LARGE).content
PIECES = [REQUEST[place : place + 100_000] for place in range(0, len(REQUEST), 100_000)]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


@pytest.fixture(autouse=True)
def empty(world: World) -> None:
    world.pods.stored.clear()


def forged(content: bytes) -> bytes:
    """Return a request with another signature than its own, well-formed all the same."""
    place = content.index(b"sha256=") + len(b"sha256=")
    return content[:place] + b"%x" % (int(content[place : place + 1], 16) ^ 1) + content[place + 1 :]


def test_a_large_body_is_taken_in_pieces_with_what_comes_before_and_behind(world: World) -> None:
    protocol, transport = connect(world)
    feed(world, protocol, USUAL.content + PIECES[0], *PIECES[1:-1], PIECES[-1] + USUAL.content)
    assert statuses(bytes(transport.written), ["POST"] * 3) == [200] * 3
    assert [delivery.key for _, delivery in world.pods.stored] == ["w11"] * 3
    assert (transport.closed, transport.paused) == (False, False)


def test_a_forged_one_is_answered_401_and_never_put_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SignedBody, "content")
    protocol, transport = connect(world)
    feed(world, protocol, *(forged(REQUEST)[place : place + 100_000] for place in range(0, len(REQUEST), 100_000)))
    feed(world, protocol, USUAL.content)
    assert statuses(bytes(transport.written), ["POST"] * 2) == [401, 200]
    assert [delivery.key for _, delivery in world.pods.stored] == ["w11"]


def test_a_large_read_waits_for_its_turn_and_its_connection_is_not_read_on(world: World) -> None:
    async def do() -> None:
        (large, its), (other, others) = world.connect(HotProtocol), world.connect(HotProtocol)
        large.data_received(REQUEST)
        other.data_received(USUAL.content)
        large.data_received(USUAL.content)  # what had been read already keeps its place
        paused = its.paused
        await settle()
        assert (paused, its.paused) == (True, False)
        assert statuses(bytes(others.written), ["POST"]) == [200]
        assert statuses(bytes(its.written), ["POST"] * 2) == [200] * 2

    world.runner.run(do())
    assert len(world.pods.stored) == 3


def test_where_a_forged_one_came_the_next_waits_for_its_turn_and_a_signed_one_ends_that(world: World) -> None:
    async def do() -> None:
        protocol, transport = world.connect(HotProtocol)
        protocol.data_received(forged(USUAL.content))
        for paused in (True, False):
            protocol.data_received(USUAL.content)
            assert transport.paused is paused
            await settle()
            assert not transport.paused
        assert statuses(bytes(transport.written), ["POST"] * 3) == [401, 200, 200]

    world.runner.run(do())


async def test_one_has_its_turn_at_a_time_and_others_come_between() -> None:
    turns, seen, loop = Turns(rest=0), list[str](), asyncio.get_running_loop()

    def work(name: str) -> None:
        seen.append(name)
        loop.call_soon(seen.append, f"after {name}")

    turns.ask(partial(work, "first"))
    turns.ask(partial(work, "second"))
    await settle()
    assert seen == ["first", "after first", "second", "after second"]


async def test_a_turn_that_fails_does_not_end_the_others() -> None:
    def fail() -> None:
        raise ValueError

    turns, seen, done = Turns(), list[str](), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: seen.append(type(context["exception"]).__name__))
    turns.ask(fail)
    turns.ask(done.set)
    await asyncio.wait_for(done.wait(), 30)
    assert seen == ["ValueError"]


def test_a_client_that_goes_before_its_turn_leaves_nothing_behind(world: World) -> None:
    async def do() -> None:
        protocol, transport = world.connect(HotProtocol)
        protocol.data_received(REQUEST)
        protocol.connection_lost(ConnectionResetError())
        await settle()
        assert transport.written == b""

    world.runner.run(do())
    assert world.pods.stored == []


def test_a_large_body_that_does_not_come_to_its_end_is_cut_off(world: World) -> None:
    protocol, transport = connect(world)
    feed(world, protocol, *PIECES[:-1])
    cut_off, now = LIMITS.counts["slow_request"], world.runner.get_loop().time()
    look(world, protocol, now + 9)
    assert not transport.closed
    look(world, protocol, now + 11)
    assert (transport.closed, LIMITS.counts["slow_request"]) == (True, cut_off + 1)


def test_a_shutdown_waits_for_a_large_body(world: World) -> None:
    protocol, transport = connect(world)
    feed(world, protocol, *PIECES[:-1])
    protocol.shutdown()
    assert not transport.closed
    feed(world, protocol, PIECES[-1])
    assert statuses(bytes(transport.written), ["POST"]) == [200]
    assert transport.closed


@pytest.mark.parametrize("line", [b"", b"Connection: keep-alive\r\n"], ids=["hot", "plain"])
def test_when_many_are_being_read_another_is_told_to_come_again(world: World, line: bytes) -> None:
    signature = b"X-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n"
    begun = b"POST /webhook HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n" % (line, signature, WEBHOOK_BYTES)
    room = world.settings.under_way_bytes // WEBHOOK_BYTES
    readers = [connect(world) for _ in range(room)]
    for protocol, _ in readers:
        feed(world, protocol, begun)
    assert not any(transport.closed for _, transport in readers)
    refused, other = connect(world), connect(world)
    feed(world, refused[0], begun)
    assert statuses(bytes(refused[1].written), ["POST"]) == [503]
    assert refused[1].closed
    feed(world, other[0], USUAL.content)
    assert statuses(bytes(other[1].written), ["POST"]) == [200]
    for protocol, transport in readers:
        feed(world, protocol, b"x")
        world.runner.run(closed(transport))
    feed(world, other[0], REQUEST)
    assert statuses(bytes(other[1].written), ["POST"] * 2) == [200, 200]


async def closed(transport: MemoryTransport) -> None:
    transport.close()
    await settle()


def test_one_that_is_too_large_is_not_read(world: World) -> None:
    protocol, transport = connect(world)
    feed(world, protocol, REQUEST.partition(b"Content-Length")[0] + b"Content-Length: 4000000\r\n\r\n")
    assert statuses(bytes(transport.written), ["POST"]) == [413]
    assert transport.closed


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /webhook HTTP/1.1\r\n", 401),
        (b"POST /webhook HTTP/1.1\r\nX-Hub-Signature-256: sha256=abc\r\n", 401),
        (b"POST /webhook/nobody HTTP/1.1\r\nX-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n", 404),
    ],
    ids=["no signature", "malformed signature", "no such app"],
)
class TestWhatTheHeadTells:
    def test_is_answered_without_the_body_and_a_long_one_is_not_read(
        self, world: World, head: bytes, status: int
    ) -> None:
        protocol, transport = connect(world)
        feed(world, protocol, head + b"Content-Length: %d\r\n\r\n" % (READ_BYTES + 1))
        assert statuses(bytes(transport.written), ["POST"]) == [status]
        assert transport.closed

    def test_a_short_body_is_thrown_away_and_the_connection_stays(self, world: World, head: bytes, status: int) -> None:
        protocol, transport = connect(world)
        feed(world, protocol, head + b"Content-Length: 1000\r\n\r\n", b"x" * 600, b"x" * 400 + USUAL.content)
        assert statuses(bytes(transport.written), ["POST"] * 2) == [status, 200]
        assert not transport.closed

    def test_one_without_a_length_may_be_long(self, world: World, head: bytes, status: int) -> None:
        protocol, transport = connect(world)
        feed(world, protocol, head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        assert statuses(bytes(transport.written), ["POST"]) == [status]
        assert transport.closed
