"""Short answers: a number, a way of getting the food, an address, a part of the menu."""

from __future__ import annotations

import re

from comanda_flow import lexicon
from comanda_flow.menu_index import name_stems
from comanda_flow.reading import number_of
from comanda_flow.restaurant import Restaurant
from comanda_flow.state import MAX_QUANTITY
from comanda_flow.text import tokens

_PREPOSITION = re.compile(r"^\W*(?:a|al|en|to|at|para|em|for)\s+", re.IGNORECASE)
_BESIDE_NUMBERS = lexicon.FILLERS | lexicon.DOZENS
_BESIDE_FULFILMENT = lexicon.FULFILMENT_COMPANY | lexicon.FILLERS | lexicon.DELIVERY | lexicon.PICKUP


def number_in(text: str) -> int:
    """Return the one number a short answer gives (`dos`, `2 por favor`), 0 when it says anything else."""
    read = [token for token in tokens(text) if not token.separates]
    numbers = [number for token in read if (number := number_of(token))]
    others = [token for token in read if not number_of(token) and token.word not in _BESIDE_NUMBERS]
    if len(numbers) != 1 or others:
        return 0
    number = numbers[0] * (12 if any(token.word in lexicon.DOZENS for token in read) else 1)
    return number if 0 < number <= MAX_QUANTITY else 0


def fulfilment_in(text: str) -> tuple[str, str]:
    """Return the way of getting the food that a text names, and what else it says (an address, perhaps)."""
    read = [token for token in tokens(text) if not token.separates]
    named = [token for token in read if token.word in lexicon.DELIVERY or token.word in lexicon.PICKUP]
    if not named:
        return "", text
    fulfilment = "delivery" if named[-1].word in lexicon.DELIVERY else "pickup"
    before, _, after = text.rpartition(named[-1].written)
    if _says_more(after):
        return fulfilment, _PREPOSITION.sub("", after).strip(" ,.:;")
    return fulfilment, before.strip(" ,.:;") if _says_more(before) else ""


def _says_more(text: str) -> bool:
    return any(token.word not in _BESIDE_FULFILMENT for token in tokens(text) if not token.separates)


def is_address(text: str) -> bool:
    """Tell whether a text can be an address: a number, a street word, or at least three words."""
    read = [token for token in tokens(text) if not token.separates]
    numbered = any(token.word[:1].isdigit() for token in read) and any(token.word.isalpha() for token in read)
    return numbered or any(t.word in lexicon.STREETS for t in read) or len(read) >= 3


def category_named(text: str, restaurant: Restaurant) -> str:
    """Return the id of the category that a text names and nothing else; "" when there is none."""
    words = [token.word for token in tokens(text) if not token.separates and token.word not in lexicon.FILLERS]
    said = frozenset(name_stems(" ".join(words)))
    return restaurant.index.categories.get(said, "") if said else ""
