"""A directory file decoded in pieces, so that other threads go on meanwhile.

Decoding 100,000 numbers in one go holds the interpreter for a tenth of a second and longer. So the list of numbers is
cut between two of its objects, wherever 64 KB have come together, and each piece is decoded as a list of its own. Where
a cut turns out to be none, as within a text, the whole is decoded in one go.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from comanda_contract.directory import Directory, NumberEntry, decode_directory

PIECE_BYTES = 64 * 1024
_ENTRY_BYTES = 4096
"""How far after a piece a cut is looked for; an entry has some 250 bytes."""

_BEGIN = re.compile(rb'"numbers"\s*:\s*\[')
_CUT = re.compile(rb"\}\s*,")
_END = re.compile(rb"\}\s*\]")
_END_BYTES = 64
"""How far the end of the list may reach beyond a piece: a brace, white space, a bracket."""

_decode_numbers = msgspec.json.Decoder(tuple[NumberEntry, ...]).decode
_MARK = NumberEntry(phone_number_id="", tenant="", app="", group="")
"""Stands in the place of all numbers: where it is found again, it was the directory's list that has been cut."""
_MARKED = b"[" + msgspec.json.encode(_MARK) + b"]"


def decode_in_pieces(content: bytes, known: Callable[[str], NumberEntry | None] = lambda _: None) -> Directory:
    """Read a directory file as `decode_directory` does. Raises `msgspec.DecodeError`.

    An entry that is equal to the `known` one of its number is that very object.
    """
    directory = _decode(content, known) if len(content) > PIECE_BYTES else None
    return directory if directory is not None else decode_directory(content)


def _decode(content: bytes, known: Callable[[str], NumberEntry | None]) -> Directory | None:
    """Decode in pieces; None where that cannot be done."""
    begin = _BEGIN.search(content)
    if begin is None:
        return None
    numbers: list[NumberEntry] = []
    position, end = begin.end(), None
    try:
        while end is None:
            end = _END.search(content, position, position + PIECE_BYTES + _END_BYTES)
            cut = end or _CUT.search(content, position + PIECE_BYTES, position + PIECE_BYTES + _ENTRY_BYTES)
            if cut is None:
                return None
            for entry in _decode_numbers(b"[%b]" % content[position : cut.start() + 1]):
                same = known(entry.phone_number_id)
                numbers.append(same if same is not None and same == entry else entry)
            position = cut.end()
        rest = decode_directory(content[: begin.end() - 1] + _MARKED + content[position:])
    except msgspec.DecodeError:
        return None
    return msgspec.structs.replace(rest, numbers=tuple(numbers)) if rest.numbers == (_MARK,) else None
