"""All that Meta's side knows while it runs: one object that every route works on."""

from __future__ import annotations

import base64
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

import msgspec

from comanda_simulator.config import NumberConfig, SimulatorConfig
from comanda_simulator.customers import Customers
from comanda_simulator.faults import Chance
from comanda_simulator.interactive import Facts
from comanda_simulator.ledger import Ledger
from comanda_simulator.media import MediaStore
from comanda_simulator.rates import PairLimit, Throughput
from comanda_simulator.receipts import Receipts
from comanda_simulator.sender import WebhookSender

_REMEMBERED_MESSAGES = 200_000
"""Inbound messages that a business may still mark as read or react to."""


class InboundRecord(msgspec.Struct, frozen=True):
    """Who sent an inbound message to which number, and when (unix seconds)."""

    phone_number_id: str
    customer: str
    at: float


class Cloud:
    """The state of the simulated platform. `clock` returns unix seconds."""

    def __init__(self, config: SimulatorConfig, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.clock = clock
        self.chance = Chance(config.settings.seed)
        self.ledger = Ledger(config.settings.ledger_size)
        self.sender = WebhookSender(config, self.chance, self.callback_url, self.ledger.acknowledge)
        self.receipts = Receipts(config, self.ledger, self.sender, clock)
        self.customers = Customers()
        self.media = MediaStore()
        self.throughput = Throughput()
        self.pairs = PairLimit()
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[int] = Counter()
        self.overrides: dict[str, str] = {}
        self.unsubscribed: set[str] = set()
        self.closing = False
        self._inbound: OrderedDict[str, InboundRecord] = OrderedDict()
        self.numbers: dict[str, NumberConfig] = {}
        self.facts: dict[str, Facts] = {}
        self.tokens: dict[str, list[NumberConfig]] = {}
        self.apply(config)

    def apply(self, config: SimulatorConfig) -> None:
        """Put a configuration in force; what has happened so far stays."""
        self.config = self.sender.config = self.receipts.config = config
        self.numbers = {number.phone_number_id: number for number in config.numbers}
        self.facts = {number.phone_number_id: self._facts_of(number) for number in config.numbers}
        self.tokens = {}
        for number in config.numbers:
            self.tokens.setdefault(number.access_token, []).append(number)

    def speaks_for(self, token: str) -> list[NumberConfig]:
        """Return the numbers that a token speaks for; none when it is unknown or has ended."""
        numbers = self.tokens.get(token, [])
        ends = max((number.standing.token_expires_at for number in numbers), default=0)
        return [] if ends and ends <= self.clock() else numbers

    def callback_url(self, app: str, waba_id: str) -> str:
        """Return where an account's webhooks go: its override, or the app's URL."""
        return self.overrides.get(waba_id) or self.config.webhook_url_of(app)

    def waba_numbers(self, waba_id: str) -> list[NumberConfig]:
        """Return the numbers of an account."""
        return [number for number in self.config.numbers if number.waba_id == waba_id]

    def remember_inbound(self, wamid: str, record: InboundRecord) -> None:
        """Keep an inbound message for later reference."""
        self._inbound[wamid] = record
        if len(self._inbound) > _REMEMBERED_MESSAGES:
            self._inbound.popitem(last=False)

    def inbound(self, phone_number_id: str, wamid: str) -> InboundRecord | None:
        """Return an inbound message of a number, or None."""
        record = self._inbound.get(wamid)
        return record if record is not None and record.phone_number_id == phone_number_id else None

    def _facts_of(self, number: NumberConfig) -> Facts:
        def has_media(media_id: str) -> bool:
            return self.media.owns(number.phone_number_id, media_id)

        return Facts(has_media, frozenset(product.sku for product in number.catalog))


def new_wamid() -> str:
    """Return a fresh message id: opaque, as Meta's are, with the characters that break naive URL handling."""
    return "wamid.HBg" + base64.b64encode(os.urandom(27)).decode()
