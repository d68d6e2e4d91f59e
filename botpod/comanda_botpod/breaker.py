"""A circuit breaker for the Graph API as a whole: when Meta is down, calls wait instead of piling up.

    closed ── N failures in a row ──▶ open ── pause over ──▶ half-open ── success ──▶ closed
                                       ▲                        │
                                       └── failure: pause × 2 ──┘

A failure is a call that says nothing about its message: no connection, a time-out, a 5xx without an error code, or a
code whose rule is an `outage`. Every other answer, a refusal too, shows that Meta is there. Pure: the caller gives the
time and the random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When the breaker opens and for how long."""

    failures: int = 10
    """Failures in a row that open it."""
    first_pause_seconds: float = 1.0
    """First pause; it doubles with each probe that fails."""
    longest_pause_seconds: float = 30.0
    """Longest pause, jitter included: half of it is the longest pause without."""
    probe_seconds: float = 20.0
    """A probe that has not been recorded for so long is given up and another may go; longer than any call may take."""
    look_again_seconds: float = 0.5
    """How soon to ask again while somebody else's probe is under way."""


class Breaker:
    """Says who may call. Times are seconds of one clock that never goes back.

    `jitter` returns a random number from 0 to below 1: it makes a pause up to twice as long, so that many pods do not
    all probe at the same moment.
    """

    def __init__(self, jitter: Callable[[], float], settings: BreakerSettings | None = None) -> None:
        self._jitter = jitter
        self._settings = settings if settings is not None else BreakerSettings()
        self._state: State = "closed"
        self._failures = 0
        self._pauses = 0
        self._until = 0.0
        """While open the end of the pause; while half-open the moment at which the probe is given up."""

    @property
    def state(self) -> State:
        """`closed`: calls go · `open`: none goes · `half_open`: one call, the probe, is under way."""
        return self._state

    def allow(self, now: float) -> float:
        """Return 0 when a call may go now, else the seconds to wait before asking again.

        Whoever gets 0 calls and then records how it ended. While the breaker is not closed, one caller at a time gets
        0: its call is the probe.
        """
        if self._state == "closed":
            return 0.0
        left = self._until - now
        if left > 0:
            return left if self._state == "open" else min(left, self._settings.look_again_seconds)
        self._state = "half_open"
        self._until = now + self._settings.probe_seconds
        return 0.0

    def record(self, now: float, *, ok: bool) -> None:
        """Tell how a call ended. While open, ends of calls that began before change nothing."""
        if self._state == "open":
            return
        if ok:
            self._state = "closed"
            self._failures = self._pauses = 0
            return
        self._failures += 1
        if self._state == "half_open" or self._failures >= self._settings.failures:
            self._open(now)

    def _open(self, now: float) -> None:
        settings = self._settings
        doubled = settings.first_pause_seconds * 2.0 ** min(self._pauses, 30)
        pause = min(doubled, settings.longest_pause_seconds / 2)
        self._state = "open"
        self._until = now + pause * (1 + self._jitter())
        self._pauses += 1
        self._failures = 0
