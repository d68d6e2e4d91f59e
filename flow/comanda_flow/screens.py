"""Messages with something to tap, within Meta's limits by construction: the long is cut, the many are paged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from comanda_contract.cloud import limits
from comanda_contract.cloud.messages_out import (
    Button,
    Buttons,
    Document,
    Image,
    ListMessage,
    LocationRequest,
    Media,
    Outbound,
    Row,
    Section,
    Text,
    shorten,
)
from comanda_flow.scene import Scene


class Tap(NamedTuple):
    """Something to tap: the id that comes back, its title, and a description that only lists show."""

    id: str
    title: str
    description: str = ""


def say(text: str, taps: Sequence[Tap] = (), *, image: str = "") -> Outbound:
    """Return a text, with buttons when there is something to tap (three at most)."""
    if not taps:
        return Text(text=_fit(text, limits.TEXT_BODY))
    buttons = tuple(
        Button(id=tap.id, title=_fit(tap.title, limits.BUTTON_TITLE)) for tap in _distinct(taps, limits.BUTTON_TITLE)
    )
    picture = Media(link=image) if image else None
    return Buttons(text=_fit(text, limits.INTERACTIVE_BODY), buttons=buttons[: limits.BUTTONS], image=picture)


def _distinct(taps: Sequence[Tap], limit: int) -> list[Tap]:
    """Drop what has the title or the id of an earlier one: Meta refuses both."""
    kept: list[Tap] = []
    for tap in taps:
        title = _fit(tap.title, limit)
        if all(tap.id != each.id and title != _fit(each.title, limit) for each in kept):
            kept.append(tap)
    return kept


def _distinct_rows(taps: Sequence[Tap]) -> list[Tap]:
    """Drop what has the id of an earlier one; rows may share a title, as long names cut short do."""
    return list({tap.id: tap for tap in reversed(taps)}.values())[::-1]


def choose(scene: Scene, text: str, taps: Sequence[Tap]) -> Outbound:
    """Return buttons for up to three short titles, a list for more."""
    short = all(limits.length(tap.title) <= limits.BUTTON_TITLE and not tap.description for tap in taps)
    if len(taps) <= limits.BUTTONS and short:
        return say(text, taps)
    return sections(scene, text, [("", taps)])


def sections(scene: Scene, text: str, parts: Sequence[tuple[str, Sequence[Tap]]]) -> Outbound:
    """Return a list in titled parts; at most ten rows in all, the rest is left out."""
    room = limits.LIST_ROWS
    kept = []
    for title, taps in parts[: limits.LIST_SECTIONS]:
        rows = tuple(_row(tap) for tap in _distinct_rows(taps)[:room])
        room -= len(rows)
        if rows:
            kept.append(Section(title=_fit(title, limits.SECTION_TITLE) if len(parts) > 1 else "", rows=rows))
    button = _fit(scene.text("list_button"), limits.LIST_BUTTON)
    return ListMessage(text=_fit(text, limits.INTERACTIVE_BODY), button=button, sections=tuple(kept))


def _row(tap: Tap) -> Row:
    """Return a row; a name that does not fit into its title is told in full below it."""
    title = _fit(tap.title, limits.ROW_TITLE)
    cut = title != tap.title.strip()
    description = " · ".join(part for part in (tap.title if cut else "", tap.description) if part)
    return Row(id=tap.id, title=title, description=_fit(description, limits.ROW_DESCRIPTION, required=False))


def page(scene: Scene, taps: Sequence[Tap], number: int, action: str, argument: str) -> list[Tap]:
    """Return the taps of one page, with a “More…” row when there are further ones; pages start over at the end."""
    if len(taps) <= limits.LIST_ROWS:
        return list(taps)
    size = limits.LIST_ROWS - 1
    pages = -(-len(taps) // size)
    at = number % pages
    following = f"{argument}/{(at + 1) % pages}"
    return [*taps[at * size : (at + 1) * size], Tap(scene.id(action, following), scene.text("more"))]


def ask_location(text: str) -> Outbound:
    """Return a question that a location answers with one tap."""
    return LocationRequest(text=_fit(text, limits.INTERACTIVE_BODY))


def with_notices(notices: Sequence[str], replies: Sequence[Outbound]) -> tuple[Outbound, ...]:
    """Put sentences before the first reply, inside the same message where it has text."""
    if not notices:
        return tuple(replies)
    before = "\n".join(notices)
    if not replies:
        return (say(before),)
    first, *rest = replies
    if isinstance(first, Text):
        return (say(f"{before}\n\n{first.text}"), *rest)
    if isinstance(first, Buttons | ListMessage | LocationRequest):
        text = _fit(f"{before}\n\n{first.text}", limits.INTERACTIVE_BODY)
        return (msgspec.structs.replace(first, text=text), *rest)
    return (say(before), first, *rest)


def _fit(text: str, limit: int, *, required: bool = True) -> str:
    """Cut a text to a limit; what must not be empty becomes an ellipsis."""
    return shorten(text.strip(), limit) or ("…" if required else "")


__all__ = ["Document", "Image", "Tap", "ask_location", "choose", "page", "say", "sections", "with_notices"]
