from __future__ import annotations

import pytest

from comanda_contract.cloud.graph_errors import GraphError, parse_error, rule_for


@pytest.mark.parametrize(
    ("code", "transient", "action"),
    [
        (190, False, "stop_tenant"),
        (0, False, "stop_tenant"),
        (10, False, "stop_tenant"),
        (200, False, "stop_tenant"),
        (299, False, "stop_tenant"),
        (368, False, "stop_tenant"),
        (130429, False, "slow_number"),
        (131056, False, "slow_pair"),
        (131000, False, "retry"),
        (131026, False, "drop_customer"),
        (131047, False, "drop_message"),
        (131009, False, "drop_message"),
        (999999, False, "drop_message"),
        (999999, True, "retry"),
    ],
)
def test_what_follows_an_error(code: int, transient: bool, action: str) -> None:  # noqa: FBT001 - a table
    assert rule_for(GraphError(code=code, is_transient=transient)).action == action


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error":{}}', b'{"error":null}', b"[]"])
def test_an_answer_without_an_error_is_none(body: bytes) -> None:
    assert parse_error(body) is None


def test_metas_error_shape_is_read() -> None:
    error = parse_error(b'{"error":{"message":"m","type":"OAuthException","code":190,"fbtrace_id":"T","new":[1]}}')
    assert error == GraphError(message="m", type="OAuthException", code=190, fbtrace_id="T")
