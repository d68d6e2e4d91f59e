"""Ids of buttons and list rows: `v1:<action>:<argument>:<revision>`.

An id comes back whenever it is tapped, even years later and after menu and flow have changed. So it says what was
meant and at which revision of the cart, and whoever reads it decides whether that still holds.
"""

from __future__ import annotations

from dataclasses import dataclass

_VERSION = "v1"


@dataclass(frozen=True)
class Action:
    """What a tap means. `revision` is the cart's when the button was sent, −1 when the id is no number."""

    name: str
    argument: str = ""
    revision: int = -1


def action_id(name: str, argument: str, revision: int) -> str:
    """Return the id of a button or row."""
    return f"{_VERSION}:{name}:{argument}:{revision}"


def parse_action(identifier: str) -> Action | None:
    """Read an id; None when it is not one of ours (a template's payload, another program's button)."""
    version, _, rest = identifier.partition(":")
    name, _, rest = rest.partition(":")
    argument, colon, revision = rest.rpartition(":")
    if version != _VERSION or not name or not colon:
        return None
    known = revision.isascii() and revision.isdigit() and len(revision) < 16
    return Action(name, argument, int(revision) if known else -1)
