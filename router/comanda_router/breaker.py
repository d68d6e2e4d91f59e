"""When a pod is given a rest: its numbers then go to the next pod in their order, until it answers a probe.

    closed ── failures in a row, or one stall ──▶ resting ── pause over ──▶ probing ── answered ──▶ closed
                                                     ▲                         │
                                                     └── failed: pause × 2 ────┘

A failure is a connection that cannot be made or breaks; a stall is a request that has gone without an answer for long.
A probe is an empty batch, so no webhook hangs on it. Pure: the caller gives the time and the random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "resting", "probing"]


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a pod gets its rest, and for how long."""

    failures: int = 3
    """Failures in a row; each has cost its webhooks a detour over the next pod."""
    first_pause_seconds: float = 0.5
    """First pause; it doubles with each probe that fails."""
    longest_pause_seconds: float = 15.0
    """Longest pause before jitter, which makes it up to twice as long: routers do not all probe at one moment."""


class Breaker:
    """The state of one pod as this router sees it. Times are seconds of one clock that never goes back.

    `jitter` returns a random number from 0 to below 1.
    """

    def __init__(self, jitter: Callable[[], float], settings: BreakerSettings | None = None) -> None:
        self._jitter = jitter
        self._settings = settings if settings is not None else BreakerSettings()
        self._failures = 0
        self._pauses = 0
        self._until = 0.0
        self.state: State = "closed"

    @property
    def is_open(self) -> bool:
        """Whether deliveries should rather go elsewhere."""
        return self.state != "closed"

    def answered(self) -> None:
        """Note that the pod has answered in good time, a probe or not: all is well."""
        self.state = "closed"
        self._failures = self._pauses = 0

    def failed(self, now: float) -> bool:
        """Note that a connection failed; returns whether the pod is given a rest for it now."""
        self._failures += 1
        if self.state == "probing" or (self.state == "closed" and self._failures >= self._settings.failures):
            return self._rest(now)
        return False

    def stalled(self, now: float) -> bool:
        """Note that a request goes without an answer; returns whether the pod is given a rest for it now."""
        return self.state != "resting" and self._rest(now)

    def wants_probe(self, now: float) -> bool:
        """Tell whether the pause is over; then the caller sends a probe and notes how it ends."""
        if self.state != "resting" or now < self._until:
            return False
        self.state = "probing"
        return True

    def _rest(self, now: float) -> bool:
        was_closed = self.state == "closed"
        settings = self._settings
        pause = min(settings.first_pause_seconds * 2.0 ** min(self._pauses, 30), settings.longest_pause_seconds)
        self.state = "resting"
        self._until = now + pause * (1 + self._jitter())
        self._pauses += 1
        self._failures = 0
        return was_closed
