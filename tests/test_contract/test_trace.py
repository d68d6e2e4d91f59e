from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.trace import is_sampled, read_traceparent, trace_id_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
VALUE = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_valid_one_is_handed_on_as_it_is() -> None:
    assert read_traceparent([b" \t" + VALUE.encode() + b" "]) == VALUE
    assert (trace_id_of(VALUE), is_sampled(VALUE), is_sampled(VALUE[:-2] + "00")) == (TRACE, True, False)
    assert (trace_id_of(""), is_sampled("")) == ("", False)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [VALUE.encode(), VALUE.encode()],
        [VALUE.upper().encode()],
        [VALUE.encode() + b"-00"],
        [b"01" + VALUE[2:].encode()],
        [b"00-" + b"0" * 32 + VALUE[35:].encode()],
        [VALUE[:36].encode() + b"0" * 16 + b"-01"],
        [b""],
    ],
)
def test_any_other_is_none(values: list[bytes]) -> None:
    assert read_traceparent(values) == ""


@given(st.binary(max_size=80))
def test_whatever_comes_it_never_raises_and_never_gives_what_could_end_a_header(value: bytes) -> None:
    found = read_traceparent([value])
    assert found == "" or found.encode() == value.strip(b" \t")
    assert "\n" not in found
