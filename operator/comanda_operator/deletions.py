"""Deletions that are doubted: many tenants that vanish at once are more often a mistake than a wish.

A CRD deleted, a backup restored without its resources, a GitOps tool that lost its folder: what vanished keeps its
pods, settings and credentials until somebody confirms that as many were meant. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable

FEW = 10
FEWEST = 2
PERCENT = 5

CONFIRM_NAME = "comanda-operator"
"""The ConfigMap, in the operator's namespace, in which deletions are confirmed."""
CONFIRM_KEY = "confirmDeletions"


def is_doubtful(gone: int, known: int) -> bool:
    """Tell whether so many of all known tenants are too many to be gone at once: more than 10 and than 5 %, or all.

    One or two may well be all that there were, where somebody tries it out.
    """
    return gone > max(FEW, known * PERCENT // 100) or (gone == known and gone > FEWEST)


class Deletions:
    """What vanished and is not yet believed to be gone."""

    def __init__(self) -> None:
        self.pending: set[str] = set()
        """Vanished a moment ago: more may follow."""
        self.held: set[str] = set()
        """Doubted: they wait to be confirmed."""

    def vanished(self, tenants: Iterable[str]) -> None:
        """Note tenants that are no more."""
        self.pending |= set(tenants) - self.held

    def came_back(self, tenant: str) -> None:
        """Note that a tenant is there after all."""
        self.pending.discard(tenant)
        self.held.discard(tenant)

    def settle(self, known: int) -> set[str]:
        """Decide on what vanished; returns the tenants that are to be forgotten. `known` counts all, these included."""
        pending, self.pending = self.pending, set()
        if self.held or is_doubtful(len(pending), known):
            self.held |= pending
            return set()
        return pending

    def confirm(self, count: int) -> set[str]:
        """Believe what was doubted if it is as many as somebody says; returns the tenants that are to be forgotten."""
        if not self.held or count != len(self.held):
            return set()
        held, self.held = self.held, set()
        return held
