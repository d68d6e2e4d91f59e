"""Which pod of a group serves a number: consistent hashing on a ring, with bounded load, over the live pods.

Each pod stands at many points of a ring, a number at one; the next pod clockwise is its most wanted one. Numbers choose
one after the other, in an order of their own, and pass a pod that holds its bound already. All of it follows from the
names alone, so routers agree without talking to each other, whatever each of them has seen before.

- A pod that goes moves its own numbers, to many others; when it comes back they return.
- Beyond that only numbers move that the bound had sent on, or now sends on: a few in a hundred where shares are small.
- Choosing the least loaded of several pods below their bound would balance a little better, but then each change of
  one pod's load moves numbers between others: what was placed would move without need.
- A number costs one digest and one search, however many pods there are.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

DEFAULT_LOAD_FACTOR = 1.25
"""A pod may hold at most this many times its equal share of the numbers (bounded-load consistent hashing)."""

POINTS = 128
"""Points of one pod on the ring: its natural share then strays by 1/√128, about 9 %, and the bound holds the rest."""

_INDEX_BITS = 16
"""A point and the index of its pod are one integer, which sorts and is searched faster than a pair."""

_POSITION_BYTES = 6

Standing = Literal["chosen", "ready", "full", "not_ready", "avoided"]
"""`full`: it held its bound when the number's turn came · `avoided`: live, but this router cannot reach it now."""


def position_of(phone_number_id: str) -> int:
    """Return where a number stands on the ring: 48 bits of a digest. Numbers choose their pods in this order."""
    return int.from_bytes(_digest_of(phone_number_id.encode()), "big")


def _digest_of(name: bytes) -> bytes:
    return blake2b(name, digest_size=_POSITION_BYTES).digest()


def capacity(numbers: int, pods: int, load_factor: float = DEFAULT_LOAD_FACTOR) -> int:
    """Return how many of `numbers` one of `pods` may hold: its equal share times the load factor, rounded up."""
    return math.ceil(numbers / pods * load_factor) if pods else 0


@lru_cache(maxsize=4096)
def _points_of(pod: str) -> tuple[int, ...]:
    made: list[int] = []
    for block in range(POINTS // 8):
        made += struct.unpack(">8Q", blake2b(f"{pod}\0{block}".encode(), digest_size=64).digest())
    return tuple(point >> _INDEX_BITS for point in made)


class Ring:
    """Pods on a ring; the order in which they are named does not matter. At most 65,536 pods."""

    def __init__(self, pods: Iterable[str]) -> None:
        self.pods = tuple(sorted(set(pods)))
        self._points = sorted(
            point << _INDEX_BITS | index for index, pod in enumerate(self.pods) for point in _points_of(pod)
        )

    def order(self, phone_number_id: str) -> Iterator[str]:
        """Give the pods, the most wanted first, for one number; each is looked for when it is asked for."""
        seen: set[int] = set()
        for index in self._clockwise(position_of(phone_number_id)):
            if index not in seen:
                seen.add(index)
                yield self.pods[index]
            if len(seen) == len(self.pods):
                return

    def spread(self, phone_number_ids: Iterable[str], bound: int) -> dict[str, str]:
        """Place numbers so that no pod holds more than `bound`, which must have room for all; `{}` without pods."""
        if not self.pods:
            return {}
        points, pods = self._points, self.pods
        load = [0] * len(pods)
        placed: dict[str, str] = {}
        for position, number in _in_order(phone_number_ids):
            place = bisect_left(points, position << _INDEX_BITS)
            index = points[place if place < len(points) else 0] & 0xFFFF
            if load[index] >= bound:
                index = next(each for each in self._clockwise(position) if load[each] < bound)
            load[index] += 1
            placed[number] = pods[index]
        return placed

    def _clockwise(self, position: int) -> Iterator[int]:
        """Give the index of the pod at each point, from a position on and once around."""
        points = self._points
        start = bisect_left(points, position << _INDEX_BITS)
        for place in range(start - len(points), start):
            yield points[place] & 0xFFFF


def _in_order(phone_number_ids: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Give each number with its position, in the order of these.

    In slices of the ring, and as bytes, which no collection of garbage looks at: to sort 100,000 pairs in one go would
    hold up other threads for a tenth of a second.
    """
    slices: list[set[bytes]] = [set() for _ in range(256)]
    for number in phone_number_ids:
        name = number.encode()
        key = _digest_of(name) + name
        slices[-1 - key[0]].add(key)
    while slices:
        for key in sorted(slices.pop()):
            yield int.from_bytes(key[:_POSITION_BYTES], "big"), key[_POSITION_BYTES:].decode()


def place_all(
    phone_number_ids: Collection[str],
    pods: Iterable[str],
    ready: Collection[str] | None = None,
    load_factor: float = DEFAULT_LOAD_FACTOR,
) -> dict[str, str]:
    """Place all numbers of a group over its live pods, `ready` or all of `pods`; `{}` when none is live.

    No pod holds more than `capacity(numbers, live pods)`.
    """
    ring = Ring(pods if ready is None else set(pods) & set(ready))
    return ring.spread(phone_number_ids, capacity(len(set(phone_number_ids)), len(ring.pods), load_factor))


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pod in the order of a number: what it holds, and why it is or is not the number's."""

    pod: str
    load: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a number goes and why. `pod` is None when no pod is live; `bound` is what one pod may hold."""

    pod: str | None
    bound: int
    candidates: tuple[Candidate, ...]


def explain(
    phone_number_id: str,
    pods: Iterable[str],
    ready: Collection[str],
    placed: Mapping[str, str],
    avoided: Collection[str] = (),
) -> Explanation:
    """Tell where a number goes and why each pod before that was passed.

    `placed` is what `place_all` made of the group's numbers. A router that cannot reach a pod sends its numbers to the
    next live one: `avoided` names such pods.
    """
    order = list(Ring(pods).order(phone_number_id))
    load = dict.fromkeys(order, 0)
    for pod in placed.values():
        load[pod] += 1
    home = placed.get(phone_number_id)
    chosen = home
    if home is None or home in avoided:
        chosen = next((pod for pod in order if pod in ready and pod not in avoided), home)
    candidates: list[Candidate] = []
    passed_home = home is None
    for pod in order:
        passed_home = passed_home or pod == home
        candidates.append(
            Candidate(pod, load[pod], _standing(pod, chosen, ready, avoided, full=not passed_home)),
        )
    live = sum(pod in ready for pod in order)
    return Explanation(chosen, capacity(len(placed), live), tuple(candidates))


def _standing(
    pod: str, chosen: str | None, ready: Collection[str], avoided: Collection[str], *, full: bool
) -> Standing:
    if pod == chosen:
        return "chosen"
    if pod not in ready:
        return "not_ready"
    if pod in avoided:
        return "avoided"
    return "full" if full else "ready"
