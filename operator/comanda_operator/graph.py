"""Asks Meta about a tenant's number, by its own token. No token is in an error or in a log."""

from __future__ import annotations

import asyncio
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from comanda_contract.cloud.graph_errors import parse_error
from comanda_contract.errors import UnavailableError
from comanda_operator.checks import NUMBER_FIELDS, Answers, NumberNode, TokenNode

TIMEOUT_SECONDS = 20.0
_CONNECT_SECONDS = 5.0
_ANSWER_BYTES = 1024 * 1024
_PAGE = 100
_MOST_PAGES = 50

_TOKEN_REFUSED = frozenset({0, 190})
_NOT_SEEN = frozenset({3, 10, 100, 803, *range(200, 300)})
"""Codes of a node that does not exist, or that a token may not see: Meta does not tell them apart."""

T = TypeVar("T")


class MetaUnavailableError(UnavailableError):
    """Meta gave no answer that says anything; `code` is the kind of failure, or `code_` and Meta's own."""


class _Refused(Exception):  # noqa: N818 - an answer, not a failure
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Named(msgspec.Struct, frozen=True):
    id: str = ""


class _Cursors(msgspec.Struct, frozen=True):
    after: str = ""


class _Paging(msgspec.Struct, frozen=True):
    cursors: _Cursors = _Cursors()
    next: str = ""


class _Numbers(msgspec.Struct, frozen=True):
    data: tuple[_Named, ...] = ()
    paging: _Paging = _Paging()


class _Subscription(msgspec.Struct, frozen=True):
    whatsapp_business_api_data: _Named = _Named()


class _Subscriptions(msgspec.Struct, frozen=True):
    data: tuple[_Subscription, ...] = ()


class _Token(msgspec.Struct, frozen=True):
    data: TokenNode = TokenNode()


class GraphReader:
    """Meta's Graph API as seen with the tokens of tenants; `base_url` has no version."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, connect=_CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(
            timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "comanda"}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, version: str, token: str, phone_number_id: str, waba_id: str) -> Answers:
        """Ask all that is to be known of a number. Raises `MetaUnavailableError`."""
        try:
            async with asyncio.timeout(3 * TIMEOUT_SECONDS):
                return await self._ask(_Caller(self, version, token), token, phone_number_id, waba_id)
        except TimeoutError:
            raise MetaUnavailableError("Meta did not answer in time.", code="timeout") from None

    async def subscribe(self, version: str, token: str, waba_id: str) -> None:
        """Have the token's app get the webhooks of an account. Raises `MetaUnavailableError`, also when refused."""
        try:
            await self.call("POST", f"{version}/{waba_id}/subscribed_apps", token, {}, msgspec.Raw)
        except _Refused as refused:
            raise MetaUnavailableError("Meta refused to subscribe the app.", code=f"code_{refused.code}") from None

    @staticmethod
    async def _ask(caller: _Caller, token: str, phone_number_id: str, waba_id: str) -> Answers:
        try:
            described = (await caller.get("debug_token", _Token, input_token=token)).data
        except _Refused as refused:
            if refused.code in _TOKEN_REFUSED:
                return Answers(TokenNode())
            raise MetaUnavailableError("Meta refused to say what the token is.", code=f"code_{refused.code}") from None
        if not described.is_valid:
            return Answers(described)
        number = await caller.find(phone_number_id, NumberNode, fields=NUMBER_FIELDS)
        numbers = await caller.numbers_of(waba_id)
        apps = await caller.find(f"{waba_id}/subscribed_apps", _Subscriptions) or _Subscriptions()
        return Answers(described, number, numbers, frozenset(each.whatsapp_business_api_data.id for each in apps.data))

    async def call(self, method: str, path: str, token: str, parameters: dict[str, str], type_: type[T]) -> T:
        """Call Meta once. Raises `MetaUnavailableError`, or `_Refused` with Meta's code."""
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self._base_url}/{path}"
        try:
            async with self._session.request(
                method, url, params=parameters, headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.content.read(_ANSWER_BYTES)
                while not answer.content.at_eof() and len(body) < _ANSWER_BYTES:
                    body += await answer.content.read(_ANSWER_BYTES - len(body))
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Its text may hold the address, and with it a token.
            raise MetaUnavailableError("Meta was not reached.", code=type(error).__name__) from None
        if status == 200:
            try:
                return msgspec.json.decode(body, type=type_, strict=False)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise MetaUnavailableError("Meta gave no answer of a known shape.", code="unreadable") from None
        refusal = parse_error(body)
        if refusal is None or refusal.is_transient or refusal.code not in _TOKEN_REFUSED | _NOT_SEEN:
            code = f"code_{refusal.code}" if refusal is not None else f"http_{status}"
            raise MetaUnavailableError("Meta gave no answer.", code=code)
        raise _Refused(refusal.code)


class _Caller:
    """Calls of one version with one token."""

    def __init__(self, reader: GraphReader, version: str, token: str) -> None:
        self._reader = reader
        self._version = version
        self._token = token

    async def get(self, path: str, type_: type[T], **parameters: str) -> T:
        return await self._reader.call("GET", f"{self._version}/{path}", self._token, parameters, type_)

    async def find(self, path: str, type_: type[T], **parameters: str) -> T | None:
        """Return a node, None when the token sees none."""
        try:
            return await self.get(path, type_, **parameters)
        except _Refused as refused:
            if refused.code in _TOKEN_REFUSED:  # revoked a moment ago: the next look says so
                raise MetaUnavailableError("Meta refused the token.", code="code_190") from None
            return None

    async def numbers_of(self, waba_id: str) -> frozenset[str] | None:
        """Return the ids of an account's numbers, None when the token does not see the account."""
        found: set[str] = set()
        asked: dict[str, Any] = {"fields": "id", "limit": str(_PAGE)}
        for _ in range(_MOST_PAGES):
            page = await self.find(f"{waba_id}/phone_numbers", _Numbers, **asked)
            if page is None:
                return None
            found.update(each.id for each in page.data)
            if not page.paging.next or not page.paging.cursors.after:
                break
            asked["after"] = page.paging.cursors.after
        return frozenset(found)
