"""Words as they are compared: without case, accents, plural endings or ornament."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

MAX_CHARACTERS = 1000
"""How much of a message is read for meaning: an order is short, and what is longer is a copied text."""

_SIGNS = {"👍": " ok ", "👌": " ok ", "✅": " ok ", "✔": " ok ", "👎": " no ", "❌": " no ", "🚫": " no "}
_SIGN = re.compile("|".join(_SIGNS))
_TOKEN = re.compile(r"\d+[.,]\d+|[^\W_]+(?:['’][^\W_]+)?|[,;\n+&?:]")
_SEPARATORS = frozenset(",;\n+&?:")


@dataclass(frozen=True)
class Token:
    """One word or separator: as written, folded, and stemmed."""

    written: str
    word: str
    stem: str

    @property
    def separates(self) -> bool:
        """Whether it is punctuation between two parts of a sentence."""
        return self.word in _SEPARATORS


def fold(text: str) -> str:
    """Return a text in lower case without accents (`Ñuñoa` → `nunoa`)."""
    plain = text.lower()
    if plain.isascii():
        return plain
    return "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c)).lower()


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """Drop a plural ending, the same way for names and for what customers write (`limones`, `limón` → `limon`)."""
    if len(word) > 3 and word.endswith("s") and word.isalpha():
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


@lru_cache(maxsize=1024)
def _token(written: str) -> Token:
    word = fold(written).replace("'", "").replace("’", "")
    if written[0].isdigit():
        word = word.replace(",", ".")
    return Token(written, word, stem(word))


def tokens(text: str) -> list[Token]:
    """Cut a text into words and separators; thumbs up and the like count as words."""
    plain = text[:MAX_CHARACTERS]
    if not plain.isascii():
        plain = _SIGN.sub(lambda sign: _SIGNS[sign[0]], unicodedata.normalize("NFC", plain))
    return [_token(written) for written in _TOKEN.findall(plain)]


def fold_words(text: str) -> list[str]:
    """Return the folded words of a text, without separators."""
    return [token.word for token in tokens(text) if not token.separates]
