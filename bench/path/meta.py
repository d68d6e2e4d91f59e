"""Meta's side for the benchmark: customers' messages out as signed webhooks, the bot's replies in, in one clock.

A customer's messages and the bot's replies pair up in order: the flow answers each message with one. The time of a
reply is counted from the moment at which the message was meant to be sent, so that a late generator counts against us.
Unlike the simulator, nothing here is for people to look at: it has to be cheap, for it shares the cores.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from bench.path.wire import Client, serve

ORDER = ("Hola, quiero 2 margarita y 1 coca cola", "delivery", "Av. Pedro de Valdivia 123, Providencia", "sí")
"""What a customer writes; the bot answers each."""
ORDER_TOTAL = 2 * 8990 + 2490 + 2500
"""Two pizzas, a bottle and the delivery, in pesos."""
PLACED = b"Pedido recibido"
"""What the answer to the last message says, of both bots."""

SENT_AFTER_SECONDS = 0.1
DELIVERED_AFTER_SECONDS = 0.4
"""When the two statuses of a message follow it; Meta takes about that long to a phone that is on."""
WEBHOOK_SECONDS = 20.0
"""How long a webhook may take to be answered before it counts as unanswered."""
RETRY_SECONDS = 0.25
"""First wait after a webhook that was not answered 200; it doubles up to `LONGEST_RETRY_SECONDS`."""
LONGEST_RETRY_SECONDS = 4.0
FIRST_PHONE = "56800000000"
"""Who tries a starting system; writes once and never orders."""
PRICING = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"}


class NoAnswerError(Exception):
    """The system under test did not do its part in time, or not rightly."""


@dataclass(frozen=True)
class Number:
    """A restaurant's number."""

    tenant: str
    phone_number_id: str
    waba_id: str
    display: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A message and its reply, in seconds of the event loop's clock."""

    intended: float
    replied: float

    @property
    def milliseconds(self) -> float:
        """How long the customer waited."""
        return (self.replied - self.intended) * 1000


@dataclass(slots=True)
class Customer:
    """One person who orders once."""

    number: Number
    phone: str
    waiting: deque[tuple[float, asyncio.Future[bytes]]] = field(default_factory=deque)

    @property
    def name(self) -> str:
        """A name by which the order is found again."""
        return f"Ana {self.phone}"


class _Send(msgspec.Struct):
    """A message to a customer, as far as this side needs it."""

    status: str = ""
    to: str = ""
    biz_opaque_callback_data: str = ""


_read_send = msgspec.json.Decoder(_Send).decode
_encode = msgspec.json.Encoder().encode


class Meta:
    """Posts webhooks to one system under test and takes its replies."""

    def __init__(self, webhook_port: int, path: str, secret: str, *, statuses: bool) -> None:
        self.samples: list[Sample] = []
        self.refused: Counter[str] = Counter()
        """Webhooks that were not answered 200, by status or kind of failure."""
        self.unexpected = 0
        """Replies that nobody waited for."""
        self.first_replied = asyncio.Event()
        self._client = Client(webhook_port)
        self._path = path
        self._secret = secret.encode()
        self._statuses = statuses
        self._customers: dict[str, Customer] = {}
        self._posting: set[asyncio.Task[None]] = set()
        self._timers = 0
        self._wamids = 0
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None

    async def listen(self, graph_port: int) -> None:
        """Take Graph API calls on a loopback port."""
        self._server = await serve(graph_port, self._graph)

    async def close(self) -> None:
        """Stop listening and close every connection."""
        for task in self._posting:
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)
        self._client.close()
        if self._server is not None:
            self._server.close()

    def say(self, customer: Customer, text: str, intended: float) -> asyncio.Future[bytes]:
        """Send a customer's message; returns the reply's body to come. `intended` is on the loop's clock."""
        reply: asyncio.Future[bytes] = self._loop.create_future()
        customer.waiting.append((intended, reply))
        self._customers[customer.phone] = customer
        self._post_later(0.0, customer.number, text_value(customer.phone, customer.name, self._wamid(), text))
        return reply

    def first_message(self) -> dict[str, Any]:
        """Return the message by which a starting system is tried; its reply sets `first_replied`."""
        return text_value(FIRST_PHONE, "Ana", self._wamid(), ORDER[0])

    def forget(self, customer: Customer) -> None:
        """Let go of a customer whose order is placed."""
        self._customers.pop(customer.phone, None)

    async def try_once(self, number: Number, value: dict[str, Any]) -> int:
        """Post one webhook once; returns its status, 0 when there was no answer."""
        body = webhook_body(number, value)
        try:
            async with asyncio.timeout(WEBHOOK_SECONDS):
                return await self._client.post(self._path, body, signature_header(self._secret, body))
        except (OSError, TimeoutError):
            return 0

    def state(self) -> str:
        """Say what is under way, for an error message."""
        return f"{len(self._posting)} webhooks are unanswered, not answered 200 were {dict(self.refused) or 'none'}"

    async def settle(self, seconds: float = 30.0) -> None:
        """Wait until every webhook, statuses too, has been answered. Raises `NoAnswerError`."""
        deadline = self._loop.time() + seconds
        while self._posting or self._timers:
            if self._loop.time() > deadline:
                raise NoAnswerError(f"{len(self._posting)} webhooks were not answered 200 within {seconds:.0f} s.")
            await asyncio.sleep(0.02)

    def _post_later(self, seconds: float, number: Number, value: dict[str, Any]) -> None:
        if seconds > 0:
            self._timers += 1
            self._loop.call_later(seconds, self._due, number, value)
            return
        task = self._loop.create_task(self._post(number, value))
        self._posting.add(task)
        task.add_done_callback(self._posting.discard)

    def _due(self, number: Number, value: dict[str, Any]) -> None:
        self._timers -= 1
        self._post_later(0.0, number, value)

    async def _post(self, number: Number, value: dict[str, Any]) -> None:
        """Post until it is answered 200, as Meta does; a customer's patience ends it."""
        wait = RETRY_SECONDS
        while (status := await self.try_once(number, value)) != 200:
            self.refused[str(status or "no answer")] += 1
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_RETRY_SECONDS)

    def _graph(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Answer a Graph API call: a message is accepted, anything else is the number's own page."""
        arrived = self._loop.time()
        if not path.endswith("/messages"):
            return 200, _encode({"id": path.rpartition("/")[2], "display_phone_number": "99900000000"})
        sent = _read_send(body)
        if sent.status == "read":
            return 200, b'{"success":true}'
        wamid = self._wamid()
        phone = sent.to.removeprefix("+")
        if phone == FIRST_PHONE:
            self.first_replied.set()
            return 200, accepted(phone, wamid)
        customer = self._customers.get(phone)
        if customer is None or not customer.waiting:
            self.unexpected += 1
        else:
            intended, reply = customer.waiting.popleft()
            self.samples.append(Sample(intended, arrived))
            if not reply.done():
                reply.set_result(body)
            if self._statuses:
                self._follow(customer, sent, wamid)
        return 200, accepted(phone, wamid)

    def _follow(self, customer: Customer, sent: _Send, wamid: str) -> None:
        """Let the two statuses of an accepted message follow, each in a webhook of its own."""
        for word, seconds in (("sent", SENT_AFTER_SECONDS), ("delivered", DELIVERED_AFTER_SECONDS)):
            status: dict[str, Any] = {
                "id": wamid,
                "status": word,
                "timestamp": str(int(time.time())),
                "recipient_id": customer.phone,
            }
            if sent.biz_opaque_callback_data:
                status["biz_opaque_callback_data"] = sent.biz_opaque_callback_data
            if word == "sent":
                status["pricing"] = PRICING
            self._post_later(seconds, customer.number, {"statuses": [status]})

    def _wamid(self) -> str:
        self._wamids += 1
        return f"wamid.BENCH{id(self):x}{self._wamids:08d}"


def text_value(phone: str, name: str, wamid: str, text: str) -> dict[str, Any]:
    """Return a webhook's value with one text message."""
    message = {"from": phone, "id": wamid, "timestamp": str(int(time.time())), "type": "text", "text": {"body": text}}
    return {"contacts": [{"profile": {"name": name}, "wa_id": phone}], "messages": [message]}


def accepted(to: str, wamid: str) -> bytes:
    """Return the Graph API's answer to a message that it has taken."""
    contacts = [{"input": to, "wa_id": to}]
    return _encode({"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": wamid}]})


def webhook_body(number: Number, value: dict[str, Any]) -> bytes:
    """Return a webhook's body with one change for a number."""
    metadata = {"display_phone_number": number.display, "phone_number_id": number.phone_number_id}
    change = {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    return _encode({"object": "whatsapp_business_account", "entry": [{"id": number.waba_id, "changes": [change]}]})


def signature_header(secret: bytes, body: bytes) -> str:
    """Return the header line with Meta's signature of a body."""
    return f"X-Hub-Signature-256: sha256={hmac.digest(secret, body, 'sha256').hex()}\r\n"


class Phones:
    """Phone numbers that nobody has used before: Meta's limits for a pair of numbers then do not matter."""

    def __init__(self) -> None:
        self._next = 0

    def customer(self, numbers: Sequence[Number]) -> Customer:
        """Return the next new customer; they write to the restaurants by turns."""
        self._next += 1
        return Customer(numbers[self._next % len(numbers)], f"569{self._next:08d}")
