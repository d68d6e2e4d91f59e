"""Which language a customer writes: the restaurant's at first, another one when that is clear."""

from __future__ import annotations

from collections.abc import Sequence

from comanda_flow import lexicon


def first_language(locales: Sequence[str], language: str) -> str:
    """Return the language a conversation begins in: the restaurant's if the flow speaks it, else the flow's own."""
    return language if language in locales else locales[0]


def language_written(words: Sequence[str], text: str, current: str, locales: Sequence[str]) -> str:
    """Return the language of a message; the current one unless another is clearly written.

    Clear means: nothing speaks for the current language, and two words or a decisive one speak for the other.
    """
    said = frozenset(words) | ({"oi"} if "olá" in text.lower() else frozenset())
    if said & lexicon.LANGUAGE_HINTS.get(current, frozenset()):
        return current
    scores = {language: _score(said, language) for language in locales if language != current}
    best = max(scores, key=lambda language: scores[language], default=current)
    return best if scores.get(best, 0) >= 2 else current


def _score(said: frozenset[str], language: str) -> int:
    hints = lexicon.LANGUAGE_HINTS.get(language, frozenset())
    sure = lexicon.LANGUAGE_SURE.get(language, frozenset())
    return len(said & hints) + 2 * len(said & sure)
