"""Brings a tenant's data from the database of one group into that of another, through their pods.

The operator reaches pods of all groups, and they do not reach each other: that stays so while a tenant moves. What it
carries is read from one pod and written to another, page by page, and is never logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self, TypeVar

import aiohttp
import msgspec
import structlog

from comanda_contract.moves import MOVES_PATH, PARTS, Page, Rest, Standing
from comanda_operator.live import PodRecord
from comanda_operator.moves import Move, move_of
from comanda_operator.state import State

_log = structlog.get_logger()

CALL_SECONDS = 30.0
"""How long one page may take."""
MOST_BYTES = 64 * 1024 * 1024
"""Of one answer; the pods take no more in either."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
_AT_ONCE = 4

_Content = TypeVar("_Content", Page, Rest, Standing)


class MoveError(Exception):
    """A step did not succeed; `code` says why, in a word that may be logged."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Mover:
    """Asks and copies; `on_done` is told of each tenant whose step is done."""

    def __init__(self, state: State, on_done: Callable[[str], None], *, port: int) -> None:
        self._state = state
        self._on_done = on_done
        self._port = port
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS, connect=5)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    def go_on(self, tenant: str, move: Move) -> None:
        """Do what the step of a move asks for, if that is not being done already."""
        key = (tenant, move.name)
        done = self._state.copied if move.phase == "Copying" else self._state.looked_at
        if key in self._tasks or key in done:
            return
        self._tasks[key] = asyncio.create_task(self._work_on(tenant, move), name=f"move {tenant}")

    async def _work_on(self, tenant: str, move: Move) -> None:
        try:
            await self._until_done(tenant, move)
        finally:
            del self._tasks[tenant, move.name]  # the next step may begin at once
        self._on_done(tenant)

    async def _until_done(self, tenant: str, move: Move) -> None:
        pause = FIRST_PAUSE
        while self._is_wanted(tenant, move):
            try:
                async with self._places:
                    await (self._copy(tenant, move) if move.phase == "Copying" else self._look(tenant, move))
            except MoveError as error:
                _log.warning("move_interrupted", tenant=tenant, phase=move.phase, code=error.code, again=pause)
            except Exception:  # noqa: BLE001 - nobody awaits this task; what it does is begun again
                _log.exception("move_broken", tenant=tenant)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _is_wanted(self, tenant: str, move: Move) -> bool:
        known = self._state.world.tenants.get(tenant)
        return known is not None and move_of(known) == move

    async def _look(self, tenant: str, move: Move) -> None:
        """See that pods of both groups know of a move what they should, before any data are touched."""
        origin, destination = self._pods(tenant, move)
        named = {"tenant": tenant, "move": move.name}
        if not (await self._get(Standing, origin, "", named)).left:
            raise MoveError("not_let_go")
        if (await self._get(Standing, destination, "", named)).left:
            self._state.sharing.add(frozenset({move.origin, move.group}))
            _log.error("move_refused", tenant=tenant, reason="both groups work on one database")
        self._state.looked_at.add((tenant, move.name))

    async def _copy(self, tenant: str, move: Move) -> None:
        origin, destination = self._pods(tenant, move)
        named = {"tenant": tenant, "move": move.name}
        if not (await self._get(Standing, destination, "", named)).arrived:
            rows = 0
            for part in PARTS:
                rows += await self._copy_part((origin, destination), part, tenant, move)
            rest = await self._get(Rest, origin, "/rest", {"move": move.name}, method="POST")
            await self._call(destination, "POST", "/arrival", named, msgspec.json.encode(rest))
            _log.info("tenant_copied", tenant=tenant, rows=rows + sum(map(len, rest.parts.values())))
        self._state.copied.add((tenant, move.name))

    async def _copy_part(self, pods: tuple[_Pod, _Pod], part: str, tenant: str, move: Move) -> int:
        origin, destination = pods
        rows, after = 0, ""
        while True:
            if not self._is_wanted(tenant, move):
                raise MoveError("called_off")
            query = {"move": move.name, **({"after": after} if after else {})}
            page = await self._get(Page, origin, f"/parts/{part}", query)
            if page.rows:
                content = msgspec.json.encode(page)
                await self._call(destination, "POST", f"/parts/{part}", {"tenant": tenant}, content)
            rows += len(page.rows)
            if page.after is None:
                return rows
            after = msgspec.json.encode(page.after).decode()

    def _pods(self, tenant: str, move: Move) -> tuple[_Pod, _Pod]:
        known = self._state.world.tenants.get(tenant)
        if known is None:
            raise MoveError("gone")
        number = known.spec.phone_number_id
        return self._pod(move.origin, number), self._pod(move.group, number)

    def _pod(self, group: str, number: str) -> _Pod:
        found = next((pod for pod in self._state.pods_of(group) if pod.is_ready and pod.address), None)
        key = self._state.key_of(group)
        if found is None or not key:
            raise MoveError("no_ready_pod")
        return _Pod(_url(found, self._port, number), key)

    async def _get(
        self, type_: type[_Content], pod: _Pod, path: str, query: dict[str, str], *, method: str = "GET"
    ) -> _Content:
        try:
            return msgspec.json.decode(await self._call(pod, method, path, query), type=type_)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise MoveError("malformed") from None

    async def _call(
        self, pod: _Pod, method: str, path: str, query: dict[str, str], content: bytes | None = None
    ) -> bytes:
        headers = {"Authorization": f"Bearer {pod.key}"}
        try:
            async with self._session.request(
                method, pod.url + path, params=query, data=content, headers=headers
            ) as answer:
                body = await _read(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise MoveError(type(error).__name__) from None
        if answer.status not in {200, 204}:
            raise MoveError(f"http_{answer.status}")
        return body


class _Pod(msgspec.Struct, frozen=True):
    url: str
    key: str

    def __repr__(self) -> str:
        return f"_Pod({self.url})"  # never the key


def _url(pod: PodRecord, port: int, number: str) -> str:
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    return f"http://{host}:{port}{MOVES_PATH}/{number}"


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Read what a pod says; its image may be somebody else's, so not without end."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > MOST_BYTES:
            raise MoveError("too_large")
        chunks.append(chunk)
    return b"".join(chunks)
