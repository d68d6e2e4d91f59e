"""Pod → operator: when the last message of each number came, as `GET /v1/activity?since=SECONDS` answers it.

The request carries `Authorization: Bearer <group key>`. A pod knows what came since it started; of several pods of a
group the latest time counts.
"""

from __future__ import annotations

import msgspec

ACTIVITY_PATH = "/v1/activity"


class Activity(msgspec.Struct, frozen=True):
    """The answer. Times are in unix seconds."""

    last_messages: dict[str, int] = {}
    """By phone number id; those alone of which a message was stored at `since` or later."""


def decode_activity(content: bytes) -> Activity:
    """Read an answer. Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(content, type=Activity)
