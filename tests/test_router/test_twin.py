"""The hot path and its plain twin, uvicorn's own protocol before the same app, answer alike whatever is sent to them.

100,000 requests are drawn, half of them in connections in which one is odd. COMANDA_TWIN_REQUESTS=1000000 makes it a
longer run. A seed that a failure names is drawn again with COMANDA_TWIN_SEED.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec
import pytest
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint, encode_directory
from comanda_router.app import RouterApp, create_app
from comanda_router.hot import HotProtocol
from comanda_router.metrics import DEAD_LETTERS
from comanda_router.server import make_config
from comanda_router.settings import RouterSettings
from tests.harness import APP_SECRET, VERIFY_TOKEN, change, sign, text_message, webhook
from tests.test_router.conftest import MASTER_KEY, NUMBERS, UNMETERED, write_app
from tests.test_router.memory import InlineExecutor, MemoryPods, MemoryTransport, settle

REQUESTS = int(os.environ.get("COMANDA_TWIN_REQUESTS", "100000"))
TIMEOUT_SECONDS = max(300, REQUESTS // 100)
MEMORY = Path("/dev/shm")
FIRST_SEED = int(os.environ.get("COMANDA_TWIN_SEED", "0"))
BRAND_SECRET = "brand-secret"

Protocol = TypeVar("Protocol", bound=HttpToolsProtocol)
Answered = tuple[bytes, bool, list[tuple[int, bytes]], int]
"""All that was written, whether the connection was closed, what pods got, and how many dead letters there are."""


@dataclass(frozen=True)
class Request:
    """One request as bytes, and whether it must get an answer."""

    content: bytes
    method: str
    sound: bool


class World:
    """One router in memory, before which either protocol can be put."""

    def __init__(self, folder: Path) -> None:
        write_app(folder, "default", appSecret=APP_SECRET, verifyToken=VERIFY_TOKEN)
        write_app(folder, "brand", appSecret=BRAND_SECRET, verifyToken="brand-token")
        pods = tuple(PodEndpoint(name=f"pod-{port}", url=f"http://pod:{port}", ready=True) for port in (1, 2, 3))
        directory = Directory(
            numbers=tuple(
                NumberEntry(phone_number_id=number, tenant=f"default/t{number}", app=app, group="pool", **UNMETERED)
                for number, (_, app) in NUMBERS.items()
            ),
            groups=(Group(name="pool", uid="uid", pods=pods),),
        )
        (folder / "directory.json").write_bytes(encode_directory(directory))
        self.settings = RouterSettings(
            directory_file=folder / "directory.json",
            apps_dir=folder / "apps",
            master_key=MASTER_KEY,
            dead_letters_dir=folder / "dead",
            reload_seconds=60,
            customer_per_minute=100_000,
            customer_burst=100_000,
        )
        self.pods = MemoryPods()
        self.buried = 0
        self.runner = asyncio.Runner()
        self.app: RouterApp = create_app(self.settings)
        self.config: Config = make_config(self.app)
        self.config.load()

    def start(self) -> None:
        self.runner.run(self._start())

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(InlineExecutor())
        loop.create_connection = self.pods.create_connection  # type: ignore[method-assign, assignment]
        self._life = self.config.lifespan_class(self.config)
        await self._life.startup()
        self.app.webhooks.turns.rest = 0  # a rest would be all that there is to wait for here

    def stop(self) -> None:
        self.runner.run(self._life.shutdown())
        self.runner.close()

    def connect(self, kind: type[Protocol]) -> tuple[Protocol, MemoryTransport]:
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        protocol = kind(config=self.config, server_state=state, app_state={})
        transport = MemoryTransport(protocol)
        protocol.connection_made(transport)
        return protocol, transport

    def ask(
        self, kind: type[HttpToolsProtocol], requests: list[Request], cuts: list[int], *, at_once: bool
    ) -> Answered:
        return self.runner.run(self.asked(kind, requests, cuts, at_once=at_once))

    async def asked(
        self, kind: type[HttpToolsProtocol], requests: list[Request], cuts: list[int], *, at_once: bool
    ) -> Answered:
        protocol, transport = self.connect(kind)
        self.pods.stored.clear()
        already = sum(DEAD_LETTERS.counts.values())
        pieces = [b"".join(each.content for each in requests)] if at_once else [each.content for each in requests]
        for piece in pieces:
            for part in cut(piece, cuts):
                if transport.paused and not transport.closed:
                    await settle()
                    assert can_read(transport), "nothing is left to do, yet reading is paused"
                if not transport.closed:
                    protocol.data_received(part)
                    await asyncio.sleep(0)
            await settle()
        stored = sorted((port, msgspec.json.encode(delivery)) for port, delivery in self.pods.stored)
        result = bytes(transport.written), transport.closed, stored, sum(DEAD_LETTERS.counts.values()) - already
        transport.close()
        await settle()
        return result


@contextmanager
def running_world() -> Iterator[World]:
    log = logging.getLogger("uvicorn.error")
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder, ExitStack() as stack:
        world = World(Path(folder))
        world.start()
        stack.callback(world.stop)
        stack.callback(log.setLevel, log.level)
        log.setLevel(logging.CRITICAL)  # it tells of each malformed request
        yield world


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


def can_read(transport: MemoryTransport) -> bool:
    return transport.closed or not transport.paused


def cut(content: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes into reads; the places are taken modulo the length."""
    places = sorted({place % (len(content) + 1) for place in cuts} | {0, len(content)})
    return [content[begin:end] for begin, end in pairwise(places) if begin < end]


def statuses(written: bytes, methods: list[str]) -> list[int]:
    """Read the statuses of answers; to HEAD they have no body."""
    found = []
    while written:
        head, _, written = written.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert len(headers) == len(lines)
        found.append(int(first.removeprefix("HTTP/1.1 ").partition(" ")[0]))
        length = 0 if methods[len(found) - 1] == "HEAD" else int(headers["content-length"])
        assert len(written) >= length
        written = written[length:]
    return found


# --- What is sent ----------------------------------------------------------------------------------------------------


def often(random: Random, usual: Any, *others: Any, percent: int = 85) -> Any:
    """Draw the usual value most of the time."""
    return usual if random.random() * 100 < percent else random.choice(others)


def body_of(number: str, wamid: str) -> bytes:
    return msgspec.json.encode(webhook(change(number, messages=[text_message(wamid, timestamp=1)])))


BODIES = [
    *(body_of(number, f"w{number}") for number in ("11", "22", "33", "99")),
    msgspec.json.encode(webhook(change("11", statuses=[{"id": "w1", "status": "read"}]))),
    msgspec.json.encode(
        webhook(
            *(change(number, messages=[text_message(f"m{number}{i}") for i in range(3)]) for number in ("11", "22"))
        )
    ),
    msgspec.json.encode(webhook({"field": "account_update", "value": {"event": "X"}})),
    b'{"entry":[],"pad":"' + b"x" * 70_000 + b'"}',
    b"{}",
    b"",
    b"hello",
    b"\xff\xfe\r\n\r\nPOST /webhook HTTP/1.1\r\n\r\n",
]

PATHS = ["/webhook", "/webhook/default", "/webhook/brand"]
ODD_PATHS = [
    "/webhook/", "/webhook/nobody", "/webhook?x=1", "/webhook/%62rand", "/webhooks", "/elsewhere", "/healthz",
    "/readyz", "http://x/webhook", "*", "/webhook/a/b", "/WEBHOOK", "/webhook/bränd", "webhook", "/webhook#x",
    "//webhook", "",
]  # fmt: skip
ODD_LINES = [
    b"Transfer-Encoding: chunked", b"transfer-encoding: gzip, chunked", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: identity", b"Connection: close", b"connection: keep-alive", b"Connection: upgrade",
    b"Upgrade: websocket", b"Upgrade: h2c", b"Expect: 100-continue", b"Proxy-Connection: close", b"X: a\r\n b",
    b"X: a\r\n\tb", b"Bad Name: x", b"Bad\x00: x", b"X: \x00", b"X: \x7f", b"X: a\rb", b"X: a\nY: b", b"no colon",
    b": x", b"Content-Length : 3", b"Content-Length: 3", b"X-Hub-Signature-256: sha256=" + b"0" * 64, b" X: y",
    b"X-Hub-Signature-256 : x", b"Content-Length-X: 7", b"X-Hub-Signature-2567: x", b"Keep-Alive: timeout=5",
    b"X-Long: " + b"a" * 20_000, b"\xe9: x", b"TE: trailers", b"Trailer: X",
    b"Connection: Upgrade\r\nUpgrade: websocket", b"Connection: Upgrade\r\nUpgrade: h2c",
]  # fmt: skip
SOUND_LINES = [
    b"Host: hooks.example.com", b"User-Agent: facebookexternalua", b"Accept: */*", b"Content-Type: application/json",
    b"X-Request-Id: 4f0c", b"X-Forwarded-For: 173.252.87.12, 10.0.0.1", b"X-Forwarded-Proto:https", b"Empty:",
    b"X-Hub-Signature: sha1=" + b"0" * 40, b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"TraceParent:\t00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00 ", b"TRACEPARENT: 00-ABC-DEF-01",
    b"X-\xc2\xb5: x"[:2] + b"Latin: \xe9\xff", b"Tabbed:\tx\t", b"Expires: 0", b"Contents: 7", b"Upgraded: no",
]  # fmt: skip


def draw_sound(random: Random) -> Request:
    """Draw a request that is complete and alone in its frame, so that it must get an answer of its own."""
    body = random.choice(BODIES)
    path = often(random, random.choice(PATHS), *ODD_PATHS[:7], percent=80)
    method = often(random, "POST", "GET", "HEAD", "PUT")
    name = random.choice(["Content-Length: ", "content-length:", "CONTENT-LENGTH: \t"])
    lines = [*draw_lines(random, body), f"{name}{len(body)}".encode()]
    if random.random() < 0.1:
        lines[-1], body = b"Transfer-Encoding: chunked", chunked(body, random.randint(1, 300) + len(body) // 300)
    random.shuffle(lines)
    head = b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *lines])
    return Request(head + b"\r\n\r\n" + body, method, sound=True)


def draw_odd(random: Random) -> Request:
    """Draw a request with something odd about it; it may get no answer, or more than one."""
    body = random.choice(BODIES)
    path = often(random, random.choice(PATHS), *ODD_PATHS, percent=70)
    method = often(random, "POST", "GET", "HEAD", "post", "POSTX", "CONNECT", "OPTIONS", "", percent=80)
    version = often(random, "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", "", percent=80)
    odd = ["+5", "0x10", "", "5,5", "-1", "5 5", "9" * 23, "4000000", f"000{len(body)}"]
    length = often(random, f"Content-Length: {len(body)}", *(f"Content-Length: {each}" for each in odd), "X: none")
    lines = [*draw_lines(random, body), length.encode(), *random.choices(ODD_LINES, k=random.randint(0, 2))]
    random.shuffle(lines)
    end = often(random, b"\r\n", b"\n", percent=90)
    head = end.join([f"{method} {path} {version}".encode(), *lines])
    return Request(head + end + end + body, method, sound=False)


def draw_lines(random: Random, body: bytes) -> list[bytes]:
    """Draw the header lines that say nothing of the frame."""
    lines = random.sample(SOUND_LINES, random.randint(0, 8))
    right = signature_of(body, APP_SECRET)
    others = [signature_of(body, "another"), right.upper(), right[:-1], "", "sha256=", "sha1=" + "0" * 40, " " + right]
    value = often(random, right, signature_of(body, BRAND_SECRET), *others, percent=70)
    if random.random() < 0.95:
        lines.append(f"{random.choice(NAMES)}: {value}".encode())
    return lines


signature_of = cache(sign)
NAMES = ["X-Hub-Signature-256"] * 3 + ["x-hub-signature-256", "X-HUB-SIGNATURE-256"]


def chunked(body: bytes, size: int) -> bytes:
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def draw_cuts(random: Random) -> list[int]:
    return [random.randrange(random.choice((700, 100_000))) for _ in range(random.choice((0, 0, 1, 2, 3, 12)))]


# --- The law ---------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_hot_and_plain_answer_alike(world: World) -> None:
    async def hold() -> None:
        drawn, seed = 0, FIRST_SEED
        while drawn < REQUESTS / 2:
            random = Random(seed)
            requests = [draw_sound(random) for _ in range(random.choice((1, 2, 3, 6, 18)))]
            cuts, at_once = draw_cuts(random), random.random() < 0.5
            hot = await world.asked(HotProtocol, requests, cuts, at_once=at_once)
            plain = await world.asked(HttpToolsProtocol, requests, cuts, at_once=at_once)
            assert hot == plain, f"seed {seed}"
            answers = statuses(plain[0], [each.method for each in requests])
            # What comes behind a body that was refused before it was read is not read either.
            assert len(answers) == len(requests) or (plain[1] and answers[-1] in {401, 404}), f"seed {seed}"
            drawn, seed = drawn + len(answers), seed + 1

    world.runner.run(hold())


@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_they_do_so_when_something_is_odd(world: World) -> None:
    async def hold() -> None:
        for seed in range(FIRST_SEED, FIRST_SEED + REQUESTS // 6):
            random = Random(seed)
            # The request after it shows in which state the connection is left.
            requests = [draw_sound(random), draw_odd(random), USUAL]
            cuts = draw_cuts(random)
            hot = await world.asked(HotProtocol, requests, cuts, at_once=False)
            plain = await world.asked(HttpToolsProtocol, requests, cuts, at_once=False)
            assert hot == plain or lost_an_answer(hot, plain), f"seed {seed}: {requests[1].content[:1000]!r}"

    world.runner.run(hold())


def lost_an_answer(hot: Answered, plain: Answered) -> bool:
    """Tell whether the two differ in what uvicorn drops and we do not.

    When malformed bytes follow a request in one read, uvicorn writes its 400 at once and closes: the answer that was
    under way is lost. Ours is written first, and then the same 400.
    """
    before, mark, refusal = plain[0].rpartition(b"HTTP/1.1 400 Bad Request\r\n")
    malformed = refusal.endswith(b"\r\n\r\nInvalid HTTP request received.")
    kept = hot[0].startswith(before) and hot[0].endswith(mark + refusal)
    return malformed and kept and hot[1:] == plain[1:] == (True, *plain[2:])


def test_malformed_bytes_behind_a_request_do_not_cost_its_answer(world: World) -> None:
    garbage = Request(USUAL.content + b"lo", "POST", sound=False)
    hot = world.ask(HotProtocol, [garbage], [], at_once=True)
    plain = world.ask(HttpToolsProtocol, [garbage], [], at_once=True)
    assert hot != plain
    assert lost_an_answer(hot, plain)
    assert hot[0].startswith(b"HTTP/1.1 200 OK\r\n")


def make_usual(body: bytes) -> Request:
    head = (
        f"POST /webhook HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: {sign(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Request(head.encode() + body, "POST", sound=True)


USUAL = make_usual(BODIES[0])


def test_a_usual_request_does_not_reach_the_plain_path(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_arguments: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(HttpToolsProtocol, "data_received", unwanted)
    written, closed, stored, _ = world.ask(HotProtocol, [USUAL] * 3, [5, 80, 300, 700], at_once=True)
    assert statuses(written, ["POST"] * 3) == [200] * 3
    assert (closed, len(stored)) == (False, 3)
