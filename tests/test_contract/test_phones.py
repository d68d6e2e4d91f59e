from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.cloud.phones import sibling_forms

digits = st.text("0123456789", max_size=18)
several_forms = st.one_of(
    st.from_regex(re.compile(r"549?[1-3]\d{9}", re.ASCII), fullmatch=True),
    st.from_regex(re.compile(r"521?[2-9]\d{9}", re.ASCII), fullmatch=True),
    st.from_regex(re.compile(r"55[1-9]\d9?[6-9]\d{7}", re.ASCII), fullmatch=True),
)


@pytest.mark.parametrize(
    ("received", "others"),
    [
        ("5491123456789", ("541123456789",)),
        ("541123456789", ("5491123456789",)),
        ("5215512345678", ("525512345678",)),
        ("525512345678", ("5215512345678",)),
        ("553187654321", ("5531987654321",)),
        ("5531987654321", ("553187654321",)),
        ("5511999999999", ("551199999999",)),
        # Never eight digits long: without its 9 it is another line.
        ("5511943211234", ()),
        # A landline.
        ("551143211234", ()),
        ("56911112222", ()),
        ("14165550123", ()),
        ("54112345678", ()),
        ("", ()),
        ("not a number", ()),
    ],
)
def test_the_other_forms_of_a_number(received: str, others: tuple[str, ...]) -> None:
    assert sibling_forms(received) == others


@given(several_forms)
def test_each_form_leads_to_the_other_within_the_country(number: str) -> None:
    (sibling,) = sibling_forms(number)
    assert sibling != number
    assert sibling[:2] == number[:2]
    assert sibling_forms(sibling) == (number,)


@given(digits.filter(lambda number: not number.startswith(("54", "52", "55"))))
def test_other_countries_are_left_alone(number: str) -> None:
    assert sibling_forms(number) == ()


@given(digits | several_forms, digits | several_forms)
def test_different_lines_share_no_form(one: str, other: str) -> None:
    if other not in (one, *sibling_forms(one)):
        assert not {one, *sibling_forms(one)} & {other, *sibling_forms(other)}


@pytest.mark.parametrize(
    "number", ["٥٤٩1123456789", "+5491123456789", "549112345678९", " 5491123456789", "5491123456789\n"]
)
def test_what_is_not_plain_digits_has_no_other_form(number: str) -> None:
    assert sibling_forms(number) == ()
