"""Metrics of a bot pod. Labels are bounded: no tenant, no number, no customer; at most the plan.

Label sets that are counted for every message are resolved once, here: looking one up costs more than counting it.
"""

from __future__ import annotations

from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

DELIVERIES = Counter("comanda_botpod_deliveries", "Deliveries by kind and outcome", ["kind", "outcome"])
DELIVERED = {
    (kind, outcome): DELIVERIES.labels(kind=kind, outcome=outcome)
    for kind in ("message", "status", "change")
    for outcome in ("stored", "duplicate", "refused")
}
REFUSED = Counter("comanda_botpod_refused", "Deliveries refused by reason", ["reason"])
STALE = Counter("comanda_botpod_stale", "Messages stored and not answered because they came too late")

PLANS: tuple[Literal["standard", "enterprise"], ...] = ("standard", "enterprise")
TURNS = Counter("comanda_botpod_turns", "Turns by outcome and plan of the tenant", ["outcome", "plan"])
TURN = {
    (outcome, plan): TURNS.labels(outcome=outcome, plan=plan)
    for outcome in ("done", "failed", "fenced")
    for plan in PLANS
}
ORDERS = Counter("comanda_botpod_orders", "Orders placed by plan of the tenant", ["plan"])
ORDER = {plan: ORDERS.labels(plan=plan) for plan in PLANS}

SENDS = Counter("comanda_botpod_sends", "Tries to send a message by outcome", ["outcome"])
SENT = SENDS.labels(outcome="sent")
SENDS_HELD = Counter("comanda_botpod_sends_held", "Sends that had to wait for Meta's limits")
BREAKER = Gauge("comanda_botpod_graph_breaker_open", "1 while the Graph API is left alone because it does not answer")

COMMIT_ROWS = Histogram("comanda_botpod_commit_rows", "Rows that shared a commit", buckets=_ROWS)
COMMIT_SECONDS = Histogram("comanda_botpod_commit_seconds", "Seconds a group commit took", buckets=_SECONDS)

TENANTS = Gauge("comanda_botpod_tenants", "Tenants that this pod serves by plan", ["plan"])
CONVERSATIONS_RUNNING = Gauge("comanda_botpod_conversations_running", "Conversations with a turn under way")
BACKLOG = Gauge("comanda_botpod_backlog", "Conversations that wait for a turn by lane", ["lane"])
BACKLOG_LIVE, BACKLOG_OLD = (BACKLOG.labels(lane=lane) for lane in ("live", "backlog"))
PENDING = Gauge("comanda_botpod_group_pending", "Messages that have had no turn yet, over all pods of the group")
OLDEST_SECONDS = Gauge("comanda_botpod_group_oldest_pending_seconds", "Age of the oldest of them")
PARKED = Gauge("comanda_botpod_group_parked", "Messages whose handler failed too often, for staff to look at")
UNKNOWN = Gauge("comanda_botpod_group_unknown_sends", "Messages lost from sight twice, for staff to look at")
