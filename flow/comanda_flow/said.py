"""What a customer's message says, whatever its type: a tap, a place, a catalogue cart, or words."""

from __future__ import annotations

from dataclasses import dataclass

from comanda_contract.cloud.messages_in import CatalogOrder, InboundMessage, Place
from comanda_flow import lexicon
from comanda_flow.actions import Action, parse_action
from comanda_flow.text import fold_words


@dataclass(frozen=True)
class Said:
    """One message; at most one of `action`, `order` and `place` is given, and all may be missing."""

    text: str = ""
    words: tuple[str, ...] = ()
    """The folded words of the text."""
    action: Action | None = None
    order: CatalogOrder | None = None
    place: Place | None = None

    @property
    def agrees(self) -> bool:
        """Whether it is a yes and nothing else."""
        return _consists_of(self.words, lexicon.YES)

    @property
    def declines(self) -> bool:
        """Whether it is a no and nothing else."""
        return _consists_of(self.words, lexicon.NO)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing in it that a bot can read."""
        return not (self.words or self.action or self.order or self.place)


def _consists_of(words: tuple[str, ...], wanted: frozenset[str]) -> bool:
    said = frozenset(words)
    return bool(said & wanted) and said - wanted <= lexicon.YES_COMPANY


def read_message(message: InboundMessage) -> Said:
    """Read a message of any type; what cannot be read says nothing."""
    if message.tapped and (action := parse_action(message.tapped)) is not None:
        return Said(action=action)
    if message.order is not None:
        return Said(order=message.order)
    if message.location is not None and _on_the_globe(message.location):
        return Said(place=message.location)
    text = message.words.strip()
    return Said(text, tuple(fold_words(text)))


def _on_the_globe(place: Place) -> bool:
    """Tell a real place from a broken one; 0, 0 in the open sea is what an empty message reads as."""
    inside = -90 <= place.latitude <= 90 and -180 <= place.longitude <= 180
    return inside and (place.latitude, place.longitude) != (0.0, 0.0)
