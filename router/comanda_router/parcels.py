"""What goes to pods: a parcel is what one webhook has for one pod, a batch is the parcels of one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from comanda_contract.deliveries import STORAGE, Answer, Delivery
from comanda_router.places import Place

_BEGIN, _END = b'{"deliveries":[', b"]}"
_encode = msgspec.json.Encoder().encode


class Sender(Protocol):
    """A webhook that waits for what becomes of its parcels."""

    def answered(self, parcel: Parcel, answers: Sequence[Answer] | None) -> None:
        """Note the answer for each delivery of a parcel, None for all stored; the parcel is done with."""

    def move(self, parcel: Parcel, place: Place) -> bool:
        """Hand the deliveries to another pod than `place`; False when there is none, or they have moved before."""


class Parcel:
    """Deliveries of one webhook for one pod, as they go over the wire. `due` is a moment of `monotonic()`."""

    __slots__ = ("content", "count", "deliveries", "due", "moved", "sender", "size")

    def __init__(self, sender: Sender, deliveries: Sequence[Delivery], due: float, *, moved: bool = False) -> None:
        self.sender: Sender | None = sender
        self.deliveries = deliveries
        self.count = len(deliveries)
        self.due = due
        self.moved = moved
        """Whether another pod could not take it."""
        self.content = _encode(deliveries[0]) if len(deliveries) == 1 else b",".join(map(_encode, deliveries))
        self.size = len(self.content)

    def settle(self, answers: Sequence[Answer] | None) -> None:
        """Answer the webhook, unless that has happened, as it does when its deadline passes."""
        sender = self.sender
        if sender is not None:
            self.sender = None
            sender.answered(self, answers)

    def refuse(self) -> None:
        """Answer that nothing was stored, as far as we know."""
        self.settle([STORAGE] * self.count)

    def move(self, place: Place) -> bool:
        """Let the webhook try elsewhere; True when this parcel is done with."""
        sender = self.sender
        if sender is not None and sender.move(self, place):
            self.sender = sender = None
        return sender is None


class Batch:
    """Parcels in one request. One without parcels is a probe, on which no webhook hangs."""

    __slots__ = ("count", "parcels", "repeated", "sent_at", "size", "stalled")

    def __init__(self, parcels: Sequence[Parcel], count: int, size: int, sent_at: float) -> None:
        self.parcels = parcels
        self.count = count
        """Deliveries in all."""
        self.size = size
        """Their bytes."""
        self.sent_at = sent_at
        self.stalled = False
        self.repeated = False
        """Whether it met a kept-alive connection that had ended meanwhile."""

    def request(self, head: bytes) -> bytes:
        """Return the request with the JSON of a `DeliveryBatch`; `head` ends where Content-Length's value begins."""
        parcels = self.parcels
        content = parcels[0].content if len(parcels) == 1 else b",".join([parcel.content for parcel in parcels])
        length = len(_BEGIN) + len(content) + len(_END)
        return b"%b%d\r\n\r\n%b%b%b" % (head, length, _BEGIN, content, _END)
