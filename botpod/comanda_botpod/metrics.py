"""Metrics of a bot pod. Labels are bounded: no tenant, no number, no customer."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

DELIVERIES = Counter("comanda_botpod_deliveries", "Deliveries by kind and outcome", ["kind", "outcome"])
TURNS = Counter("comanda_botpod_turns", "Turns by outcome", ["outcome"])
SENDS = Counter("comanda_botpod_sends", "Graph API sends by outcome", ["outcome"])
ORDERS = Counter("comanda_botpod_orders", "Orders placed")
REPLY_SECONDS = Histogram("comanda_botpod_reply_seconds", "From stored message to accepted reply", buckets=_SECONDS)
TENANTS = Gauge("comanda_botpod_tenants", "Tenants that this pod serves")
ACTIVE_TURNS = Gauge("comanda_botpod_active_conversations", "Conversations with a turn under way or waiting for one")
