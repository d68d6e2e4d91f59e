from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohappyeyeballs
import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer
from yarl import URL

from comanda_botpod.media import MediaClient
from comanda_botpod.media_errors import MediaGraphError, MediaRefusedError, MediaUnavailableError
from comanda_botpod.media_hosts import check_url, is_public, origin_of
from comanda_botpod.media_types import TYPES, MediaLimits, family_of
from comanda_botpod.tenants import Tenant
from comanda_simulator.app import create_app as create_simulator
from comanda_simulator.config import AppConfig, NumberConfig, Settings, SimulatorConfig
from tests.harness import serving, until
from tests.test_botpod.conftest import tenant

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN = "good-token"
TENANT = Tenant(settings=tenant(), documents=None, access_token=TOKEN)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
STATIC_STICKER = b"RIFF\0\0\0\0WEBPVP8 " + bytes(600)
ANIMATED_STICKER = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + bytes(600)
SAMPLES = {
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(16),
    "png": PNG,
    "webp": STATIC_STICKER,
    "aac": b"\xff\xf1" + bytes(16),
    "amr": b"#!AMR\n" + bytes(16),
    "mp3": b"ID3\x04" + bytes(16),
    "mp4": b"\0\0\0\x18ftypmp42" + bytes(16),
    "ogg": b"OggS\0\x02" + bytes(16),
    "pdf": b"%PDF-1.7\n",
    "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16),
    "zip": b"PK\x03\x04" + bytes(16),
    "text": "Olá, quero 2 pizzas".encode(),
}


@dataclass
class Meta:
    """A Graph API that answers as it is told, and counts what it is asked."""

    url: str = ""
    node: dict[str, Any] = field(default_factory=dict)
    file: Handler = None  # type: ignore[assignment]  # each test brings its own
    asked: list[web.Request] = field(default_factory=list)
    fetched: list[web.Request] = field(default_factory=list)

    async def describe(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        described = {"url": f"{self.url}/file", "mime_type": "image/png", "sha256": hashlib.sha256(PNG).hexdigest()}
        return web.json_response(described | self.node)

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        self.fetched.append(request)
        return await self.file(request)


async def send_png(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=PNG, content_type="image/png")


@pytest.fixture
async def meta() -> AsyncIterator[Meta]:
    found = Meta(file=send_png)
    app = web.Application()
    app.router.add_get("/v26.0/{media}", found.describe)
    app.router.add_get("/file", found.fetch)
    async with TestServer(app, host="127.0.0.1") as server:
        found.url = str(server.make_url("")).rstrip("/")
        yield found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@contextlib.asynccontextmanager
async def client_of(session: aiohttp.ClientSession, url: str, **changes: Any) -> AsyncIterator[MediaClient]:
    client = MediaClient(session, url, **({"timeout_seconds": 20.0} | changes))
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def client(session: aiohttp.ClientSession, meta: Meta) -> AsyncIterator[MediaClient]:
    async with client_of(session, meta.url) as client:
        yield client


async def refused(client: MediaClient, media_id: str = "1") -> str:
    with pytest.raises(MediaRefusedError) as raised:
        await client.download(TENANT, TOKEN, media_id)
    return raised.value.refusal


class TestWithTheSimulator:
    @pytest.fixture
    async def simulator(self) -> AsyncIterator[Any]:
        numbers = tuple(
            NumberConfig(phone_number_id=number, waba_id="2", display_phone_number="56900000000", access_token=token)
            for number, token in (("10000011", TOKEN), ("10000022", "other-token"))
        )
        config = SimulatorConfig(apps={"default": AppConfig(app_secret="s")}, numbers=numbers)
        app = create_simulator(config)
        async with serving(app) as url:
            app.state.url = url
            yield app

    @pytest.mark.parametrize("mime_type", sorted(TYPES))
    async def test_what_was_uploaded_comes_back(
        self, session: aiohttp.ClientSession, simulator: Any, mime_type: str
    ) -> None:
        content = SAMPLES[TYPES[mime_type][1]]
        async with client_of(session, simulator.state.url) as client:
            media_id = await client.upload(TENANT, TOKEN, content, mime_type)
            media = await client.download(TENANT, TOKEN, media_id)
        assert (media.content, media.mime_type) == (content, mime_type)
        assert media.sha256 == hashlib.sha256(content).hexdigest()

    async def test_a_large_file_comes_back_whole(self, session: aiohttp.ClientSession, simulator: Any) -> None:
        content = SAMPLES["pdf"] + bytes(7 * 1024 * 1024)
        async with client_of(session, simulator.state.url) as client:
            media_id = await client.upload(TENANT, TOKEN, content, "application/pdf")
            assert (await client.download(TENANT, TOKEN, media_id)).content == content

    async def test_an_unknown_id_is_metas_refusal(self, session: aiohttp.ClientSession, simulator: Any) -> None:
        async with client_of(session, simulator.state.url) as client:
            with pytest.raises(MediaGraphError, match="error 100") as raised:
                await client.download(TENANT, TOKEN, "123456")
        assert (raised.value.error_code, raised.value.action) == (100, "drop_message")
        assert "sent again" in raised.value.hint

    async def test_a_dead_token_stops_the_tenant(self, session: aiohttp.ClientSession, simulator: Any) -> None:
        media = simulator.state.cloud.media.add("10000011", "image/png", PNG)
        async with client_of(session, simulator.state.url) as client:
            for call in (
                client.download(TENANT, "dead-token", media.id),
                client.upload(TENANT, "dead-token", PNG, "image/png"),
            ):
                with pytest.raises(MediaGraphError) as raised:
                    await call
                assert (raised.value.error_code, raised.value.action) == (190, "stop_tenant")
                assert "dead-token" not in str(raised.value)

    async def test_the_media_of_another_number_stays_there(
        self, session: aiohttp.ClientSession, simulator: Any
    ) -> None:
        media = simulator.state.cloud.media.add("10000022", "image/png", PNG)
        async with client_of(session, simulator.state.url) as client:
            with pytest.raises(MediaGraphError):
                await client.download(TENANT, TOKEN, media.id)

    async def test_a_url_that_is_always_expired_is_given_up(
        self, session: aiohttp.ClientSession, simulator: Any
    ) -> None:
        media = simulator.state.cloud.media.add("10000011", "image/png", PNG)
        config = simulator.state.cloud.config
        simulator.state.cloud.apply(
            SimulatorConfig(apps=config.apps, numbers=config.numbers, settings=Settings(media_seconds=-60))
        )
        async with client_of(session, simulator.state.url) as client:
            with pytest.raises(MediaGraphError, match="no longer has the media"):
                await client.download(TENANT, TOKEN, media.id)


class TestUpload:
    @pytest.mark.parametrize(
        ("content", "mime_type", "refusal"),
        [
            (PNG, "image/jpeg", "type"),
            (PNG, "image/tiff", "type"),
            (PNG, "", "type"),
            (b"", "image/png", "type"),
            (b"MZ\0\0", "text/plain", "type"),
            (PNG + bytes(5 * 1024 * 1024), "image/png", "size"),
            (STATIC_STICKER + bytes(100 * 1024), "image/webp", "size"),
            (ANIMATED_STICKER + bytes(500 * 1024), "image/webp", "size"),
        ],
    )
    async def test_what_meta_would_refuse_is_not_sent(
        self, client: MediaClient, content: bytes, mime_type: str, refusal: str
    ) -> None:
        with pytest.raises(MediaRefusedError) as raised:
            await client.upload(TENANT, TOKEN, content, mime_type)
        assert raised.value.refusal == refusal

    async def test_an_answer_without_an_id_is_refused(self, session: aiohttp.ClientSession) -> None:
        async def empty(_request: web.Request) -> web.StreamResponse:
            return web.json_response({})

        app = web.Application()
        app.router.add_post("/v26.0/10000011/media", empty)
        async with TestServer(app) as server, client_of(session, str(server.make_url(""))) as client:
            with pytest.raises(MediaRefusedError, match="no media id"):
                await client.upload(TENANT, TOKEN, PNG, "image/png")


class TestHostileFiles:
    async def test_a_good_file_is_taken(self, client: MediaClient, meta: Meta) -> None:
        media = await client.download(TENANT, TOKEN, "1")
        assert media.content == PNG
        assert "content" not in repr(media)
        assert [request.query["phone_number_id"] for request in meta.asked] == ["10000011"]
        assert [request.headers["Authorization"] for request in meta.fetched] == [f"Bearer {TOKEN}"]

    async def test_a_digest_in_base64_is_read(self, client: MediaClient, meta: Meta) -> None:
        meta.node = {"sha256": base64.b64encode(hashlib.sha256(PNG).digest()).decode(), "file_size": str(len(PNG))}
        assert (await client.download(TENANT, TOKEN, "1")).content == PNG

    async def test_a_url_that_has_expired_is_asked_for_again_once(self, client: MediaClient, meta: Meta) -> None:
        async def expired_first(request: web.Request) -> web.StreamResponse:
            return web.Response(status=404) if len(meta.fetched) == 1 else await send_png(request)

        meta.file = expired_first
        assert (await client.download(TENANT, TOKEN, "1")).content == PNG
        assert (len(meta.asked), len(meta.fetched)) == (2, 2)

    async def test_a_redirect_is_not_followed(self, client: MediaClient, meta: Meta) -> None:
        async def elsewhere(_request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{meta.url}/file?again")

        meta.file = elsewhere
        assert await refused(client) == "redirect"
        assert len(meta.fetched) == 1

    async def test_a_redirect_of_the_graph_api_is_not_followed(self, session: aiohttp.ClientSession) -> None:
        asked: list[str] = []

        async def elsewhere(request: web.Request) -> web.StreamResponse:
            asked.append(request.path)
            raise web.HTTPTemporaryRedirect("/v26.0/other")

        app = web.Application()
        app.router.add_get("/v26.0/{media}", elsewhere)
        async with TestServer(app) as server, client_of(session, str(server.make_url(""))) as client:
            assert await refused(client) == "redirect"
        assert asked == ["/v26.0/1"]

    @pytest.mark.parametrize(("declared", "refusal"), [({}, "size"), ({"file_size": len(PNG)}, "length")])
    async def test_an_endless_body_ends_at_the_limit_or_the_declared_length(
        self, client: MediaClient, meta: Meta, declared: dict[str, Any], refusal: str
    ) -> None:
        sent = 0

        async def endless(request: web.Request) -> web.StreamResponse:
            nonlocal sent
            response = web.StreamResponse()
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                for block in itertools.chain([PNG], itertools.repeat(bytes(64 * 1024))):
                    await response.write(block)
                    sent += len(block)
            return response

        meta.file = endless
        meta.node = declared
        assert await refused(client) == refusal
        assert sent < 64 * 1024 * 1024

    async def test_a_body_short_of_its_declared_length_is_refused(self, client: MediaClient, meta: Meta) -> None:
        meta.node = {"file_size": len(PNG) + 1}
        assert await refused(client) == "length"

    async def test_a_body_that_breaks_off_may_be_tried_again(self, client: MediaClient, meta: Meta) -> None:
        async def broken(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": str(len(PNG) * 2)})
            await response.prepare(request)
            await response.write(PNG)
            assert request.transport is not None
            request.transport.close()
            return response

        meta.file = broken
        with pytest.raises(MediaUnavailableError, match="ClientPayloadError"):
            await client.download(TENANT, TOKEN, "1")

    @pytest.mark.parametrize("size", [5 * 1024 * 1024 + 1, 10**15])
    async def test_a_file_that_says_it_is_too_large_is_not_fetched(
        self, client: MediaClient, meta: Meta, size: int
    ) -> None:
        meta.node = {"file_size": size}
        assert await refused(client) == "size"
        assert meta.fetched == []

    async def test_an_answer_that_says_it_is_too_large_is_not_read(self, client: MediaClient, meta: Meta) -> None:
        async def large(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": str(10**9)})
            await response.prepare(request)
            return response

        meta.file = large
        assert await refused(client) == "size"

    @pytest.mark.parametrize(
        ("content", "mime_type"),
        [
            (b"<html><script>alert(1)</script>", "image/png"),
            (SAMPLES["jpeg"], "image/png"),
            (SAMPLES["zip"], "application/pdf"),
            (b"MZ\x90\0" + bytes(600), "application/pdf"),
            (b"", "image/png"),
            (PNG, "application/x-msdownload"),
            (PNG, "text/plain"),
        ],
    )
    async def test_a_file_of_another_type_is_refused(
        self, client: MediaClient, meta: Meta, content: bytes, mime_type: str
    ) -> None:
        async def send(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=content)

        meta.file = send
        meta.node = {"mime_type": mime_type, "sha256": hashlib.sha256(content).hexdigest()}
        assert await refused(client) == "type"

    @pytest.mark.parametrize(
        ("content", "refusal"),
        [
            (STATIC_STICKER + bytes(100 * 1024), "size"),
            (ANIMATED_STICKER + bytes(500 * 1024), "size"),
            (ANIMATED_STICKER + bytes(100 * 1024), None),
        ],
    )
    async def test_a_sticker_may_be_larger_when_it_moves(
        self, client: MediaClient, meta: Meta, content: bytes, refusal: str | None
    ) -> None:
        async def send(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=content)

        meta.file = send
        meta.node = {"mime_type": "image/webp", "sha256": hashlib.sha256(content).hexdigest()}
        if refusal is None:
            assert (await client.download(TENANT, TOKEN, "1")).content == content
        else:
            assert await refused(client) == refusal

    @pytest.mark.parametrize("declared", ["0" * 64, "no digest", base64.b64encode(bytes(32)).decode()])
    async def test_a_wrong_digest_is_refused(self, client: MediaClient, meta: Meta, declared: str) -> None:
        meta.node = {"sha256": declared}
        assert await refused(client) == "hash"

    async def test_a_compressed_answer_is_refused(self, client: MediaClient, meta: Meta) -> None:
        async def compressed(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

        meta.file = compressed
        assert await refused(client) == "encoding"

    async def test_a_slow_drip_ends_with_the_deadline(self, session: aiohttp.ClientSession, meta: Meta) -> None:
        async def drip(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                for byte in itertools.cycle(PNG):
                    await response.write(bytes([byte]))
                    await asyncio.sleep(0.01)
            return response

        meta.file = drip
        async with client_of(session, meta.url, timeout_seconds=0.3) as client:
            with pytest.raises(MediaUnavailableError, match=r"longer than 0\.3 s"):
                await client.download(TENANT, TOKEN, "1")

    async def test_no_more_than_so_many_are_under_way(self, session: aiohttp.ClientSession) -> None:
        under_way, go_on = 0, asyncio.Event()

        async def hold(_request: web.Request) -> web.StreamResponse:
            nonlocal under_way
            under_way += 1
            await go_on.wait()
            return web.Response(status=503)

        async def pass_by(_request: web.Request) -> web.StreamResponse:
            return web.Response()

        app = web.Application()
        app.router.add_get("/v26.0/{media}", hold)
        app.router.add_get("/", pass_by)
        async with TestServer(app) as server, client_of(session, str(server.make_url("")), at_once=2) as client:
            calls = [asyncio.create_task(client.download(TENANT, TOKEN, str(number))) for number in range(6)]
            await until(lambda: under_way >= 2)
            for _ in range(10):  # a third one would have come to the server before all of these
                async with session.get(server.make_url("/")) as response:
                    assert response.status == 200
            assert under_way == 2
            go_on.set()
            ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(end) for end in ends] == [MediaUnavailableError] * 6

    @pytest.mark.parametrize("node", [b"", b"[]", b'{"mime_type":"image/png"}', b'{"url":7}', b"x" * 70_000])
    async def test_an_answer_that_does_not_say_where_is_refused(
        self, session: aiohttp.ClientSession, node: bytes
    ) -> None:
        async def describe(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=node)

        app = web.Application()
        app.router.add_get("/v26.0/{media}", describe)
        async with TestServer(app) as server, client_of(session, str(server.make_url(""))) as client:
            assert await refused(client) == "answer"

    @pytest.mark.parametrize("status", [500, 502, 503, 429])
    async def test_a_failure_without_a_code_may_be_tried_again(
        self, client: MediaClient, meta: Meta, status: int
    ) -> None:
        async def fail(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text="<html>")

        meta.file = fail
        with pytest.raises(MediaUnavailableError, match=str(status)):
            await client.download(TENANT, TOKEN, "1")

    async def test_nobody_at_home_may_be_tried_again(self, session: aiohttp.ClientSession) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
            async with client_of(session, url) as client:
                with pytest.raises(MediaUnavailableError, match="no connection"):
                    await client.download(TENANT, TOKEN, "1")

    @pytest.mark.parametrize("media_id", ["", "../me", "1/2", "1?x", "1#", "a b", "é", "1" * 129])
    async def test_an_id_cannot_lead_to_another_object(self, client: MediaClient, meta: Meta, media_id: str) -> None:
        assert await refused(client, media_id) == "id"
        assert meta.asked == []


LOOPBACK = [
    *("127.0.0.1", "127.1", "127.0.1", "127.000.000.001", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1", "0x7f000001"),
    *("2130706433", "017700000001", "0", "0.0.0.0", "127.0.0.1.", "127.0.0.1..", "127。0。0。1", "①②⑦.⓪.⓪.①"),
    *("localhost", "LOCALHOST", "LocalHost", "localhost.", "localhost.localdomain", "lo%63alhost", "localhost%00"),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]", "[::1%25lo]"),
]
INNER = [
    *(
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
    ),
    *(
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fe80::a9fe:a9fe]",
        "metadata.google.internal",
        "metadata",
    ),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "10.0.0.1", "10.1", "012.0.0.1", "172.16.0.1", "192.168.0.1"),
    *("198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "kubernetes.default.svc", "kubernetes.default.svc."),
]
TRICKS = [
    "https://lookaside.fbsbx.com@127.0.0.1:{port}/x",
    "https://lookaside.fbsbx.com:443@127.0.0.1:{port}/x",
    "https://user:password@lookaside.fbsbx.com/x",
    "https://127.0.0.1:{port}#@lookaside.fbsbx.com/x",
    "https://127.0.0.1:{port}?@lookaside.fbsbx.com/x",
    "https://127.0.0.1:{port}\\@lookaside.fbsbx.com/x",
    "https://lookaside.fbsbx.com\\@127.0.0.1:{port}/x",
    "https://127.0.0.1:{port}/lookaside.fbsbx.com",
    "https://127.0.0.1:{port}%2F.fbsbx.com/x",
    "https://127.0.0.1%3A{port}%2F.fbsbx.com/x",
    "https://127.0.0.1%00.fbsbx.com/x",
    "https://127.0.0.1 .fbsbx.com/x",
    "https://127.0.0.1\t.fbsbx.com/x",
    "https://127.0.0.1\r\nHost: lookaside.fbsbx.com/x",
    "https://lookaside.fbsbx.com.127.0.0.1.nip.io/x",
    "https://fbsbx.com.localhost:{port}/x",
    "https://evilfbsbx.com/x",
    "https://fbsbx.com/x",
    "https://lookaside.fbsbx.com.evil.test/x",
    "https://lookaside.fbsbx.com./x",
    "https://LOOKASIDE.FBSBX.COM:{port}/x",
    "https://lookaside.fbsbx.com:{port}/x",
    "https://lookaside.fbsbx.com:0/x",
    "https://lookaside.fbsbx.com:65536/x",
    "https://lookaside.fbsbx.com:/x:{port}",
    "http://lookaside.fbsbx.com/x",
    "https://lookaside。fbsbx。com/x",
    "https://lookaside.fbsbx.cοm/x",
    "https://graph.facebook.com.localhost/x",
    "https://-.fbsbx.com/x",
    "https://a..fbsbx.com/x",
    "https://.fbsbx.com/x",
    "HTTP://127.0.0.1:{port}/x",
    "hTTps://127.0.0.1:{port}/x",
    "http:127.0.0.1:{port}/x",
    "http:/127.0.0.1:{port}/x",
    "http:///127.0.0.1:{port}/x",
    "http:\\\\127.0.0.1:{port}\\x",
    "//127.0.0.1:{port}/x",
    "/x",
    "",
    "https://",
    "https:///x",
    "https://[/x",
    "https://[::1/x",
    "https://[::ffff:127.0.0.1]:{port}/x",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/x",
    "gopher://127.0.0.1:{port}/_x",
    "ws://127.0.0.1:{port}/x",
    "unix:///var/run/docker.sock",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    " https://127.0.0.1:{port}/x",
    "url:https://127.0.0.1:{port}/x",
    "https://" + "a." * 3000 + "fbsbx.com/x",
]
FORMS = [
    *(f"https://{host}/x" for host in (*LOOPBACK, *INNER)),
    *(f"http://{host}:{{port}}/x" for host in (*LOOPBACK, *INNER)),
    *(f"https://{host}:{{port}}/x" for host in LOOPBACK),
    *TRICKS,
]
FORBIDDEN = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1", "::", "::1"),
    *("::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    *(
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
    ),
    *("ff02::1", "100::1", "4000::1", "", "no address"),
]
PUBLIC = ["157.240.1.35", "31.13.64.1", "1.1.1.1", "2a03:2880:f1ff:83:face:b00c:0:25de", "64:ff9b::9df0:123"]


class Names(AbstractResolver):
    """Answers every name with the next of some answers, the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0) for address in answer
        ]

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class Watch:
    """Counts who comes to a forbidden place, and where anybody tried to go but home."""

    port: int = 0
    visits: int = 0
    dialled: list[str] = field(default_factory=list)


@pytest.fixture
async def watch(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    found = Watch()
    home = URL(meta.url).port
    dial = aiohappyeyeballs.start_connection

    async def dial_home_only(addr_infos: Any, **options: Any) -> socket.socket:
        if {info[4][1] for info in addr_infos} == {home}:
            return await dial(addr_infos, **options)
        found.dialled += [info[4][0] for info in addr_infos]
        message = "this test lets nobody out"
        raise OSError(message)

    def visit(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.visits += 1
        writer.close()

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", dial_home_only)
    async with await asyncio.start_server(visit, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        async with await asyncio.start_server(visit, "::1", found.port):
            yield found


class TestWhereFilesAreFetchedFrom:
    def test_there_are_more_than_a_hundred_forms(self) -> None:
        assert len(set(FORMS)) > 100

    @pytest.mark.parametrize("form", FORMS)
    async def test_a_forbidden_place_is_never_connected_to(
        self, session: aiohttp.ClientSession, meta: Meta, watch: Watch, form: str
    ) -> None:
        meta.node = {"url": form.replace("{port}", str(watch.port))}
        names = Names(["127.0.0.1", "::1"])
        async with client_of(session, meta.url, resolver=names) as client:
            assert await refused(client) in {"url", "address"}
        assert (watch.visits, watch.dialled, meta.fetched) == (0, [], [])

    @pytest.mark.parametrize("address", FORBIDDEN)
    @pytest.mark.parametrize("host", ["lookaside.fbsbx.com", "mmg.whatsapp.net"])
    async def test_metas_host_at_a_forbidden_address_is_not_connected_to(
        self, session: aiohttp.ClientSession, meta: Meta, watch: Watch, host: str, address: str
    ) -> None:
        meta.node = {"url": f"https://{host}/x"}
        names = Names([PUBLIC[0], address])
        async with client_of(session, meta.url, resolver=names) as client:
            assert await refused(client) == "address"
        assert (watch.visits, watch.dialled, names.asked) == (0, [], [host])

    @pytest.mark.parametrize("address", PUBLIC)
    async def test_a_name_that_is_bound_anew_is_connected_to_as_it_was_checked(
        self, session: aiohttp.ClientSession, meta: Meta, watch: Watch, address: str
    ) -> None:
        meta.node = {"url": "https://lookaside.fbsbx.com/x"}
        names = Names([address], ["127.0.0.1"])
        async with client_of(session, meta.url, resolver=names) as client:
            with pytest.raises(MediaUnavailableError):
                await client.download(TENANT, TOKEN, "1")
            assert watch.dialled == [address]
            assert names.asked == ["lookaside.fbsbx.com"]
            assert await refused(client) == "address"
        assert (watch.visits, watch.dialled) == (0, [address])

    async def test_home_may_have_a_name_and_a_private_address(self, meta: Meta) -> None:
        url = meta.url.replace("127.0.0.1", "simulator.test")
        meta.node = {"url": f"{url}/file"}
        names = Names(["127.0.0.1"])
        resolving = aiohttp.TCPConnector(resolver=names)
        async with aiohttp.ClientSession(connector=resolving) as named, client_of(named, url, resolver=names) as client:
            assert (await client.download(TENANT, TOKEN, "1")).content == PNG

    @pytest.mark.parametrize(
        "url",
        [
            "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2&hash=A%2Bb_-~",
            "https://scontent.xx.fbsbx.com/v/t1.png",
            "https://mmg.whatsapp.net/d/f/A.enc",
            "https://lookaside.fbsbx.com:443/x",
            "http://simulator:8090/media/1?expires=2&ticket=a",
        ],
    )
    def test_metas_own_and_home_are_taken_byte_for_byte(self, url: str) -> None:
        assert str(check_url(url, origin_of("http://simulator:8090/"))).replace(":443", "") == url.replace(":443", "")

    @pytest.mark.parametrize(
        "url",
        [
            "http://simulator:8091/x",
            "https://simulator:8090/x",
            "http://simulator/x",
            "http://other:8090/x",
            "http://lookaside.fbsbx.com:443/x",
            "https://lookaside.fbsbx.com:8443/x",
        ],
    )
    def test_home_is_one_origin_and_meta_is_at_one_port(self, url: str) -> None:
        with pytest.raises(MediaRefusedError, match=r"not Meta's"):
            check_url(url, origin_of("http://simulator:8090"))

    @pytest.mark.parametrize("address", FORBIDDEN)
    def test_no_forbidden_address_is_public(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", PUBLIC)
    def test_metas_addresses_are_public(self, address: str) -> None:
        assert is_public(address)


MORE_SAMPLES = [
    *[("mp3", b"\xff\xfb\x90"), ("mp3", b"\xff\xf3\x90"), ("aac", b"\xff\xf9\x50"), ("aac", b"ADIF")],
    *[("webp", ANIMATED_STICKER), ("text", b"<html>")],
]


@pytest.mark.parametrize(("family", "head"), [*SAMPLES.items(), *MORE_SAMPLES])
def test_a_file_is_known_by_how_it_begins(family: str, head: bytes) -> None:
    assert family_of(head) == family


@pytest.mark.parametrize("head", [b"", b"\0", b"MZ\0", b"\x7fELF\0", b"RIFF\0\0\0\0AVI "])
def test_what_whatsapp_does_not_carry_is_of_no_family(head: bytes) -> None:
    assert family_of(head) is None


def test_limits_can_be_set_lower() -> None:
    assert MediaLimits(document_bytes=10).most_bytes("application/pdf") == 10
