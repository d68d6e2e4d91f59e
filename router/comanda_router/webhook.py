"""Meta's webhook: verify, split, place, deliver, and answer 200 only when every part is stored.

| answer | when |
|---|---|
| 200 | every part is stored by a pod, known as a duplicate, or kept as a dead letter |
| 400 | signed, but not JSON |
| 401 | no signature, a malformed one, or one by none of the app's secrets |
| 404 | no app of this name |
| 413 | more than 3 MB |
| 503 | a part could not be stored; Meta sends the whole again, and what was stored is known then |
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import structlog
from starlette.types import Receive, Scope, Send

from comanda_contract.cloud.limits import WEBHOOK_BYTES
from comanda_contract.deliveries import Answer, Delivery
from comanda_contract.names import DEFAULT_APP
from comanda_router.apps import Apps
from comanda_router.dead_letters import DeadLetter, DeadLetters, Reason
from comanda_router.deliver import Lines, PodUnreachableError
from comanda_router.metrics import DELIVERIES, SIGNATURES, WEBHOOK_SECONDS, WEBHOOKS
from comanda_router.places import Place, Places
from comanda_router.signature import check_signature
from comanda_router.split import NotJsonError, split

_log = structlog.get_logger()

_SIGNATURE_HEADER = b"x-hub-signature-256"
_BODIES = {
    200: b"ok",
    400: b"The body is not JSON.",
    401: b"The signature is missing or wrong: it must be X-Hub-Signature-256 over the raw body with the app's secret.",
    404: b"There is no app of this name: the path is /webhook or /webhook/{app}.",
    413: b"The body is larger than 3 MB.",
    503: b"Not everything could be stored; send it again.",
}


class BodyTooLargeError(Exception):
    """The body is larger than Meta's largest."""


class ClientGoneError(Exception):
    """The client went away before its body was whole."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    """Deliveries for one pod."""

    place: Place
    deliveries: list[Delivery]


class WebhookReceiver:
    """The ASGI end of `POST /webhook[/{app}]`, outside the framework's request machinery, which costs more than it."""

    def __init__(
        self, apps: Apps, places: Places, lines: Lines, dead_letters: DeadLetters, deadline_seconds: float
    ) -> None:
        self._apps = apps
        self._places = places
        self._lines = lines
        self._dead_letters = dead_letters
        self._deadline_seconds = deadline_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one webhook."""
        app = app_of(scope["path"])
        try:
            status = await self._answer(app, scope, receive)
        except ClientGoneError:
            return
        WEBHOOKS.labels(status=status).inc()
        body = _BODIES[status]
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        if status == 413:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, app: str | None, scope: Scope, receive: Receive) -> int:
        secrets = self._apps.get(app) if app is not None else None
        if app is None or secrets is None:
            return 404
        headers = dict(scope["headers"])
        try:
            body = await read_body(headers, receive)
        except BodyTooLargeError:
            return 413
        verdict = check_signature(secrets.secrets, body, headers.get(_SIGNATURE_HEADER))
        SIGNATURES.labels(result=verdict).inc()
        if verdict not in {"current", "previous"}:
            return 401
        with WEBHOOK_SECONDS.time():
            return await self.take(app, body)

    async def take(self, app: str, body: bytes) -> int:
        """Store every part of a correctly signed body; returns the HTTP status."""
        try:
            parts = split(app, body)
        except NotJsonError:
            return 400
        dead = [DeadLetter("no_number", app, part.waba_id, part.field, "", part.content) for part in parts.unroutable]
        wanted: list[Delivery] = []
        for delivery in parts.deliveries:
            entry = self._places.entry(delivery.phone_number_id)
            if entry is None:
                dead.append(_dead("unknown_number", delivery))
            elif entry.app != app:
                dead.append(_dead("wrong_app", delivery))
            else:
                wanted.append(delivery)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                stored = await self._deliver_all(wanted, dead)
        except TimeoutError:
            # A pod may be storing it still; Meta sends it again, and what was stored is known then.
            stored = False
        if dead:
            try:
                await asyncio.to_thread(self._dead_letters.keep, dead)
            except OSError as error:
                _log.error("dead_letters_refused", error=str(error))
                return 503
        return 200 if stored else 503

    async def _deliver_all(self, deliveries: list[Delivery], dead: list[DeadLetter]) -> bool:
        """Deliver, those whose pod cannot be reached to the next one, once. True when all are stored."""
        answered, unreachable = await self._deliver(deliveries, avoid=())
        if unreachable:
            again, still = await self._deliver(
                [delivery for parcel in unreachable for delivery in parcel.deliveries],
                avoid={parcel.place.pod.name for parcel in unreachable},
            )
            answered += again
            unreachable = still
        stored = not unreachable
        for delivery, answer in answered:
            DELIVERIES.labels(outcome=answer.outcome).inc()
            if answer.outcome == "refused" and answer.retry:
                stored = False
            elif answer.outcome == "refused":
                dead.append(_dead("malformed", delivery))
        return stored and len(answered) == len(deliveries)

    async def _deliver(
        self, deliveries: list[Delivery], avoid: Collection[str]
    ) -> tuple[list[tuple[Delivery, Answer]], list[_Parcel]]:
        parcels = self._parcels(deliveries, avoid)
        results = await asyncio.gather(
            *(self._lines.to(parcel.place).deliver(parcel.deliveries) for parcel in parcels), return_exceptions=True
        )
        answered: list[tuple[Delivery, Answer]] = []
        unreachable: list[_Parcel] = []
        for parcel, result in zip(parcels, results, strict=True):
            if isinstance(result, PodUnreachableError):
                unreachable.append(parcel)
            elif isinstance(result, BaseException):
                raise result
            else:
                answered += zip(parcel.deliveries, result, strict=True)
        return answered, unreachable

    def _parcels(self, deliveries: Iterable[Delivery], avoid: Collection[str]) -> list[_Parcel]:
        """Group deliveries by the pod that gets them; those without a ready pod are in none."""
        by_pod: dict[tuple[str, str], _Parcel] = {}
        places: dict[str, Place | None] = {}
        for delivery in deliveries:
            number = delivery.phone_number_id
            if number not in places:
                entry = self._places.entry(number)
                places[number] = self._places.place(entry, avoid) if entry is not None else None
            place = places[number]
            if place is not None:
                parcel = by_pod.setdefault((place.group.name, place.pod.name), _Parcel(place, []))
                parcel.deliveries.append(delivery)
        return list(by_pod.values())


def app_of(path: str) -> str | None:
    """Return the app that a path speaks for: `/webhook` is the default one; None for any other path."""
    if path in {"/webhook", "/webhook/"}:
        return DEFAULT_APP
    prefix, _, name = path.rpartition("/")
    return name if prefix == "/webhook" and name else None


async def read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """Read a body of at most 3 MB. Raises `BodyTooLargeError` before more than that is read, or `ClientGoneError`."""
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > WEBHOOK_BYTES:
        raise BodyTooLargeError
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > WEBHOOK_BYTES:
            raise BodyTooLargeError
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _dead(reason: Reason, delivery: Delivery) -> DeadLetter:
    return DeadLetter(
        reason, delivery.app, delivery.waba_id, delivery.field, delivery.phone_number_id, bytes(delivery.item)
    )
