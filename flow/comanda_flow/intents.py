"""Wishes understood at any time: phrases that a message must consist of, give or take some politeness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from comanda_flow import lexicon
from comanda_flow.text import fold_words

_MAX_WORDS = 12
"""A longer message says more than one wish."""


@dataclass(frozen=True)
class Phrases:
    """Phrases by their first word, longest first, each with the intent it says."""

    by_first: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]]
    order: tuple[str, ...]
    """The intents as declared: when a message says two, the first one counts."""


def compile_phrases(intents: Mapping[str, Mapping[str, Iterable[str]]]) -> Phrases:
    """Prepare the phrases of all intents: name → language → phrases."""
    by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for name, languages in intents.items():
        for phrase in (phrase for phrases in languages.values() for phrase in phrases):
            words = tuple(fold_words(phrase))
            if words:
                by_first.setdefault(words[0], []).append((words, name))
    ordered = {word: tuple(sorted(found, key=lambda pair: -len(pair[0]))) for word, found in by_first.items()}
    return Phrases(ordered, tuple(intents))


def intent_of(words: list[str], phrases: Phrases) -> str:
    """Return the intent that a message says and nothing else, "" when it says anything more or none at all."""
    if len(words) > _MAX_WORDS:
        return ""
    said: set[str] = set()
    at = 0
    while at < len(words):
        match = _phrase_at(words, at, phrases)
        if match is not None:
            said.add(match[1])
            at += len(match[0])
        elif words[at] in lexicon.FILLERS:
            at += 1
        else:
            return ""
    return next((name for name in phrases.order if name in said), "")


def _phrase_at(words: list[str], at: int, phrases: Phrases) -> tuple[tuple[str, ...], str] | None:
    for phrase, name in phrases.by_first.get(words[at], ()):
        if tuple(words[at : at + len(phrase)]) == phrase:
            return phrase, name
    return None
