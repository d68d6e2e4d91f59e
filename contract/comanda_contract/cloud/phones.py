"""Phone numbers that have two forms: Argentina's 9, Mexico's 1 and Brazil's ninth digit.

A number is always sent to in the form in which it was received; only when Meta refuses that (131026, 131030) one of
`sibling_forms` is worth a try. All numbers are digits with calling code and without plus, as in Meta's `wa_id`.
"""

from __future__ import annotations

import re

import msgspec


class _Forms(msgspec.Struct, frozen=True):
    """A country whose mobile lines have a short and a long form: how to read either, and how to write both."""

    pattern: re.Pattern[str]
    short: str
    long: str

    def short_form(self, match: re.Match[str]) -> str:
        return match.expand(self.short)

    def long_form(self, match: re.Match[str]) -> str:
        return match.expand(self.long)


_FORMS = (
    # Argentina: area code and number have ten digits together; area codes begin with 1 to 3.
    _Forms(re.compile(r"549?([1-3]\d{9})", re.ASCII), r"54\1", r"549\1"),
    # Mexico: ten digits, the first of them 2 to 9.
    _Forms(re.compile(r"521?([2-9]\d{9})", re.ASCII), r"52\1", r"521\1"),
    # Brazil: only lines that were mobile before the ninth digit came (6 to 9) have a form without it. A number such as
    # 9 5xxx-xxxx never had eight digits: without its 9 it would be somebody's landline.
    _Forms(re.compile(r"55([1-9]\d)9?([6-9]\d{7})", re.ASCII), r"55\1\2", r"55\g<1>9\2"),
)


def sibling_forms(digits: str) -> tuple[str, ...]:
    """Return the other forms of the same line, the likeliest first; empty for a number with one form."""
    found = _read(digits)
    if found is None:
        return ()
    forms, match = found
    return tuple(form for form in (forms.short_form(match), forms.long_form(match)) if form != digits)


def _read(digits: str) -> tuple[_Forms, re.Match[str]] | None:
    for forms in _FORMS:
        match = forms.pattern.fullmatch(digits)
        if match is not None:
            return forms, match
    return None
