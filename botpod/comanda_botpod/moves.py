"""The part of the pod's HTTP surface that hands a tenant's data over, or takes them in, when it moves between groups.

Whoever asks has the group's key. Given out is a tenant that has left and nothing else; taken in is one that is not
served here, so that no mistake of whoever asks can write into conversations that are going on.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request
from starlette.responses import Response

from comanda_botpod.tenants import Tenants
from comanda_contract.moves import MOVES_PATH, PARTS, REST, Cursor, Page, Rest
from comanda_store import StorageError, Store, TenantScope

MOST_BYTES = 64 * 1024 * 1024
"""Of one request's body; 20,000 messages that wait are about 30 MB."""

_read_page = msgspec.json.Decoder(Page).decode
_read_rest = msgspec.json.Decoder(Rest).decode
_read_cursor = msgspec.json.Decoder(Cursor).decode


class Moves:
    """Who leaves from here and who may come, against this pod's tenants."""

    def __init__(self, store: Store, tenants: Tenants) -> None:
        self.store = store
        self._tenants = tenants

    def leaving(self, number: str, move: str) -> TenantScope:
        """Return a tenant that has left. Raises 409 for any other."""
        left = self._tenants.departures - self._tenants.to_let_go
        found = next((each for each in left if (each.phone_number_id, each.move) == (number, move)), None)
        if found is None:
            _refuse(409, "not_leaving", "No tenant of this number has left with this move.")
        return TenantScope(found.tenant, number)

    def coming(self, number: str, tenant: str) -> TenantScope:
        """Return a tenant that may come. Raises 409 for one that is served here, or leaves from here."""
        served = {each.name for each in self._tenants.all()} | {each.tenant for each in self._tenants.departures}
        if tenant in served or self._tenants.get(number) is not None or self._tenants.is_leaving(number):
            _refuse(409, "served_here", "This tenant or number is served here, so nothing is written into it.")
        return TenantScope(tenant, number)


def serve_moves(app: FastAPI, group_key: str, moves: Callable[[], Moves | None]) -> None:
    """Add the routes to an app; `moves` gives None before the pod has started."""
    app.state.moves, app.state.moves_key = moves, group_key
    app.include_router(routes)


def _authorised(request: Request, authorization: Annotated[str, Header()] = "") -> Moves:
    state = request.app.state
    if not hmac.compare_digest(authorization.encode(), f"Bearer {state.moves_key}".encode()):
        _refuse(401, "unauthorized", "The group key is missing or wrong.")
    found: Moves | None = state.moves()
    if found is None:
        _refuse(503, "starting", "This pod has not started yet.")
    return found


routes = APIRouter(prefix=f"{MOVES_PATH}/{{number}}")
_Moves = Annotated[Moves, Depends(_authorised)]


@routes.get("")
async def standing(number: str, tenant: str, move: str, moves: _Moves) -> Response:
    """Tell what this group's database has of a move."""
    return _json(await _asked(moves.store.standing(TenantScope(tenant, number), move)))


@routes.get("/parts/{part}")
async def give_page(number: str, part: str, move: str, moves: _Moves, after: Annotated[str, Query()] = "") -> Response:
    """Give some rows of a tenant that has left."""
    scope, cursor = moves.leaving(number, move), _decoded(_read_cursor, after.encode()) if after else None
    return _json(await _asked(moves.store.export_page(scope, move, _known(part), cursor)))


@routes.post("/parts/{part}")
async def take_page(number: str, part: str, tenant: str, moves: _Moves, request: Request) -> Response:
    """Take some rows of a tenant that comes."""
    scope, page = moves.coming(number, tenant), _decoded(_read_page, await _body(request))
    await _asked(moves.store.import_page(scope, _known(part), page.rows))
    return Response(status_code=204)


@routes.post("/rest")
async def give_rest(number: str, move: str, moves: _Moves) -> Response:
    """Give what is still to be done for a tenant that has left."""
    return _json(Rest(await _asked(moves.store.take_rest(moves.leaving(number, move), move))))


@routes.post("/arrival")
async def take_rest(number: str, tenant: str, move: str, moves: _Moves, request: Request) -> Response:
    """Take what is still to be done for a tenant that comes; all of it is here then."""
    scope, rest = moves.coming(number, tenant), _decoded(_read_rest, await _body(request))
    for part in rest.parts:
        _known(part, REST)  # of a later version: better not to come than to lose it
    await _asked(moves.store.arrive(scope, move, rest.parts))
    return Response(status_code=204)


async def _body(request: Request) -> bytes:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            _refuse(413, "too_large", f"The body holds more than {MOST_BYTES} bytes.")
    return content


async def _asked(operation: Any) -> Any:
    try:
        return await operation
    except StorageError as error:
        _refuse(503, error.code, error.message)


def _decoded(read: Callable[[bytes], Any], content: bytes) -> Any:
    try:
        return read(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _refuse(400, "malformed", "The body or the cursor is not what the contract says.")


def _known(part: str, parts: tuple[str, ...] = PARTS) -> str:
    if part not in parts:
        _refuse(404, "unknown_part", f"There is no such part; there are {', '.join(parts)}.")
    return part


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _refuse(status: int, code: str, message: str) -> NoReturn:
    raise HTTPException(status, {"code": code, "message": message})
