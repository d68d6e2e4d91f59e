"""Where a restaurant delivers: by distance from its door, by district named in the address, or anywhere else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import asin, cos, radians, sin, sqrt
from typing import Literal

from rapidfuzz import fuzz, process

from comanda_flow.text import fold_words

_EARTH_KM = 6371.0
_SPELLING = 88
"""How alike (0–100) a word must be to a district's: one slip in a word of eight letters passes, two do not."""


@dataclass(frozen=True)
class Point:
    """A place, in degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True)
class Zone:
    """One delivery zone: within `radius_km`, in one of the districts `names`, or (neither given) anywhere else."""

    name: str
    fee_minor: int
    minimum_minor: int = 0
    radius_km: float = 0.0
    names: tuple[str, ...] = ()

    @property
    def anywhere(self) -> bool:
        """Whether the zone takes what no other takes."""
        return not self.radius_km and not self.names


@dataclass(frozen=True)
class Coverage:
    """What is known about delivering to a place.

    `served`: yes, in `zone`; `estimated` when the zone is the dearest because an address cannot be measured.
    `district`: the district must be asked. `outside`: no. `missing`: no place was given yet.
    """

    kind: Literal["served", "district", "outside", "missing"]
    zone: Zone | None = None
    estimated: bool = False


def distance_km(start: Point, end: Point) -> float:
    """Return the great-circle distance between two points, in kilometres."""
    latitudes = radians(start.latitude), radians(end.latitude)
    half_height = (latitudes[1] - latitudes[0]) / 2
    half_width = radians(end.longitude - start.longitude) / 2
    chord = sin(half_height) ** 2 + cos(latitudes[0]) * cos(latitudes[1]) * sin(half_width) ** 2
    return 2 * _EARTH_KM * asin(sqrt(min(1.0, chord)))


def cover(zones: tuple[Zone, ...], door: Point | None, point: Point | None, address: str, district: str) -> Coverage:
    """Decide whether and in which zone a place is served; `door` is the restaurant's own place."""
    if point is None and not address and not district:
        return Coverage("missing")
    if not zones:
        return Coverage("served", Zone("", 0))
    found = _by_distance(zones, door, point) or _by_name(zones, f"{address} {district}") or _anywhere(zones)
    if found is not None:
        return Coverage("served", found)
    if any(zone.names for zone in zones):
        return Coverage("outside" if district else "district")
    if point is not None:
        return Coverage("outside")
    return Coverage("served", max(zones, key=lambda zone: zone.fee_minor), estimated=True)


def _by_distance(zones: tuple[Zone, ...], door: Point | None, point: Point | None) -> Zone | None:
    if door is None or point is None:
        return None
    away = distance_km(door, point)
    reached = [zone for zone in zones if zone.radius_km and away <= zone.radius_km]
    return min(reached, key=lambda zone: zone.radius_km, default=None)


@lru_cache(maxsize=256)
def _by_name(zones: tuple[Zone, ...], address: str) -> Zone | None:
    # Asked up to six times while one order is taken, of the same address: it was a sixth of the flow's time.
    words = fold_words(address)
    for zone in zones:
        if any(_contains(words, fold_words(name)) for name in zone.names):
            return zone
    return None


def _contains(words: list[str], name: list[str]) -> bool:
    if not name:
        return False
    spans = [" ".join(words[start : start + len(name)]) for start in range(len(words) - len(name) + 1)]
    wanted = " ".join(name)
    if len(wanted) < 5:
        return wanted in spans
    return process.extractOne(wanted, spans, scorer=fuzz.ratio, score_cutoff=_SPELLING) is not None


def _anywhere(zones: tuple[Zone, ...]) -> Zone | None:
    return next((zone for zone in zones if zone.anywhere), None)
