"""The reader: a text from left to right, as mentions of items with their numbers, remarks and neighbouring words.

At each word the longest run that names something on the menu wins; numbers, remarks and choices attach to what they
stand beside. What remains is kept as not understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from comanda_flow import lexicon
from comanda_flow.choices import named_choices
from comanda_flow.restaurant import Restaurant
from comanda_flow.state import MAX_QUANTITY
from comanda_flow.text import Token, tokens

_MAX_SPAN = 7
"""The longest name that is looked for, in words."""
_MAX_TOKENS = 150
_TIMES = re.compile(r"(?:x([0-9]{1,4})|([0-9]{1,4})x)")
_DIGITS = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True)
class Mention:
    """One thing on the menu that was named: the items it may be, how many, and how it should be."""

    skus: tuple[str, ...]
    quantity: int = 0
    """0 when no number was given."""
    options: tuple[str, ...] = ()
    notes: str = ""
    heard: str = ""
    words: tuple[Token, ...] = ()
    """Words beside it that may be choices."""


@dataclass
class Reading:
    """The reader's place and what it has gathered."""

    tokens: list[Token]
    stems: list[tuple[str, ...]]
    at: int = 0
    mentions: list[Mention] = field(default_factory=list)
    joined: bool = False
    """Whether the last mention still takes what follows."""
    quantity: int = 0
    leading: list[Token] = field(default_factory=list)
    waiting_note: str = ""
    unknown: list[str] = field(default_factory=list)
    fulfilment: str = ""

    def current(self) -> Mention | None:
        """Return the mention that what follows belongs to."""
        return self.mentions[-1] if self.joined and self.mentions else None

    def amend(self, mention: Mention) -> None:
        """Replace the last mention."""
        self.mentions[-1] = mention

    def separate(self) -> None:
        """End what belongs to the last mention."""
        self.joined = False
        self.unknown += [token.written for token in self.leading]
        self.leading = []


def read_text(text: str, restaurant: Restaurant) -> Reading:
    """Read a text against a restaurant's menu, word by word."""
    read = tokens(text)[:_MAX_TOKENS]
    reading = Reading(read, [_stems(token, restaurant) for token in read])
    while reading.at < len(reading.tokens):
        _step(reading, restaurant)
    reading.separate()
    return reading


def number_of(token: Token) -> int:
    """Return the number a word says (`dos`, `2`, `x2`), 0 when it says none."""
    if token.word in lexicon.NUMBERS:
        return lexicon.NUMBERS[token.word]
    if _DIGITS.fullmatch(token.word):
        return int(token.word)
    times = _TIMES.fullmatch(token.word)
    return int(times[1] or times[2]) if times else 0


def _stems(token: Token, restaurant: Restaurant) -> tuple[str, ...]:
    """Return the stems on the menu that a word stands for, () for any other word."""
    number = number_of(token)
    if number:
        return (str(number),) if str(number) in restaurant.index.postings else ()
    if token.separates or (token.word in _COMMON and token.stem not in restaurant.index.postings):
        return ()
    if token.word in lexicon.LINKS:
        return ()
    return restaurant.index.corrected(token)


_COMMON = (
    lexicon.FILLERS | lexicon.JOINS | lexicon.REMOVING | lexicon.ASKING | lexicon.PICKUP | lexicon.DELIVERY
    | lexicon.NOTE_STARTS | lexicon.DOZENS | lexicon.HALVES | lexicon.STREETS
)  # fmt: skip
"""Words that are never corrected to something on the menu."""
_SILENT = lexicon.FILLERS | lexicon.LINKS | lexicon.REMOVING | lexicon.ASKING | lexicon.TIMES
"""Words that are passed over."""


def _step(reading: Reading, restaurant: Restaurant) -> None:
    for take in (_take_item, _take_number, _take_note, _take_fulfilment, _take_join):
        if take(reading, restaurant):
            return
    _take_word(reading)


def _take_item(reading: Reading, restaurant: Restaurant) -> bool:
    if _begins_choice(reading, restaurant):
        return False
    length, skus = _longest(reading, restaurant)
    if not length:
        return False
    span = reading.tokens[reading.at : reading.at + length]
    heard = " ".join(token.written for token in span)
    reading.at += length
    current = reading.current()
    both = frozenset(current.skus) & skus if current is not None and not reading.quantity else frozenset()
    if current is not None and both and len(current.skus) > 1:
        reading.amend(replace(current, skus=_ordered(both, restaurant), heard=f"{current.heard} {heard}"))
        return True
    mention = Mention(
        _ordered(skus, restaurant), reading.quantity, (), reading.waiting_note, heard, tuple(reading.leading)
    )
    reading.mentions.append(mention)
    reading.joined, reading.quantity, reading.waiting_note, reading.leading = True, 0, "", []
    return True


def _longest(reading: Reading, restaurant: Restaurant) -> tuple[int, frozenset[str]]:
    """Return the length of the longest run of words from here that names items, and their skus."""
    index, start = restaurant.index, reading.at
    first = reading.stems[start]
    if not first:
        return 0, frozenset()
    best: tuple[int, frozenset[str]] = (0, frozenset())
    said: list[str] = []
    for end in range(start, min(len(reading.tokens), start + _MAX_SPAN)):
        stems = reading.stems[end]
        if not stems and reading.tokens[end].word in lexicon.LINKS:
            continue
        found = index.holding([*said, *stems]) if stems else frozenset()
        if not found:
            break
        said += stems
        best = (end - start + 1, index.narrowed(found, said))
    length, skus = best
    if number_of(reading.tokens[start]):
        skus = frozenset(sku for sku in skus if length > 1 and first[0] in index.starts[sku])
    return (length, skus) if skus else (0, skus)


def _ordered(skus: frozenset[str], restaurant: Restaurant) -> tuple[str, ...]:
    return tuple(sku for sku in restaurant.menu.items if sku in skus)


def _begins_choice(reading: Reading, restaurant: Restaurant) -> bool:
    """Tell whether the next words are a choice of the current item; then they are taken as words, not as an item."""
    current = reading.current()
    if current is None or len(current.skus) != 1:
        return False
    item = restaurant.menu.items[current.skus[0]]
    here = {token.stem for token in reading.tokens[reading.at : reading.at + 3]}
    word = reading.tokens[reading.at].stem
    names = [stems for _, stems in named_choices(item)]
    return any(word in stems and (stems <= here or _is_last_of(stems, word, current)) for stems in names)


def _is_last_of(stems: frozenset[str], word: str, current: Mention) -> bool:
    before = {token.stem for token in current.words}
    return bool(before) and stems <= before | {word}


def _take_number(reading: Reading, _restaurant: Restaurant) -> bool:
    token = reading.tokens[reading.at]
    number = number_of(token)
    after = reading.tokens[reading.at + 1].word if reading.at + 1 < len(reading.tokens) else ""
    before = reading.tokens[reading.at - 1].word if reading.at else ""
    if token.word in lexicon.HALVES and after in lexicon.DOZENS:
        reading.quantity = 6
        reading.at += 2
        return True
    if token.word in lexicon.DOZENS:
        reading.quantity = min(12 * max(reading.quantity, 1), MAX_QUANTITY)
    elif not 0 < number <= MAX_QUANTITY:
        return False
    elif _follows_item(token, before, reading):
        reading.amend(replace(reading.mentions[-1], quantity=number))
    else:
        reading.separate()
        reading.quantity = number
    reading.at += 1
    return True


def _follows_item(token: Token, before: str, reading: Reading) -> bool:
    """Tell whether a number counts what stands before it: `margarita x2`, `margarita x 2`."""
    current = reading.current()
    return current is not None and not current.quantity and (token.word.startswith("x") or before in lexicon.TIMES)


def _take_note(reading: Reading, restaurant: Restaurant) -> bool:
    token = reading.tokens[reading.at]
    starts = token.word in lexicon.NOTE_STARTS and _has_subject(reading)
    if not starts or _begins_choice(reading, restaurant):
        return False
    end = reading.at + 1
    while end < len(reading.tokens) and not _ends_note(reading, end, restaurant):
        end += 1
    if end == reading.at + 1:
        return False
    note = " ".join(each.written for each in reading.tokens[reading.at : end])
    reading.at = end
    current = reading.current() or (reading.mentions[-1] if reading.mentions and not reading.quantity else None)
    if current is not None:
        reading.amend(replace(current, notes=_both(current.notes, note)))
    else:
        reading.waiting_note = _both(reading.waiting_note, note)
    return True


def _has_subject(reading: Reading) -> bool:
    """Tell whether a remark has a dish to be about: `bien` or `muy` need one before them, `sin` may come first."""
    return bool(reading.mentions) or reading.tokens[reading.at].word in lexicon.NOTE_LEADS


def _ends_note(reading: Reading, at: int, restaurant: Restaurant) -> bool:
    token = reading.tokens[at]
    if token.separates:
        return True
    following = reading.tokens[at + 1] if at + 1 < len(reading.tokens) else None
    if token.word in lexicon.JOINS:
        return following is None or _counts(following) or _names_item(reading, at + 1, restaurant)
    if following is None and token.word in ("porfa", "please"):
        return True
    return _counts(token) or token.word in lexicon.PICKUP or token.word in lexicon.DELIVERY or token.word == "por"


def _counts(token: Token) -> bool:
    return bool(number_of(token)) or token.word in lexicon.HALVES


def _names_item(reading: Reading, at: int, restaurant: Restaurant) -> bool:
    """Tell whether a single word names one item outright, as in `sin cebolla y coca`."""
    stems = reading.stems[at]
    found = restaurant.index.holding(stems) if stems else frozenset()
    return any(stem in restaurant.index.starts[sku] for sku in found for stem in stems)


def _both(first: str, second: str) -> str:
    return f"{first}, {second}" if first else second


def _take_fulfilment(reading: Reading, _restaurant: Restaurant) -> bool:
    word = reading.tokens[reading.at].word
    if word in lexicon.DELIVERY:
        reading.fulfilment = "delivery"
    elif word in lexicon.PICKUP:
        reading.fulfilment = "pickup"
    else:
        return False
    reading.at += 1
    return True


def _take_join(reading: Reading, _restaurant: Restaurant) -> bool:
    token = reading.tokens[reading.at]
    if token.separates or (token.word in lexicon.JOINS and not _continues_words(reading)):
        reading.separate()
    elif token.word not in _SILENT:
        return False
    reading.at += 1
    return True


def _continues_words(reading: Reading) -> bool:
    """`con extra queso` and `with ice` go on about the same item; a number after them begins the next one."""
    following = reading.tokens[reading.at + 1] if reading.at + 1 < len(reading.tokens) else None
    return following is not None and not number_of(following) and not following.separates


def _take_word(reading: Reading) -> None:
    token = reading.tokens[reading.at]
    reading.at += 1
    current = reading.current()
    if current is not None:
        reading.amend(replace(current, words=(*current.words, token)))
    else:
        reading.leading.append(token)
