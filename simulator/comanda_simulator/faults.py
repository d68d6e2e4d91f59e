"""What may go wrong on Meta's side, switched on and off while the simulator runs.

Every random choice comes from one seeded generator, so a run can be repeated.
"""

from __future__ import annotations

import random
from typing import Annotated

import msgspec

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]


class GraphFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An error code of Meta, how often it strikes, and whom."""

    code: int
    probability: Probability = 1.0
    to: str = ""
    """Only sends whose recipient holds these digits or letters; empty for all."""


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All faults; the defaults are a good day."""

    duplicate: Probability = 0.0
    """Webhook updates that are posted a second time although the first was acknowledged."""
    reorder: Probability = 0.0
    """Webhook updates that are held back, so that later ones overtake them."""
    reorder_window_seconds: Seconds = 0.3
    """How long at most an update is held back."""
    batch: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    """Updates in one POST at most, of several numbers and accounts of one app."""
    batch_window_seconds: Seconds = 0.02
    """How long a POST waits for more updates when `batch` is above 1."""
    delay_seconds: Seconds = 0.0
    """Wait before each webhook."""
    status_first: Probability = 0.0
    """Sends whose `sent` status is delivered before the answer to the send."""
    graph_down: bool = False
    """Every Graph API call is answered 503."""
    graph_slow_seconds: Seconds = 0.0
    """Wait before each Graph API answer."""
    graph_lose_answer: Probability = 0.0
    """Sends that are accepted while the connection drops before the answer."""
    graph_error: GraphFault | None = None
    """Sends that are refused with a code."""
    fail_later: GraphFault | None = None
    """Sends that are accepted and then end in a `failed` status with a code."""
    seed: int | None = None
    """Start the generator anew from this seed."""


class Chance:
    """The faults in force and the generator they draw from."""

    def __init__(self, seed: int) -> None:
        self.faults = Faults()
        self.random = random.Random(seed)  # noqa: S311 - faults must be repeatable, not unguessable

    def set(self, faults: Faults) -> None:
        """Put other faults in force; a seed in them restarts the generator."""
        if faults.seed is not None:
            self.random.seed(faults.seed)
        self.faults = faults

    def hits(self, probability: float) -> bool:
        """Draw; a probability of 0 draws nothing, so an idle fault does not disturb the sequence of the others."""
        return probability > 0 and self.random.random() < probability

    def struck(self, fault: GraphFault | None, to: str) -> int | None:
        """Return the error code when the fault strikes this send to a recipient."""
        return fault.code if fault is not None and fault.to in to and self.hits(fault.probability) else None

    def webhook_delay_seconds(self) -> float:
        """Return how long the next webhook update waits before it is posted."""
        faults = self.faults
        held = self.random.random() * faults.reorder_window_seconds if self.hits(faults.reorder) else 0.0
        return faults.delay_seconds + held
