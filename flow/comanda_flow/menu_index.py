"""What customers may call the items of a menu: an inverted index from word stems to items, built once a menu.

A few words are looked up by intersecting their postings, so the cost of a message hardly depends on the size of the
menu. A word that is not on the menu is corrected to one that is almost spelled like it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from rapidfuzz import fuzz, process

from comanda_flow import lexicon
from comanda_flow.menu import Category, Item, Menu
from comanda_flow.text import Token, stem, tokens

_SPELLING = 82
"""How alike (0–100) a word must be to one on the menu: `margarta` passes, `marta` does not."""
_MIN_LETTERS = 4
"""Shorter words are too much like each other to be corrected."""


@dataclass(frozen=True)
class MenuIndex:
    """Names of a menu by word stem."""

    postings: Mapping[str, frozenset[str]]
    """Stem → skus of the items whose name, alias or category has it."""
    names: Mapping[str, tuple[frozenset[str], ...]]
    """Sku → the stems of each of its names and aliases."""
    starts: Mapping[str, frozenset[str]]
    """Sku → the stems its names begin with."""
    joined: Mapping[str, tuple[str, ...]]
    """Two words written as one (`cocacola`) → their stems."""
    categories: Mapping[frozenset[str], str]
    """Stems of a category's name → its id."""
    category_words: Mapping[str, frozenset[str]]
    """Sku → the stems of its category's name, which customers say with any item in it."""

    @staticmethod
    def of(menu: Menu) -> MenuIndex:
        """Build the index of a menu."""
        postings: defaultdict[str, set[str]] = defaultdict(set)
        names, starts, category_words = {}, {}, {}
        joined: dict[str, tuple[str, ...]] = {}
        for category, item in _all_items(menu):
            variants = [variant for variant in map(name_stems, _names(item)) if variant]
            names[item.sku] = tuple(frozenset(variant) for variant in variants)
            starts[item.sku] = frozenset(variant[0] for variant in variants)
            category_words[item.sku] = frozenset(word for name in category.name.values() for word in name_stems(name))
            for word in {word for variant in variants for word in variant} | category_words[item.sku]:
                postings[word].add(item.sku)
            joined |= {"".join(pair): pair for variant in variants for pair in pairwise(variant)}
        return MenuIndex(
            postings={word: frozenset(skus) for word, skus in postings.items()},
            names=names,
            starts=starts,
            joined=joined,
            categories=dict(_category_names(menu.open_categories)),
            category_words=category_words,
        )

    def holding(self, stems: Iterable[str]) -> frozenset[str]:
        """Return the skus of the items that have every one of these stems."""
        found: frozenset[str] | None = None
        for word in stems:
            skus = self.postings.get(word, frozenset())
            found = skus if found is None else found & skus
            if not found:
                break
        return found or frozenset()

    def narrowed(self, skus: frozenset[str], stems: Iterable[str]) -> frozenset[str]:
        """Keep the items that are called exactly so, if any is: `coca cola` means it rather than the zero one."""
        said = frozenset(stems)
        exact = frozenset(sku for sku in skus if self._is_called(sku, said))
        return exact or skus

    def _is_called(self, sku: str, said: frozenset[str]) -> bool:
        shared = self.category_words[sku]
        return any(name == said or (name - shared and name - shared == said - shared) for name in self.names[sku])

    def corrected(self, token: Token) -> tuple[str, ...]:
        """Return the stems on the menu that a word stands for; () when there is none."""
        word = token.stem
        if word in self.postings:
            return (word,)
        if word in self.joined:
            return self.joined[word]
        if len(word) < _MIN_LETTERS or not word.isalpha():
            return ()
        begun = [known for known in self.postings if known.startswith(word)]
        if len(begun) == 1:
            return (begun[0],)
        match = process.extractOne(word, self.postings.keys(), scorer=fuzz.ratio, score_cutoff=_SPELLING)
        return (match[0],) if match is not None else ()


def name_stems(name: str) -> tuple[str, ...]:
    """Return the meaningful stems of a name, in order; number words as digits (`cuatro quesos` → `4 queso`)."""
    words = [token for token in tokens(name) if not token.separates]
    kept = [_stem(token) for token in words if token.word not in lexicon.LINKS]
    return tuple(kept or [_stem(token) for token in words])


def _stem(token: Token) -> str:
    number = lexicon.NUMBERS.get(token.word)
    return str(number) if number is not None and number > 1 else token.stem


def _all_items(menu: Menu) -> Iterator[tuple[Category, Item]]:
    for category in menu.categories:
        for item in category.items:
            yield category, item


def _names(item: Item) -> Iterator[str]:
    yield from item.name.values()
    yield from item.aliases


def _category_names(categories: Iterable[Category]) -> Iterator[tuple[frozenset[str], str]]:
    for category in categories:
        for name in category.name.values():
            yield frozenset(name_stems(name)), category.id


def choice_stems(name: str) -> frozenset[str]:
    """Return the stems by which a choice is recognised."""
    return frozenset(name_stems(name)) or frozenset({stem(name)})
