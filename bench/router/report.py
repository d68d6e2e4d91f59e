"""What each part of this benchmark is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.common.results import Row, Target
from bench.common.stats import median


@dataclass(frozen=True)
class Bench:
    """One run: a folder for all that it needs, how often and how long to measure, and where to tell of progress."""

    folder: Path
    rounds: int
    seconds: int
    pods: Sequence[int]
    """Numbers of pods of the router alone."""
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """Rows with the rounds they are medians of (dataclass instances), and what a reader must know."""

    rows: Sequence[Row]
    rounds: Sequence[Any]
    notes: Sequence[str]


class Round(Protocol):
    """One system in one round; `where` tells apart what is not to be mixed in a median."""

    @property
    def system(self) -> str:
        """Name of the system."""

    @property
    def where(self) -> str:
        """Number of pods, or name of the database."""


def median_of(found: Iterable[Round], system: str, where: str, figure: str) -> float | None:
    """Return the median of a figure over the rounds of one system; None when it was not measured there."""
    values = [float(getattr(each, figure)) for each in found if (each.system, each.where) == (system, where)]
    return median(values) if values else None


def compare(  # noqa: PLR0917 - a row's own columns
    found: Sequence[Round], what: str, figure: str, unit: str, where: str, target: Target | None, ours: str, peer: str
) -> Row:
    """Return a row: the median of a figure of ours beside that of a peer in the same rounds."""
    value, peer_value = (median_of(found, system, where, figure) for system in (ours, peer))
    assert value is not None, f"{ours} was not measured at {where}"
    return Row(what, value, unit, target, "" if peer_value is None else peer, peer_value)


def none_may(what: str, counts: Iterable[int], unit: str = "webhooks") -> Row:
    """Return a row for what must not happen, added up over all rounds."""
    return Row(what, sum(counts), unit, Target("<=", 0))
