"""Which pod of a group serves a number: rendezvous hashing with readiness and bounded load.

Every caller that knows the same pod names computes the same order, so routers agree without talking to each other.
Adding or removing one of N pods moves about 1/N of the numbers; a number returns to its pod when that pod comes back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b

DEFAULT_LOAD_FACTOR = 1.25
"""A pod may hold at most this many times its equal share of the numbers (bounded-load consistent hashing)."""


def _weight(pod: str, phone_number_id: str) -> int:
    return int.from_bytes(blake2b(f"{pod}\0{phone_number_id}".encode(), digest_size=8).digest(), "big")


@lru_cache(maxsize=262_144)
def _order(phone_number_id: str, pods: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(pods, key=lambda pod: (-_weight(pod, phone_number_id), pod)))


def placement_order(phone_number_id: str, pods: Collection[str]) -> tuple[str, ...]:
    """Return the pods of a group, the most wanted first, for one number; the order of `pods` does not matter."""
    return _order(phone_number_id, tuple(sorted(set(pods))))


def capacity(numbers: int, pods: int, load_factor: float = DEFAULT_LOAD_FACTOR) -> int:
    """Return how many of `numbers` one of `pods` may hold: its equal share times the load factor, rounded up."""
    return math.ceil(numbers / pods * load_factor) if pods else 0


def choose(
    phone_number_id: str,
    pods: Collection[str],
    ready: Collection[str],
    *,
    load: Mapping[str, int] | None = None,
    bound: int | None = None,
) -> str | None:
    """Return the first pod in placement order that is ready and below its bound, or None if no pod is ready.

    `load` counts what each pod holds already and `bound` is what one may hold. When all ready pods are at the bound,
    the first ready one serves all the same: a full pod is better than a lost message.
    """
    order = [pod for pod in placement_order(phone_number_id, pods) if pod in ready]
    if bound is not None and load is not None:
        for pod in order:
            if load.get(pod, 0) < bound:
                return pod
    return order[0] if order else None


def place_all(
    phone_number_ids: Iterable[str],
    pods: Sequence[str],
    ready: Collection[str] | None = None,
    load_factor: float = DEFAULT_LOAD_FACTOR,
) -> dict[str, str]:
    """Place all numbers of a group at once; `{}` when no pod is ready.

    Numbers are placed in an order of their own (by digest), not the caller's, so that every caller decides the same.
    No pod exceeds `capacity(numbers, ready pods)`.
    """
    live = sorted(set(pods) if ready is None else set(pods) & set(ready))
    numbers = sorted(set(phone_number_ids), key=lambda number: (_weight("", number), number))
    bound = capacity(len(numbers), len(live), load_factor)
    load = dict.fromkeys(live, 0)
    placed: dict[str, str] = {}
    for number in numbers:
        pod = choose(number, pods, load.keys(), load=load, bound=bound)
        if pod is None:
            return {}
        load[pod] += 1
        placed[number] = pod
    return placed
