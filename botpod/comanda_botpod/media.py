"""Media in and out: fetch what a customer sent, hand over what the bot sends.

A file is taken only when its place, its size, its type and its digest are as they should be. Its content stays in
memory, bounded by the limits of its kind and by how many files are under way at once; nothing is left on a disk.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver

from comanda_botpod.media_errors import MediaGraphError, MediaRefusedError, MediaUnavailableError
from comanda_botpod.media_hosts import ForbiddenAddressError, GuardedResolver, check_url, origin_of
from comanda_botpod.media_types import HEAD_BYTES, MediaLimits, check_type, kind_and_family
from comanda_botpod.tenants import Tenant
from comanda_contract.cloud.graph_errors import GraphError, parse_error

CONNECT_SECONDS = 3.0
_CHUNK_BYTES = 64 * 1024
_ANSWER_BYTES = 64 * 1024
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_GONE = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Media:
    """A file as Meta keeps it; `sha256` is lower-case hex of the content."""

    content: bytes = field(repr=False)
    mime_type: str
    sha256: str


class _Node(msgspec.Struct, frozen=True):
    """The answer to `GET /{media id}`. The URL lives for five minutes."""

    url: str
    mime_type: str
    sha256: str = ""
    file_size: int = 0


class _Uploaded(msgspec.Struct, frozen=True):
    id: str


_node = msgspec.json.Decoder(_Node, strict=False)
_uploaded = msgspec.json.Decoder(_Uploaded, strict=False)


class MediaClient:
    """Downloads and uploads within limits of place, size and time.

    `session` speaks to the Graph API at `graph_url`. Files themselves come through a session of its own that connects
    to Meta's public addresses only, so whoever makes a client closes it. `timeout_seconds` bounds a whole download or
    upload, its wait for a free place included; `at_once` bounds how many are under way.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        graph_url: str,
        *,
        limits: MediaLimits | None = None,
        at_once: int = 4,
        timeout_seconds: float = 60.0,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._session = session
        self._graph_url = graph_url.rstrip("/")
        self._home = origin_of(graph_url)
        self._limits = limits if limits is not None else MediaLimits()
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(at_once)
        guard = GuardedResolver(resolver if resolver is not None else aiohttp.DefaultResolver(), self._home)
        connector = aiohttp.TCPConnector(resolver=guard, use_dns_cache=False, limit=at_once)
        self._files = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
            # A compressed answer could unfold beyond every limit; files are asked for, and taken, as they are.
            headers={"Accept-Encoding": "identity"},
        )
        self._guard = guard

    async def close(self) -> None:
        """Close the connections of downloads; `session` stays with its owner."""
        await self._files.close()
        await self._guard.close()

    async def download(self, tenant: Tenant, token: str, media_id: str) -> Media:
        """Fetch a file that a customer of this tenant sent.

        Raises `MediaRefusedError`, `MediaUnavailableError` or `MediaGraphError`.
        """
        if not _ID.fullmatch(media_id):
            raise MediaRefusedError("id", "is no media id")
        async with self._bounded():
            media = await self._try_download(tenant, token, media_id)
            if media is None:
                # The URL had expired, or was no good: Meta gives another, once.
                media = await self._try_download(tenant, token, media_id)
        if media is None:
            raise MediaGraphError(GraphError())
        return media

    async def upload(self, tenant: Tenant, token: str, content: bytes, mime_type: str) -> str:
        """Hand a file over to Meta and return its media id, which belongs to the tenant's number for 30 days.

        Raises as `download` does. After a `MediaUnavailableError` Meta may have the file all the same; a second upload
        does no harm.
        """
        self._limits.check(mime_type, content[:HEAD_BYTES], len(content))
        check_type(mime_type, content[:HEAD_BYTES])
        form = aiohttp.FormData()
        form.add_field("messaging_product", "whatsapp")
        form.add_field("type", mime_type)
        kind = kind_and_family(mime_type)[0]
        form.add_field("file", io.BytesIO(content), filename=kind, content_type=mime_type)
        url = f"{self._graph_url}/{tenant.settings.graph_version}/{tenant.number}/media"
        async with (
            self._bounded(),
            self._session.post(url, data=form, headers=_bearer(token), allow_redirects=False) as response,
        ):
            answer = await _answer(response)
        try:
            return _uploaded.decode(answer).id
        except msgspec.MsgspecError as error:
            raise MediaRefusedError("answer", "of the upload holds no media id") from error

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """Hold a place and the time; turn what the network does into errors of ours."""
        try:
            async with asyncio.timeout(self._timeout_seconds), self._slots:
                yield
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, ForbiddenAddressError):
                rule = "of Meta's host is not a public one"
                raise MediaRefusedError("address", rule, hint="Look at the name server of this pod.") from error
            raise MediaUnavailableError("no connection") from error
        except aiohttp.ClientError as error:
            raise MediaUnavailableError(type(error).__name__) from error
        except TimeoutError as error:
            raise MediaUnavailableError(f"it took longer than {self._timeout_seconds:g} s") from error

    async def _try_download(self, tenant: Tenant, token: str, media_id: str) -> Media | None:
        """Ask where the file is and fetch it; None when Meta no longer knows the URL."""
        # With the number named, Meta answers only for media of that number, whatever else the token may see.
        url = f"{self._graph_url}/{tenant.settings.graph_version}/{media_id}?phone_number_id={tenant.number}"
        async with self._session.get(url, headers=_bearer(token), allow_redirects=False) as response:
            answer = await _answer(response)
        try:
            node = _node.decode(answer)
        except msgspec.MsgspecError as error:
            raise MediaRefusedError("answer", "does not say where the media is") from error
        return await self._fetch(node, token)

    async def _fetch(self, node: _Node, token: str) -> Media | None:
        self._limits.check(node.mime_type, b"", node.file_size)
        url = check_url(node.url, self._home)
        async with self._files.get(url, headers=_bearer(token), allow_redirects=False) as response:
            if response.status in _GONE:
                return None
            if response.status != 200:
                raise _refused(response.status, await _read(response))
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise MediaRefusedError("encoding", "of the answer is not the one asked for")
            return await self._take(response, node)

    async def _take(self, response: aiohttp.ClientResponse, node: _Node) -> Media:
        """Read the file; stop as soon as it is too large or of another type."""
        self._limits.check(node.mime_type, b"", response.content_length or 0)
        content = bytearray()
        digest = hashlib.sha256()
        checked = False
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            content += chunk
            # Bit by bit: the digest of a large file at one go would hold up every conversation of this pod.
            digest.update(chunk)
            if not checked and len(content) >= HEAD_BYTES:
                check_type(node.mime_type, bytes(content[:HEAD_BYTES]))
                checked = True
            self._limits.check(node.mime_type, bytes(content[:HEAD_BYTES]) if checked else b"", len(content))
            if node.file_size and len(content) > node.file_size:
                break
        if node.file_size and len(content) != node.file_size:
            raise MediaRefusedError("length", f"is not the {node.file_size} bytes that Meta declared")
        head = bytes(content[:HEAD_BYTES])
        check_type(node.mime_type, head)
        self._limits.check(node.mime_type, head, len(content))
        if node.sha256 and not _same_digest(node.sha256, digest.digest()):
            raise MediaRefusedError("hash", "is not the one that Meta declared")
        return Media(bytes(content), node.mime_type, digest.hexdigest())


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def _answer(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of a Graph API call that went well. Raises what its failure means."""
    body = await _read(response)
    if response.status != 200:
        raise _refused(response.status, body)
    if len(body) > _ANSWER_BYTES:
        raise MediaRefusedError("answer", f"is longer than {_ANSWER_BYTES} bytes")
    return body


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, or as much of it as shows that it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > _ANSWER_BYTES:
            break
    return bytes(body)


def _refused(status: int, body: bytes) -> Exception:
    if 300 <= status < 400:
        return MediaRefusedError("redirect", "leads elsewhere, and redirects are not followed")
    error = parse_error(body)
    return MediaGraphError(error) if error is not None else MediaUnavailableError(f"status {status}")


def _same_digest(declared: str, digest: bytes) -> bool:
    """Compare a declared SHA-256 in hex, as in the Graph API, or in base64, as in webhooks."""
    return declared.lower() == digest.hex() or declared == base64.b64encode(digest).decode()
