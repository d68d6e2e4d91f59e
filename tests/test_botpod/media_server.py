"""A Graph API for the tests of media: it answers as it is told, hands out files, and counts what it is asked."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from comanda_botpod.media import MediaClient
from comanda_botpod.media_errors import MediaRefusedError
from comanda_botpod.tenants import Tenant
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


@contextlib.asynccontextmanager
async def serving_meta() -> AsyncIterator[Meta]:
    found = Meta(file=send_png)
    app = web.Application()
    app.router.add_get("/v26.0/{media}", found.describe)
    app.router.add_get("/file", found.fetch)
    async with TestServer(app, host="127.0.0.1") as server:
        found.url = str(server.make_url("")).rstrip("/")
        yield found


@contextlib.asynccontextmanager
async def client_of(session: aiohttp.ClientSession, url: str, **changes: Any) -> AsyncIterator[MediaClient]:
    client = MediaClient(session, url, **({"timeout_seconds": 20.0} | changes))
    try:
        yield client
    finally:
        await client.close()


async def refused(client: MediaClient, media_id: str = "1") -> str:
    with pytest.raises(MediaRefusedError) as raised:
        await client.download(TENANT, TOKEN, media_id)
    return raised.value.refusal
