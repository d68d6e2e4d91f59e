"""Meta's error codes as data: what a send's failure means and what to do about it.

Decide on `error.code`, never on HTTP status, title or subcode. Source: Meta's Cloud API error codes (September 2026
copy); waits in seconds are ours where Meta says only "try again later".

| action | what follows |
|---|---|
| `retry` | this message again after `wait_seconds`, doubling |
| `slow_number` | the whole number waits `wait_seconds`, doubling; then the message again |
| `slow_pair` | this customer waits `wait_seconds`, growing fourfold; then the message again |
| `stop_tenant` | its token or permissions are no good: its sends stay queued until it has another token |
| `hold_tenant` | Meta holds its account or number: its sends stay queued, one is tried every `wait_seconds` |
| `window_closed` | the customer's 24 hours are over: only a template may go; no fault of the bot |
| `opted_out` | the customer takes no marketing: note it; service messages still arrive |
| `drop_customer` | the customer cannot be reached under this address |
| `drop_message` | this message, or call, will never go as it is: a fault of ours, or Meta's choice |

The codes 133000–133016 answer calls of onboarding and no send.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Action = Literal[
    "retry",
    "slow_number",
    "slow_pair",
    "stop_tenant",
    "hold_tenant",
    "window_closed",
    "opted_out",
    "drop_customer",
    "drop_message",
]
"""What follows; the table above says what each means."""

MINUTE = 60.0
HOUR = 3600.0


class Rule(msgspec.Struct, frozen=True):
    """What to do about one code: the action, the first wait in seconds, and how many tries may follow the first.

    `other_form`: another form of the same phone number is worth one try (`phones.sibling_forms`). `outage`: the
    code speaks of Meta's service as a whole, so it counts like a connection that failed.
    """

    action: Action
    wait_seconds: float = 1.0
    tries: int = 8
    other_form: bool = False
    outage: bool = False


class GraphError(msgspec.Struct, frozen=True):
    """The `error` object of a refused Graph API call."""

    message: str = ""
    type: str = ""
    code: int = 0
    is_transient: bool = False
    fbtrace_id: str = ""


class _Body(msgspec.Struct, frozen=True):
    error: GraphError = GraphError()


class _Coded(msgspec.Struct, frozen=True):
    code: int = 0


class _Head(msgspec.Struct, frozen=True):
    error: _Coded = _Coded()


DROP = Rule("drop_message", 0.0, 0)
TRANSIENT = Rule("retry")
STOP = Rule("stop_tenant", 0.0, 0)
HOLD = Rule("hold_tenant", 5 * MINUTE)

TABLE: dict[int, Rule] = {
    1: Rule("retry"),
    2: Rule("retry", 2.0, outage=True),
    4: Rule("retry", MINUTE),
    131000: Rule("retry", 1.0, 2),
    131016: Rule("retry", 2.0, outage=True),
    # Media is fetched or uploaded anew, or sent again: once.
    131052: Rule("retry", 1.0, 1),
    131053: Rule("retry", 1.0, 1),
    135000: Rule("retry", 1.0, 1),
    # A throttled flow message: ten an hour may go.
    132069: Rule("retry", 6 * MINUTE, 1),
    130429: Rule("slow_number", 1.0),
    131057: Rule("slow_number", MINUTE),
    80007: Rule("slow_number", MINUTE),
    131056: Rule("slow_pair", 1.0),
    0: STOP,
    3: STOP,
    10: STOP,
    190: STOP,
    131005: STOP,
    368: Rule("hold_tenant", HOUR),
    130497: Rule("hold_tenant", HOUR),
    131031: Rule("hold_tenant", HOUR),
    131037: Rule("hold_tenant", HOUR),
    # The number's spam limit: Meta lifts it after hours, and each try in between counts against the number.
    131048: Rule("hold_tenant", HOUR),
    131042: HOLD,
    131044: HOLD,
    131045: HOLD,
    133010: HOLD,
    131047: Rule("window_closed", 0.0, 0),
    131050: Rule("opted_out", 0.0, 0),
    130403: Rule("drop_customer", 0.0, 0),
    131026: Rule("drop_customer", 0.0, 0, other_form=True),
    131030: Rule("drop_customer", 0.0, 0, other_form=True),
    133004: Rule("retry", 2.0),
    133008: Rule("retry", HOUR, 1),
    133009: Rule("retry", MINUTE, 1),
    133015: Rule("retry", 5 * MINUTE, 1),
    133016: Rule("retry", 72 * HOUR, 1),
}
"""Codes that call for more than dropping the message; 200–299 count as 10 (a permission is missing). For 133008 and
133009 the error's `details` may name another wait, which then stands."""

_PERMISSION_CODES = range(200, 300)

_body = msgspec.json.Decoder(_Body, strict=False)
_head = msgspec.json.Decoder(_Head, strict=False)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def parse_error(body: bytes) -> GraphError | None:
    """Read the error out of a Graph API answer; None when the body holds none (a proxy's page, an empty answer).

    When a detail has an unexpected shape the code alone is kept: without it a refused send would count as one of
    unknown outcome, and go out twice. Never raises.
    """
    try:
        error = _body.decode(body).error
    except _UNREADABLE:
        error = GraphError(code=_code(body))
    return error if error.code or error.message or error.type else None


def _code(body: bytes) -> int:
    try:
        return _head.decode(body).error.code
    except _UNREADABLE:
        return 0


def rule_for(error: GraphError) -> Rule:
    """Return what to do about an error; an unknown code is retried only when Meta calls it transient."""
    if error.code in TABLE:
        return TABLE[error.code]
    if error.code in _PERMISSION_CODES:
        return TABLE[10]
    return TRANSIENT if error.is_transient else DROP
