"""What can go wrong with media.

ComandaError
├── InvalidInputError
│   └── MediaRefusedError      we do not take this file, or do not go where it is said to be; trying again is no use
├── UnavailableError
│   └── MediaUnavailableError  Meta did not answer, or not in time; trying again later may help
└── MediaGraphError            Meta answered with an error code; `action` says what follows
"""

from __future__ import annotations

from typing import Literal

from comanda_contract.cloud.graph_errors import Action, GraphError, rule_for
from comanda_contract.errors import ComandaError, InvalidInputError, UnavailableError

Refusal = Literal["id", "url", "address", "redirect", "encoding", "size", "length", "type", "hash", "answer"]

_HINTS: dict[Action, str] = {
    "stop_tenant": "The tenant needs a new access token.",
    "hold_tenant": "The tenant's account at Meta needs attention.",
    "retry": "Try again later.",
    "slow_number": "Try again later.",
}
_GONE = "The media is unknown or too old: Meta keeps a received one for 7 days. Ask for it to be sent again."


class MediaRefusedError(InvalidInputError):
    """A file or its address breaks a rule of ours; `refusal` names which."""

    code = "media_refused"

    def __init__(self, refusal: Refusal, rule: str, *, hint: str = "") -> None:
        super().__init__(f"media.{refusal}", rule, hint=hint)
        self.refusal = refusal


class MediaUnavailableError(UnavailableError):
    """The file could not be fetched or handed over now."""

    code = "media_unavailable"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The media did not come through: {problem}.", hint="Try again later.")


class MediaGraphError(ComandaError):
    """Meta refused the call with an error code; 0 stands for a media URL that Meta no longer knows."""

    code = "media_graph"

    def __init__(self, error: GraphError) -> None:
        self.error_code = error.code
        self.action: Action = rule_for(error).action if error.code else "drop_message"
        reason = f"refused the call with error {error.code}" if error.code else "no longer has the media"
        super().__init__(f"Meta {reason}.", hint=_HINTS.get(self.action, _GONE))
