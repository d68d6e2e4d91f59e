"""Choices of an item's options, recognised among the words that stand beside it."""

from __future__ import annotations

from rapidfuzz import fuzz

from comanda_flow.menu import Item
from comanda_flow.menu_index import choice_stems
from comanda_flow.text import Token

_SPELLING = 82
"""How alike (0–100) a word must be to a choice's."""


def named_choices(item: Item) -> list[tuple[str, frozenset[str]]]:
    """Return every choice of an item as `option=choice`, with the stems of each of its names."""
    return [
        (f"{option.id}={choice.id}", choice_stems(name))
        for option in item.options
        for choice in option.choices
        for name in choice.name.values()
    ]


def match_choices(
    item: Item, words: tuple[Token, ...], already: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], tuple[Token, ...]]:
    """Find choices of an item among words: exact names first, then parts of a name that fit one choice alone.

    Returns `option=choice` ids, with those `already` chosen at most as many of an option as it allows, and the words
    that were not used.
    """
    left = [token for token in words if not token.separates]
    picked = list(already)
    for choice, stems in sorted(named_choices(item), key=lambda pair: -len(pair[1])):
        if stems <= {token.stem for token in left} and _allowed(item, choice, picked):
            picked.append(choice)
            left = [token for token in left if token.stem not in stems]
    for token in tuple(left):
        alike = {choice for choice, stems in named_choices(item) if any(_alike(token.stem, each) for each in stems)}
        if len(alike) == 1 and _allowed(item, choice := alike.pop(), picked):
            picked.append(choice)
            left.remove(token)
    return tuple(picked[len(already) :]), tuple(left)


def _alike(word: str, known: str) -> bool:
    return word == known or (len(word) > 3 and fuzz.ratio(word, known) >= _SPELLING)


def _allowed(item: Item, choice: str, picked: list[str]) -> bool:
    option = item.option(choice.partition("=")[0])
    taken = [each for each in picked if each.partition("=")[0] == choice.partition("=")[0]]
    return option is not None and choice not in picked and len(taken) < option.most
