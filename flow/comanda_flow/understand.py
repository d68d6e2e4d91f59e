"""What a customer typed, as wishes: `quiero 2 margaritas sin cebolla y una coca` → two mentions, one note.

`reading.py` finds what is named; here it is made sense of: headings are dropped, neighbouring words become choices,
and names heard in passing are distrusted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

from comanda_flow import lexicon
from comanda_flow.choices import match_choices, named_choices
from comanda_flow.menu_index import choice_stems
from comanda_flow.reading import Mention, read_text
from comanda_flow.restaurant import Restaurant
from comanda_flow.text import Token

_MAX_MENTIONS = 20


@dataclass(frozen=True)
class Understood:
    """All that was made out in a text."""

    mentions: tuple[Mention, ...] = ()
    unknown: tuple[str, ...] = ()
    note: str = ""
    """A remark that belongs to no mention."""
    fulfilment: str = ""
    removing: bool = False
    asking: bool = False


def understand(text: str, restaurant: Restaurant) -> Understood:
    """Read a typed message against a restaurant's menu."""
    reading = read_text(text, restaurant)
    mentions = _without_headings(reading.mentions[:_MAX_MENTIONS])
    settled = [_with_choices(mention, restaurant, reading.unknown) for mention in mentions]
    words = {token.word for token in reading.tokens}
    found = Understood(
        mentions=tuple(settled),
        unknown=tuple(reading.unknown),
        note=reading.waiting_note,
        fulfilment=reading.fulfilment,
        removing=bool(words & lexicon.REMOVING),
        asking=bool(words & lexicon.ASKING),
    )
    return found if _credible(found, reading.tokens, restaurant) else replace(found, mentions=())


def _without_headings(mentions: list[Mention]) -> list[Mention]:
    """Drop a general word that the next ones spell out: `2 pizzas: una margarita y una napolitana`."""
    kept: list[Mention] = []
    for at, mention in enumerate(mentions):
        following = list(takewhile(partial(_specifies, mention), mentions[at + 1 :]))
        counted = sum(max(1, each.quantity) for each in following)
        if len(following) == 1 and not following[0].quantity and mention.quantity:
            mentions[at + 1] = replace(following[0], quantity=mention.quantity)
        elif not following or counted != max(1, mention.quantity):
            kept.append(mention)
    return kept


def _specifies(general: Mention, mention: Mention) -> bool:
    return set(mention.skus) < set(general.skus)


def _credible(found: Understood, read: list[Token], restaurant: Restaurant) -> bool:
    """Distrust names heard in passing: in a long text about something else one word is no order."""
    if not found.mentions or len(found.unknown) <= 1:
        return True
    exact = [token for token in read if token.stem in restaurant.index.postings]
    return bool(exact) and len(found.unknown) <= 2 * len(exact) + 1


def _with_choices(mention: Mention, restaurant: Restaurant, unknown: list[str]) -> Mention:
    """Turn the words and remarks beside a mention into choices of its item; what is left over goes to `unknown`."""
    items = [restaurant.menu.items[sku] for sku in mention.skus]
    picked, left = match_choices(items[0], mention.words) if len(items) == 1 else ((), mention.words)
    notes = []
    for note in filter(None, mention.notes.split(", ")):
        named = [choice for choice, stems in named_choices(items[0]) if stems == choice_stems(note)]
        picked += tuple(named[:1])
        notes += [] if named else [note]
    if left and len(items) == 1:
        unknown += [token.written for token in left]
    kept = left if len(items) > 1 else ()
    return replace(mention, options=picked, notes=", ".join(notes), words=kept)
