"""`comanda dead-letter`: what reached the router and belonged to nobody: look at it, and hand it in once more.

Works on the data folder of `comanda up`, and in a router's own container on what its environment names.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from comanda_cli.local.layout import Layout
from comanda_cli.router.routes import RouterAdmin
from comanda_contract.errors import InvalidInputError, UnavailableError
from comanda_contract.names import app_file
from comanda_contract.resources.app import APP_SECRET_KEY
from comanda_operator.plan import webhook_path

COLUMNS = (
    ("id", "ID"),
    ("at", "AT (UTC)"),
    ("reason", "REASON"),
    ("app", "APP"),
    ("phone_number_id", "NUMBER ID"),
    ("field", "FIELD"),
    ("bytes", "BYTES"),
)
REPLAYED = "replayed"
"""The file beside the letters with the ids of those that were handed in again, one a line."""
POST_SECONDS = 10.0
_LISTS = {"message": "messages", "status": "statuses"}


class _Letter(msgspec.Struct, frozen=True):
    """One line of the router's files."""

    at: float
    reason: str
    app: str
    waba_id: str
    field: str
    phone_number_id: str
    content: msgspec.Raw
    kind: str = "change"
    contact: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Letter).decode


@dataclass(frozen=True)
class Place:
    """Where a router keeps its letters, and what is needed to hand one in again."""

    folder: Path
    apps_dir: Path
    admin: RouterAdmin
    url: str

    @classmethod
    def of(cls, data_dir: Path, url: str | None, environment: Mapping[str, str] = os.environ) -> Place:
        """Return the place that a router's environment names, or the one in a data folder."""
        letters = environment.get("COMANDA_ROUTER_DEAD_LETTERS_DIR")
        if letters is None:
            layout, url = Layout(data_dir), url or "http://127.0.0.1:8080"
            return cls(layout.dead_letters_dir, layout.apps_dir, RouterAdmin(url), url)
        port = environment.get("COMANDA_ROUTER_PORT", "8080")
        return cls(
            Path(letters),
            Path(environment.get("COMANDA_ROUTER_APPS_DIR", "")),
            RouterAdmin.of(url if "COMANDA_ROUTER_HEALTH_PORT" not in environment else None, environment),
            url or f"http://127.0.0.1:{port}",
        )


def letter_rows(place: Place, *, replayed: bool = False) -> list[dict[str, Any]]:
    """Return the letters, the oldest first, without their content; those handed in again only when asked for."""
    done = _replayed(place)
    return [
        {
            "id": name,
            "at": datetime.fromtimestamp(letter.at, UTC).strftime("%m-%d %H:%M:%S"),
            "reason": letter.reason,
            "app": letter.app,
            "phone_number_id": letter.phone_number_id,
            "waba_id": letter.waba_id,
            "field": letter.field,
            "bytes": len(bytes(letter.content)),
            "replayed": name in done,
        }
        for name, letter in _letters(place)
        if replayed or name not in done
    ]


def shown(place: Place, name: str) -> dict[str, Any]:
    """Return one letter whole, as JSON values. Raises `InvalidInputError` when there is none of this id."""
    letter = _find(place, name)
    return {"id": name, **msgspec.json.decode(msgspec.json.encode(letter))}


async def replay(place: Place, name: str) -> None:
    """Hand a letter in again as a webhook of its app. Raises `InvalidInputError` while it would come back.

    Raises `UnavailableError` when the router does not take it.
    """
    letter = _find(place, name)
    await _check_has_a_home(letter, place.admin)
    body = msgspec.json.encode(_webhook(letter))
    secret = _secret(place, letter.app)
    headers = {
        "Content-Type": "application/json",
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
    }
    url = place.url + webhook_path(letter.app)
    timeout = aiohttp.ClientTimeout(total=POST_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers) as got,
        ):
            status = got.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UnavailableError(f"The router at {place.url} does not answer ({type(error).__name__}).") from None
    if status != 200:
        raise UnavailableError(f"The router answered {status}.", hint="Try again; nothing was lost.")
    await asyncio.to_thread(_note_replayed, place, name)


def _letters(place: Place) -> Iterator[tuple[str, _Letter]]:
    for path in (place.folder / "dead-letters.1.jsonl", place.folder / "dead-letters.jsonl"):
        if not path.exists():
            continue
        for line in path.read_bytes().splitlines():
            try:
                # A line that is being written, or that a full disk cut off, is none yet.
                yield hashlib.sha256(line).hexdigest()[:12], _decode(line)
            except msgspec.DecodeError:
                continue


def _find(place: Place, name: str) -> _Letter:
    found = next((letter for each, letter in _letters(place) if each == name), None)
    if found is None:
        raise InvalidInputError(
            "ID", f"there is no dead letter {name} in {place.folder}.", hint="See `dead-letter list --all`."
        )
    return found


async def _check_has_a_home(letter: _Letter, admin: RouterAdmin) -> None:
    number = letter.phone_number_id
    if not number:
        if not await admin.numbers_of(letter.app, letter.waba_id):
            raise InvalidInputError("ID", f"no tenant of the app {letter.app} has the account {letter.waba_id}.")
        return
    try:
        route = await admin.route(number)
    except InvalidInputError:
        hint = "Apply its WhatsAppTenant first."
        raise InvalidInputError("ID", f"the number {number} is still unknown.", hint=hint) from None
    if route["app"] != letter.app:
        raise InvalidInputError("ID", f"the number {number} belongs to the app {route['app']}, not to {letter.app}.")


def _webhook(letter: _Letter) -> dict[str, Any]:
    """Return a webhook like the one that the letter was cut out of."""
    value: Any = letter.content
    if letter.kind in _LISTS:
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"phone_number_id": letter.phone_number_id},
            _LISTS[letter.kind]: [letter.content],
        }
        if bytes(letter.contact) != b"null":
            value["contacts"] = [letter.contact]
    change = {"field": letter.field, "value": value}
    return {"object": "whatsapp_business_account", "entry": [{"id": letter.waba_id, "changes": [change]}]}


def _secret(place: Place, app: str) -> bytes:
    path = place.apps_dir / app_file(app, APP_SECRET_KEY)
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise UnavailableError(f"The app {app} has no secret here: {path}.") from error


def _replayed(place: Place) -> frozenset[str]:
    path = place.folder / REPLAYED
    return frozenset(path.read_text(encoding="ascii").split()) if path.exists() else frozenset()


def _note_replayed(place: Place, name: str) -> None:
    # Only ids of letters that are still kept: the file is bounded by them.
    kept = [each for each, _ in _letters(place)]
    done: Sequence[str] = [each for each in kept if each in _replayed(place) or each == name]
    path = place.folder / REPLAYED
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(f"{each}\n" for each in done), encoding="ascii")
    temporary.replace(path)
