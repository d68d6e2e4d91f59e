"""Meta's error codes as data: what a send's failure means and what to do about it.

Decide on `error.code`, never on HTTP status, title or subcode. Source: Meta's Cloud API error codes (September 2026
copy); waits in seconds are ours where Meta says only "try again later".
"""

from __future__ import annotations

from typing import Literal

import msgspec

Action = Literal["retry", "slow_number", "slow_pair", "stop_tenant", "drop_customer", "drop_message"]
"""What follows: try the message again · the whole number waits · this customer waits (4^n s) · the tenant's sends stop
until its credentials or account are mended · this customer cannot be reached · this message will never go."""


class Rule(msgspec.Struct, frozen=True):
    """What to do about one code: the action, the first wait in seconds (doubling), and how many tries in all."""

    action: Action
    wait_seconds: float = 1.0
    tries: int = 8


class GraphError(msgspec.Struct, frozen=True):
    """The `error` object of a refused Graph API call."""

    message: str = ""
    type: str = ""
    code: int = 0
    is_transient: bool = False
    fbtrace_id: str = ""


class _Body(msgspec.Struct, frozen=True):
    error: GraphError = GraphError()


TABLE: dict[int, Rule] = {
    1: Rule("retry"),
    2: Rule("retry", 2.0),
    4: Rule("retry", 60.0),
    131000: Rule("retry", 1.0, 3),
    131016: Rule("retry", 2.0),
    131057: Rule("slow_number", 60.0),
    80007: Rule("slow_number", 60.0),
    130429: Rule("slow_number", 1.0),
    131056: Rule("slow_pair", 1.0),
    0: Rule("stop_tenant"),
    190: Rule("stop_tenant"),
    3: Rule("stop_tenant"),
    10: Rule("stop_tenant"),
    368: Rule("stop_tenant"),
    130497: Rule("stop_tenant"),
    131031: Rule("stop_tenant"),
    131005: Rule("stop_tenant"),
    131037: Rule("stop_tenant"),
    131042: Rule("stop_tenant"),
    131045: Rule("stop_tenant"),
    133010: Rule("stop_tenant"),
    130403: Rule("drop_customer"),
    131026: Rule("drop_customer"),
    131030: Rule("drop_customer"),
    131050: Rule("drop_customer"),
    131052: Rule("retry", 1.0, 2),
    131053: Rule("retry", 1.0, 2),
    135000: Rule("retry", 1.0, 2),
}
"""Codes that call for more than dropping the message; 200–299 count as 10 (a permission is missing)."""

DROP = Rule("drop_message")
TRANSIENT = Rule("retry")
_PERMISSION_CODES = range(200, 300)

_decoder = msgspec.json.Decoder(_Body, strict=False)


def parse_error(body: bytes) -> GraphError | None:
    """Read the error out of a Graph API answer; None when the body holds none (a proxy's page, an empty answer)."""
    try:
        error = _decoder.decode(body).error
    except msgspec.MsgspecError:
        return None
    return error if error.code or error.message or error.type else None


def rule_for(error: GraphError) -> Rule:
    """Return what to do about an error; an unknown code is retried only when Meta calls it transient."""
    if error.code in TABLE:
        return TABLE[error.code]
    if error.code in _PERMISSION_CODES:
        return TABLE[10]
    return TRANSIENT if error.is_transient else DROP
