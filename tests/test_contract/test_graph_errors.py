from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.cloud.graph_errors import TABLE, GraphError, parse_error, rule_for

HOUR = 3600
ERRORS = [
    # code, action, seconds to the next try (0: none follows), tries after the first
    (0, "stop_tenant", 0, 0),
    (1, "retry", 1, 8),
    (2, "retry", 2, 8),
    (3, "stop_tenant", 0, 0),
    (4, "retry", 60, 8),
    (10, "stop_tenant", 0, 0),
    (33, "drop_message", 0, 0),
    (100, "drop_message", 0, 0),
    (190, "stop_tenant", 0, 0),
    (200, "stop_tenant", 0, 0),
    (299, "stop_tenant", 0, 0),
    (368, "hold_tenant", HOUR, 8),
    (80007, "slow_number", 60, 8),
    (130403, "drop_customer", 0, 0),
    (130429, "slow_number", 1, 8),
    (130472, "drop_message", 0, 0),
    (130497, "hold_tenant", HOUR, 8),
    (131000, "retry", 1, 2),
    (131005, "stop_tenant", 0, 0),
    (131008, "drop_message", 0, 0),
    (131009, "drop_message", 0, 0),
    (131016, "retry", 2, 8),
    (131021, "drop_message", 0, 0),
    (131026, "drop_customer", 0, 0),
    (131030, "drop_customer", 0, 0),
    (131031, "hold_tenant", HOUR, 8),
    (131037, "hold_tenant", HOUR, 8),
    (131042, "hold_tenant", 300, 8),
    (131044, "hold_tenant", 300, 8),
    (131045, "hold_tenant", 300, 8),
    (131047, "window_closed", 0, 0),
    (131048, "hold_tenant", HOUR, 8),
    (131049, "drop_message", 0, 0),
    (131050, "opted_out", 0, 0),
    (131051, "drop_message", 0, 0),
    (131052, "retry", 1, 1),
    (131053, "retry", 1, 1),
    (131056, "slow_pair", 1, 8),
    (131057, "slow_number", 60, 8),
    (131060, "drop_message", 0, 0),
    (131062, "drop_message", 0, 0),
    (131063, "drop_message", 0, 0),
    (131064, "drop_message", 0, 0),
    (132000, "drop_message", 0, 0),
    (132001, "drop_message", 0, 0),
    (132005, "drop_message", 0, 0),
    (132007, "drop_message", 0, 0),
    (132008, "drop_message", 0, 0),
    (132012, "drop_message", 0, 0),
    (132015, "drop_message", 0, 0),
    (132016, "drop_message", 0, 0),
    (132068, "drop_message", 0, 0),
    (132069, "retry", 360, 1),
    (133000, "drop_message", 0, 0),
    (133004, "retry", 2, 8),
    (133005, "drop_message", 0, 0),
    (133006, "drop_message", 0, 0),
    (133008, "retry", HOUR, 1),
    (133009, "retry", 60, 1),
    (133010, "hold_tenant", 300, 8),
    (133015, "retry", 300, 1),
    (133016, "retry", 72 * HOUR, 1),
    (135000, "retry", 1, 1),
    (137000, "drop_message", 0, 0),
    *((code, "drop_message", 0, 0) for code in range(139000, 139005)),
    *((code, "drop_message", 0, 0) for code in range(147001, 147006)),
    *((code, "drop_message", 0, 0) for code in range(2593107, 2593110)),
]


@pytest.mark.parametrize(("code", "action", "wait_seconds", "tries"), ERRORS)
def test_what_follows_an_error(code: int, action: str, wait_seconds: float, tries: int) -> None:
    rule = rule_for(GraphError(code=code))
    assert (rule.action, rule.wait_seconds, rule.tries) == (action, wait_seconds, tries)


def test_every_code_with_a_rule_is_in_the_test_table() -> None:
    assert set(TABLE) <= {code for code, *_ in ERRORS}


def test_another_form_of_the_number_is_tried_where_meta_may_have_changed_it() -> None:
    assert {code for code, rule in TABLE.items() if rule.other_form} == {131026, 131030}


def test_codes_about_metas_service_as_a_whole_count_as_an_outage() -> None:
    assert {code for code, rule in TABLE.items() if rule.outage} == {2, 131016}


@given(st.integers(0, 3_000_000))
def test_an_unknown_code_is_retried_only_when_meta_calls_it_transient(code: int) -> None:
    known = code in TABLE or 200 <= code < 300
    once = rule_for(GraphError(code=code))
    transient = rule_for(GraphError(code=code, is_transient=True))
    assert (transient == once) if known else (once.action, transient.action) == ("drop_message", "retry")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error":{}}', b'{"error":null}', b"[]"])
def test_an_answer_without_an_error_is_none(body: bytes) -> None:
    assert parse_error(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"code":190,"message":null}}',
        b'{"error":{"code":190,"message":{"text":"m"}}}',
        b'{"error":{"code":"190","fbtrace_id":12}}',
        b'{"error":{"code":190,"is_transient":null}}',
        b'{"error":{"code":190,"message":"\xff"}}',
    ],
)
def test_a_code_is_read_beside_a_detail_of_another_shape(body: bytes) -> None:
    assert parse_error(body) == GraphError(code=190)


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda inner: b'{"error":{"code":' + inner + b"}}"))
def test_any_answer_is_read_or_none(body: bytes) -> None:
    error = parse_error(body)
    assert error is None or error.code or error.message or error.type


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"error":' * 100_000, b'{"error":{"code":[]}}', b'{"error":{"code":']
)
def test_an_answer_beyond_reading_is_none(body: bytes) -> None:
    assert parse_error(body) is None


def test_metas_error_shape_is_read() -> None:
    error = parse_error(b'{"error":{"message":"m","type":"OAuthException","code":190,"fbtrace_id":"T","new":[1]}}')
    assert error == GraphError(message="m", type="OAuthException", code=190, fbtrace_id="T")
