"""Which conversation gets the next free slot: live ones before backlog, tenants in turn, no tenant all of the slots.

Pure: it is told what waits and what is done, and answers who is next.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import Literal, NamedTuple

Lane = Literal["live", "backlog"]
"""`backlog`: what waited somewhere for minutes or more (after an outage); it goes when nothing live waits."""


class Turn(NamedTuple):
    """A conversation that is due: its customer and whose it is."""

    customer: int
    tenant: str


class Schedule:
    """Due conversations. A conversation waits once however often it is added, and runs once at a time."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        # One tenant may fill most of the slots, not all: whoever comes next finds one free at once.
        self._share = max(1, slots - max(1, slots // 4)) if slots > 1 else 1
        self._lanes: dict[Lane, OrderedDict[str, deque[int]]] = {"live": OrderedDict(), "backlog": OrderedDict()}
        self._waiting: dict[int, Lane] = {}
        self._running: dict[int, str] = {}
        self._running_by_tenant: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Conversations that wait for a slot."""
        return len(self._waiting)

    @property
    def free(self) -> int:
        """Slots that are left when everything that waits has one."""
        return max(0, self._slots - len(self._running) - len(self._waiting))

    @property
    def running(self) -> int:
        """Conversations with a turn under way."""
        return len(self._running)

    def waiting_in(self, lane: Lane) -> int:
        """Return how many conversations wait in a lane."""
        return sum(len(queue) for queue in self._lanes[lane].values())

    def is_running(self, customer: int) -> bool:
        """Tell whether a conversation has a turn under way."""
        return customer in self._running

    def add(self, customer: int, tenant: str, lane: Lane = "live") -> None:
        """Let a conversation wait for a slot. One of the backlog that becomes live moves over."""
        known = self._waiting.get(customer)
        if known in {lane, "live"}:
            return
        if known is not None:
            self._take_out(customer, tenant, known)
        self._lanes[lane].setdefault(tenant, deque()).append(customer)
        self._waiting[customer] = lane

    def next(self) -> Turn | None:
        """Take the conversation whose turn it is; None when nothing waits, or everything that waits has to."""
        if len(self._running) >= self._slots:
            return None
        for lane in self._lanes.values():
            for tenant in lane:
                if self._running_by_tenant[tenant] < self._share:
                    return self._start(lane, tenant)
        return None

    def done(self, customer: int) -> None:
        """Give a conversation's slot back."""
        tenant = self._running.pop(customer)
        self._running_by_tenant[tenant] -= 1
        if not self._running_by_tenant[tenant]:
            del self._running_by_tenant[tenant]

    def _start(self, lane: OrderedDict[str, deque[int]], tenant: str) -> Turn:
        queue = lane[tenant]
        customer = queue.popleft()
        if queue:
            lane.move_to_end(tenant)
        else:
            del lane[tenant]
        del self._waiting[customer]
        self._running[customer] = tenant
        self._running_by_tenant[tenant] += 1
        return Turn(customer, tenant)

    def _take_out(self, customer: int, tenant: str, lane: Lane) -> None:
        queue = self._lanes[lane][tenant]
        queue.remove(customer)
        if not queue:
            del self._lanes[lane][tenant]
