"""How a handler's turn can end without a result.

ComandaError (contract)
├── HandlerFailed        this turn failed by its own fault: the try counts, and after five the message is parked
└── HandlerInterrupted   this turn fell with somebody else's fault: the counted try is given back
"""

from __future__ import annotations

from comanda_contract.errors import ComandaError


class HandlerFailed(ComandaError):  # noqa: N818 - named as what happened, beside HandlerInterrupted
    """A tenant's own handler raised, took too long, or brought its process down."""

    code = "handler_failed"


class HandlerInterrupted(ComandaError):  # noqa: N818 - what happened, and not an error of this turn
    """A turn fell with somebody else's fault: its counted try is given back."""

    code = "handler_interrupted"
