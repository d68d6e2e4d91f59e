"""What can go wrong in the simulator.

ComandaError
├── InvalidInputError
│   ├── ConfigError     the configuration file breaks a rule
│   └── ControlError    a call of `/simulator/…` breaks a rule
├── UnavailableError
│   └── PortTakenError  somebody else listens on the port
└── GraphRefusal        Meta would refuse this Graph API call; carries Meta's code
"""

from __future__ import annotations

from comanda_contract.errors import ComandaError, InvalidInputError, UnavailableError

TITLES: dict[int, str] = {
    2: "Service temporarily unavailable",
    100: "Invalid parameter",
    190: "Invalid OAuth access token",
    130429: "Rate limit hit",
    131000: "Something went wrong",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131016: "Service unavailable",
    131021: "Recipient cannot be sender",
    131026: "Message undeliverable",
    131042: "Business eligibility payment issue",
    131047: "Re-engagement message",
    131051: "Unsupported message type",
    131052: "Media download error",
    131053: "Media upload error",
    131056: "(Business Account, Consumer Account) pair rate limit hit",
}
"""Meta's titles of the codes it names here; another code is called "API error"."""

_STATUS: dict[int, int] = {
    0: 401,
    1: 500,
    2: 503,
    3: 500,
    4: 429,
    10: 403,
    190: 401,
    80007: 429,
    130429: 429,
    131000: 500,
    131005: 403,
    131016: 503,
    131056: 429,
    131057: 503,
}
_PERMISSION_CODES = range(200, 300)
_TRANSIENT = frozenset({1, 2, 4, 80007, 130429, 131000, 131016, 131056, 131057})


def http_status(code: int) -> int:
    """Return the HTTP status that Meta's error table gives a code; 400 for all it does not single out."""
    return 403 if code in _PERMISSION_CODES else _STATUS.get(code, 400)


def is_transient(code: int) -> bool:
    """Tell whether Meta marks the code as one that may pass by itself."""
    return code in _TRANSIENT


class ConfigError(InvalidInputError):
    """The configuration breaks a rule; `path` names the field."""

    code = "simulator_config"


class ControlError(InvalidInputError):
    """A call of the control API breaks a rule; `path` names the field."""

    code = "simulator_control"


class PortTakenError(UnavailableError):
    """The address to listen on belongs to somebody else."""

    code = "port_taken"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is already in use.", hint="Stop what listens there, or choose another --port.")


class GraphRefusal(ComandaError):  # noqa: N818 - Meta refuses; nothing of ours went wrong
    """Meta's answer to a call it does not accept: `graph_code`, `details`, and the subcode where Meta gives one."""

    code = "graph_refusal"

    def __init__(self, graph_code: int, details: str, *, subcode: int | None = None, title: str = "") -> None:
        super().__init__(title or f"(#{graph_code}) {TITLES.get(graph_code, 'API error')}")
        self.graph_code = graph_code
        self.details = details
        self.subcode = subcode
