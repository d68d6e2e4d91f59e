"""Statuses of sent messages: what happened to them, and what Meta charges."""

from __future__ import annotations

import msgspec

RANK = {"sent": 1, "delivered": 2, "read": 3, "played": 4}
"""Statuses arrive in any order and more than once; a message's state never goes down in rank."""


class Pricing(msgspec.Struct, frozen=True):
    """`pricing`: appears once a message, with `sent` or with one of `delivered` and `read`."""

    billable: bool | None = None
    pricing_model: str = ""
    type: str = ""
    category: str = ""


class StatusError(msgspec.Struct, frozen=True):
    """One entry of `errors` in a failed status."""

    code: int = 0
    title: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One item of `statuses`."""

    id: str = ""
    status: str = ""
    timestamp: str = ""
    recipient_id: str = ""
    recipient_user_id: str = ""
    biz_opaque_callback_data: str = ""
    pricing: Pricing | None = None
    errors: list[StatusError] = []

    @property
    def rank(self) -> int:
        """Position in sent < delivered < read < played; 0 for `failed` and anything unknown."""
        return RANK.get(self.status, 0)

    @property
    def sent_at(self) -> int:
        """When it happened, in unix seconds by Meta's clock; 0 when absent."""
        text = self.timestamp
        return int(text) if len(text) < 12 and text.isascii() and text.isdigit() else 0


class _Head(msgspec.Struct, frozen=True):
    id: str = ""
    status: str = ""
    biz_opaque_callback_data: str = ""


_status = msgspec.json.Decoder(Status, strict=False)
_head = msgspec.json.Decoder(_Head, strict=False)


def parse_status(raw: bytes) -> Status:
    """Read one status; when a detail has an unexpected shape, id, status and callback data are kept.

    Raises `msgspec.ValidationError` when even those are no text.
    """
    try:
        return _status.decode(raw)
    except msgspec.ValidationError:
        head = _head.decode(raw)
        return Status(id=head.id, status=head.status, biz_opaque_callback_data=head.biz_opaque_callback_data)
