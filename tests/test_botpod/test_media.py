from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from comanda_botpod.media import MediaClient
from comanda_botpod.media_errors import MediaGraphError, MediaRefusedError, MediaUnavailableError
from comanda_botpod.media_types import TYPES
from comanda_simulator.app import create_app as create_simulator
from comanda_simulator.config import AppConfig, NumberConfig, Settings, SimulatorConfig
from tests.harness import serving, until
from tests.test_botpod.media_server import (
    ANIMATED_STICKER,
    PNG,
    SAMPLES,
    STATIC_STICKER,
    TENANT,
    TOKEN,
    Meta,
    client_of,
    refused,
    send_png,
    serving_meta,
)


@pytest.fixture
async def meta() -> AsyncIterator[Meta]:
    async with serving_meta() as found:
        yield found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def client(session: aiohttp.ClientSession, meta: Meta) -> AsyncIterator[MediaClient]:
    async with client_of(session, meta.url) as client:
        yield client


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

    @pytest.mark.parametrize("status", [500, 503])
    async def test_a_failure_with_a_long_page_may_be_tried_again(
        self, client: MediaClient, meta: Meta, status: int
    ) -> None:
        async def fail(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text="<html>" + "x" * 500_000)

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
