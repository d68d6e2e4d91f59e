"""What a sent message carries as `biz_opaque_callback_data`, and its statuses bring back: its row of the outbox.

It settles a send whose answer was lost. Row ids are of one database, so a tag names the group as well: a tenant that
moved here gets statuses of what another group sent, and those are found by Meta's id alone.
"""

from __future__ import annotations

import hashlib


class Tags:
    """The tags of one group; `key` is the group's."""

    def __init__(self, key: bytes) -> None:
        self._prefix = f"comanda:{hashlib.sha256(b'tag' + key).hexdigest()[:8]}:"

    def write(self, outbox_id: int) -> str:
        """Return the tag of a row."""
        return f"{self._prefix}{outbox_id}"

    def read(self, tag: str) -> int:
        """Return the row that a tag names; 0 for none of ours."""
        given = tag.removeprefix(self._prefix)
        return int(given) if tag != given and given.isascii() and given.isdigit() and len(given) < 19 else 0
