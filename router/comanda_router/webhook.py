"""Meta's webhooks: check, split, place, deliver, and answer 200 only when every part is stored.

| answer | when |
|---|---|
| 200 | every part is stored by a pod, known as a duplicate, or kept as a dead letter |
| 400 | signed, but not JSON |
| 401 | no signature, a malformed one, or one by none of the app's secrets |
| 404 | no app of this name |
| 413 | more than 3 MB |
| 429 | a tenant is over its rate (`limits.py`): none of it was taken, the rest is stored; Meta sends it all again |
| 503 | a part could not be stored; Meta sends the whole again, and what was stored is known then |

Nothing here awaits: a webhook is one object that hears what became of its parcels, and then tells who asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from time import monotonic
from typing import Protocol

import msgspec
import structlog

from comanda_contract.deliveries import MAX_BATCH, Answer, Delivery
from comanda_contract.directory import NumberEntry
from comanda_contract.trace import trace_id_of
from comanda_router.apps import Apps
from comanda_router.dead_letters import DeadLetter, DeadLetters, Reason
from comanda_router.deliver import Line, Lines
from comanda_router.limits import Charge, Limits, give_back
from comanda_router.metrics import DELIVERIES, LIMITS, SIGNATURES, WEBHOOK_SECONDS, WEBHOOKS
from comanda_router.parcels import Parcel
from comanda_router.places import Place, Places
from comanda_router.settings import RouterSettings
from comanda_router.signature import SIGNED, Verdict
from comanda_router.split import NotJsonError, Sent, Unroutable, of_account, sender_of, split_any, split_usual
from comanda_router.turns import Turns

_log = structlog.get_logger()

BODIES = {
    200: b"ok",
    400: b"The body is not JSON.",
    401: b"The signature is missing or wrong: it must be X-Hub-Signature-256 over the raw body with the app's secret.",
    404: b"There is no app of this name: the path is /webhook or /webhook/{app}.",
    413: b"The body is larger than 3 MB.",
    429: b"A number gets more messages than its tenant may have; send it again later.",
    503: b"Not everything could be stored; send it again.",
}
"""What each answer says."""

_NUMBERED = frozenset({"", "messages"})
"""Fields whose changes name a number, or mean nothing."""


class Asker(Protocol):
    """Who posted a webhook and waits for its answer."""

    def on_answer(self, webhook: Webhook) -> None:
        """`webhook.status` is known."""


class Webhook:
    """One webhook on its way: counts what is still to be heard of, then answers, once."""

    __slots__ = (
        "_asker",
        "_charges",
        "_dead",
        "_desk",
        "_left",
        "_slower",
        "_stored",
        "app",
        "begun",
        "size",
        "status",
        "trace",
    )

    def __init__(self, desk: Webhooks, asker: Asker, app: str, size: int) -> None:
        self.status = 0
        """The HTTP answer; 0 until it is known."""
        self.app = app
        self._desk = desk
        self._asker = asker
        self.size = size
        self.trace = ""
        self.begun = monotonic()
        self._left = 1  # one for reading it, so that nothing is answered before all parcels are on their way
        self._stored = True
        self._slower = False
        self._charges: list[Charge] = []
        self._dead: list[DeadLetter] = []

    def send(self, line: Line, deliveries: Sequence[Delivery], *, moved: bool = False) -> None:
        """Hand deliveries to a pod's line, in as many parcels as batches would hold them."""
        if len(deliveries) > MAX_BATCH:
            for start in range(0, len(deliveries), MAX_BATCH):
                self.send(line, deliveries[start : start + MAX_BATCH], moved=moved)
        elif line.put(Parcel(self, deliveries, self.begun + self._desk.deadline_seconds, moved=moved)):
            self._left += 1
        else:
            self._stored = False

    def bury(self, reason: Reason, delivery: Delivery) -> None:
        """Keep a delivery that no pod is to have, or that its pod cannot read, as a dead letter."""
        number, item, contact = delivery.phone_number_id, bytes(delivery.item), bytes(delivery.contact)
        of = (reason, delivery.app, delivery.waba_id, delivery.field)
        self._dead.append(DeadLetter(*of, number, item, delivery.kind, contact))

    def bury_part(self, part: Unroutable) -> None:
        """Keep a part that names no number as a dead letter."""
        self._dead.append(DeadLetter("no_number", self.app, part.waba_id, part.field, "", part.content))

    def charged(self, charge: Charge) -> None:
        """Note what was taken of a rate for it: given back unless all is stored, since it comes again whole then."""
        self._charges.append(charge)

    def slow_down(self) -> None:
        """Note that a tenant is over its rate, and nothing of it was taken."""
        self._slower = True

    def refuse(self) -> None:
        """Note that something was not stored."""
        self._stored = False

    def done(self) -> None:
        """Note that one thing to be heard of has been heard; the last one makes the answer."""
        self._left -= 1
        if self._left:
            return
        if self._dead:
            self._desk.keep(self._dead, self._kept)
        else:
            self._answer_by_parts()

    def _kept(self, *, on_disk: bool) -> None:
        self._stored &= on_disk
        self._answer_by_parts()

    def _answer_by_parts(self) -> None:
        self.answer(503 if not self._stored else 429 if self._slower else 200)

    def answer(self, status: int) -> None:
        """Tell who asked."""
        self.status = status
        WEBHOOKS.counts[status] += 1
        if status != 200:
            for charge in self._charges:
                give_back(charge)
        seconds = monotonic() - self.begun
        WEBHOOK_SECONDS.observe(seconds)
        self._desk.ended(self, seconds)
        self._asker.on_answer(self)

    # What lines say

    def answered(self, parcel: Parcel, answers: Sequence[Answer] | None) -> None:
        """Note what became of each delivery of a parcel; None when all are stored."""
        if answers is None:
            DELIVERIES.counts["stored"] += parcel.count
        else:
            self._note(parcel, answers)
        self.done()

    def _note(self, parcel: Parcel, answers: Sequence[Answer]) -> None:
        for delivery, answer in zip(parcel.deliveries, answers, strict=True):
            DELIVERIES.counts[answer.outcome] += 1
            if answer.outcome == "refused":
                if answer.retry:
                    self._stored = False
                else:
                    self.bury("malformed", delivery)

    def move(self, parcel: Parcel, place: Place) -> bool:
        """Send the deliveries of a parcel to the next pod, once; False when that cannot be."""
        if parcel.moved:
            return False
        lines = self._desk.next_lines(parcel.deliveries, place)
        if lines is None:
            return False
        for line, deliveries in lines.items():
            self.send(line, deliveries, moved=True)
        self.done()
        return True


class Webhooks:
    """What every webhook needs, whichever way it was read. Make it in the event loop that it is to live in."""

    def __init__(
        self,
        apps: Apps,
        places: Places,
        lines: Lines,
        dead_letters: DeadLetters,
        settings: RouterSettings,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.turns = Turns()
        self.deadline_seconds = settings.deadline_seconds
        self.under_way_bytes = 0
        """Bodies of webhooks without an answer."""
        self._reading_bytes = 0
        """Large bodies that have begun and are not whole, by their declared length."""
        self.apps = apps
        self._places = places
        self._lines = lines
        self._dead_letters = dead_letters
        self._max_bytes = settings.under_way_bytes
        self._limits = Limits(settings.customer_per_minute, settings.customer_burst)
        self._log_every = self._until_log = settings.log_every

    def begin_reading(self, size: int) -> bool:
        """Take room for a large body of so many bytes; False when there is none, and then it is not to be read."""
        if self._reading_bytes + size > self._max_bytes:
            LIMITS.counts["memory"] += 1
            return False
        self._reading_bytes += size
        return True

    def end_reading(self, size: int) -> None:
        """Give the room back: the body is whole, or will not be."""
        self._reading_bytes -= size

    def refuse(self, asker: Asker, app: str, verdict: Verdict, size: int) -> Webhook:
        """Answer a webhook of so many bytes that is not signed."""
        SIGNATURES.counts[verdict] += 1
        self.under_way_bytes += size
        webhook = Webhook(self, asker, app, size)
        webhook.answer(401)
        return webhook

    def take(self, asker: Asker, app: str, verdict: Verdict, body: bytes, trace: str) -> Webhook:
        """Take one webhook of an app; its answer may be there at once, else `asker` hears of it later.

        `verdict` is the signature's, which comes before anything is parsed; `trace` is the webhook's `traceparent`.
        """
        if verdict not in SIGNED:
            return self.refuse(asker, app, verdict, len(body))
        SIGNATURES.counts[verdict] += 1
        webhook = Webhook(self, asker, app, len(body))
        webhook.trace = trace
        self.under_way_bytes += len(body)
        if self.under_way_bytes > self._max_bytes:
            LIMITS.counts["memory"] += 1
            webhook.answer(503)
        else:
            usual = split_usual(app, body)
            if usual is None:
                self._take_unusual(webhook, app, body)
            else:
                self._deliver(webhook, app, usual)
        return webhook

    def _take_unusual(self, webhook: Webhook, app: str, body: bytes) -> None:
        try:
            parts = split_any(app, body)
        except NotJsonError:
            webhook.answer(400)
            return
        deliveries = list(parts.deliveries)
        for part in parts.unroutable:
            # A message without a number is nobody's; what is told of an account concerns each of its numbers.
            numbers = self._places.of_account(app, part.waba_id) if part.field not in _NUMBERED else ()
            if numbers:
                deliveries += of_account(app, part, numbers)
            elif part.field not in _NUMBERED and self._places.is_doubtful():
                webhook.refuse()
            else:
                webhook.bury_part(part)
        self._deliver(webhook, app, [(each, sender_of(each.item)) for each in deliveries])

    def _deliver(self, webhook: Webhook, app: str, sent: Sequence[Sent]) -> None:
        if webhook.trace:
            sent = [(msgspec.structs.replace(each, traceparent=webhook.trace), sender) for each, sender in sent]
        if len(sent) == 1:  # nearly always; the general way below does the same
            delivery, sender = sent[0]
            line = self._line_for(webhook, app, delivery)
            if line is not None and (
                delivery.kind != "message" or self._may_come(webhook, delivery.phone_number_id, 1)
            ):
                webhook.send(line, (self._muted_in_a_flood(webhook, delivery, sender),))
        else:
            by_line: dict[Line, list[Delivery]] = {}
            messages = Counter(each.phone_number_id for each, _ in sent if each.kind == "message")
            judged: dict[str, bool] = {}
            """Whether a number's messages may come: the first one of them is charged for all."""
            for delivery, sender in sent:
                line, number = self._line_for(webhook, app, delivery), delivery.phone_number_id
                if line is None:
                    continue
                if delivery.kind == "message":
                    if number not in judged:
                        judged[number] = self._may_come(webhook, number, messages[number])
                    if not judged[number]:
                        continue
                by_line.setdefault(line, []).append(self._muted_in_a_flood(webhook, delivery, sender))
            for line, parts in by_line.items():
                webhook.send(line, parts)
        webhook.done()

    def _may_come(self, webhook: Webhook, number: str, messages: int) -> bool:
        """Charge a number of ours for so many messages; False when it is over its rate.

        To be asked when a delivery has its pod: a body of another app uses up nothing.
        """
        entry = self._places.entries[number]
        rate = entry.inbound_per_minute, entry.inbound_burst
        charge = self._limits.charge_number(number, webhook.begun, *rate, messages)
        if charge is None:
            LIMITS.counts["tenant"] += 1
            webhook.slow_down()
            return False
        webhook.charged(charge)
        return True

    def _muted_in_a_flood(self, webhook: Webhook, delivery: Delivery, sender: str) -> Delivery:
        if not sender or delivery.kind != "message":
            return delivery
        charge = self._limits.charge_customer(delivery.phone_number_id, sender, webhook.begun)
        if charge is not None:
            webhook.charged(charge)
            return delivery
        LIMITS.counts["customer"] += 1
        return msgspec.structs.replace(delivery, muted=True)

    def _line_for(self, webhook: Webhook, app: str, delivery: Delivery) -> Line | None:
        """Return the line to a delivery's pod: its own, or the next one that is well while that one rests."""
        number = delivery.phone_number_id
        entry = self._places.entries.get(number)
        if entry is None or entry.app != app:
            if self._places.is_doubtful():
                webhook.refuse()
            else:
                webhook.bury("unknown_number" if entry is None else "wrong_app", delivery)
        elif (home := self._places.homes.get(number)) is None:
            webhook.refuse()
        else:
            line = self._lines.to(home)
            return self._well(entry, home) or line if line.resting else line
        return None

    def _well(self, entry: NumberEntry, than: Place) -> Line | None:
        lines = (self._lines.to(place) for place in self._places.others(entry, (than,)))
        return next((line for line in lines if not line.resting), None)

    def next_lines(self, deliveries: Collection[Delivery], failed: Place) -> dict[Line, list[Delivery]] | None:
        """Return which other pods are to have deliveries of `failed`; None when one of them has no other pod."""
        by_line: dict[Line, list[Delivery]] = {}
        for delivery in deliveries:
            entry = self._places.entries.get(delivery.phone_number_id)
            line = self._well(entry, failed) if entry is not None else None
            if line is None:
                return None
            by_line.setdefault(line, []).append(delivery)
        return by_line

    def ended(self, webhook: Webhook, seconds: float) -> None:
        """Give its memory back, and log every so manieth: what was answered, never who wrote or what."""
        self.under_way_bytes -= webhook.size
        if self._log_every:
            self._until_log -= 1
            if self._until_log <= 0:
                self._until_log = self._log_every
                milliseconds = round(seconds * 1000, 2)
                traced = {"trace_id": trace_id_of(webhook.trace)} if webhook.trace else {}
                seen = {"app": webhook.app, "status": webhook.status, "bytes": webhook.size, "ms": milliseconds}
                _log.info("webhook", **seen, **traced)

    def tidy(self) -> None:
        """Forget pods and numbers that the directory no longer names."""
        self._lines.keep(self._places.live)
        self._limits.keep_numbers(self._places.entries.keys())

    def keep(self, letters: Sequence[DeadLetter], kept: Callable[..., None]) -> None:
        """Write dead letters in a thread, then call `kept(on_disk=…)`."""

        def written(future: asyncio.Future[None]) -> None:
            error = future.exception()
            if error is not None:
                _log.error("dead_letters_refused", error=str(error))
            kept(on_disk=error is None)

        self.loop.run_in_executor(None, self._dead_letters.keep, letters).add_done_callback(written)


def app_of(path: str, default: str) -> str | None:
    """Return the app that a path speaks for: `/webhook` is `default`; None for any other path."""
    if path in {"/webhook", "/webhook/"}:
        return default
    prefix, _, name = path.rpartition("/")
    return name if prefix == "/webhook" and name else None
