"""Router → pod: a batch of deliveries, and an answer for each.

The body of `POST /v1/deliveries` is the JSON of `DeliveryBatch`; the answer is the JSON of `BatchAnswer`, with one
answer a delivery in the same order. The router acknowledges a webhook to Meta only when every delivery of it was
answered `stored` or `duplicate`. The request carries `Authorization: Bearer <group key>`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

DeliveryKind = Literal["message", "status", "change"]
"""`message`: one item of `messages`; `status`: one of `statuses`; `change`: a whole change of any other shape."""

Outcome = Literal["stored", "duplicate", "refused"]

MAX_BATCH = 1024
"""Deliveries in one request; Meta's largest webhook holds 1,000 updates (Cloud API reference, section 1.4)."""

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Largest request body that a pod reads: a 3 MB webhook with its framing, with room to spare."""


NO_CONTACT = msgspec.Raw(b"null")
"""The contact of a delivery whose webhook names none; left out on the wire."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of a webhook on its way to the pod that serves its number. `item` is Meta's own JSON, byte for byte."""

    kind: DeliveryKind
    phone_number_id: str
    key: str
    """What makes it a duplicate within its number: `wamid`, `wamid/status`, or a digest of the change."""
    app: str
    waba_id: str = ""
    field: str = "messages"
    item: msgspec.Raw
    muted: bool = False
    """A message of a flood: to be stored and given no turn, so that nothing is lost and nobody pays for answers."""
    traceparent: str = ""
    """Of the request that it came in, where a proxy before the router gave it one."""
    contact: msgspec.Raw = NO_CONTACT
    """The matching entry of `contacts`; matched by `wa_id` or `user_id`, never by index."""


class DeliveryBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The request: deliveries of any tenants of one group, in the order in which the router received them."""

    deliveries: list[Delivery]


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one delivery.

    `stored` and `duplicate` are durable. `refused` was not stored; `reason` is a stable word: `unknown_tenant`,
    `draining`, `overloaded`, `storage`, `malformed`. `retry` says whether it may succeed elsewhere or later.
    """

    outcome: Outcome
    reason: str = ""
    retry: bool = False


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The response: one answer a delivery, in the order of the request."""

    answers: list[Answer]


STORED = Answer(outcome="stored")
DUPLICATE = Answer(outcome="duplicate")
UNKNOWN_TENANT = Answer(outcome="refused", reason="unknown_tenant", retry=True)
DRAINING = Answer(outcome="refused", reason="draining", retry=True)
OVERLOADED = Answer(outcome="refused", reason="overloaded", retry=True)
STORAGE = Answer(outcome="refused", reason="storage", retry=True)
MALFORMED = Answer(outcome="refused", reason="malformed")

encode_batch = msgspec.json.Encoder().encode
decode_batch = msgspec.json.Decoder(DeliveryBatch).decode
encode_answers = msgspec.json.Encoder().encode
decode_answers = msgspec.json.Decoder(BatchAnswer).decode
