"""Metrics of the router. Labels are bounded: no number, no tenant, no path as sent."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

WEBHOOKS = Counter("comanda_router_webhooks", "Webhooks by HTTP answer", ["status"])
SIGNATURES = Counter("comanda_router_signatures", "Signature checks by result", ["result"])
DELIVERIES = Counter("comanda_router_deliveries", "Deliveries by outcome", ["outcome"])
DEAD_LETTERS = Counter("comanda_router_dead_letters", "What belongs to no tenant, by reason", ["reason"])
BATCH_SIZE = Histogram(
    "comanda_router_batch_deliveries",
    "Deliveries in one request to a pod",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
WEBHOOK_SECONDS = Histogram(
    "comanda_router_webhook_seconds",
    "From the whole body read to the answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
PODS_READY = Gauge("comanda_router_pods_ready", "Pods that may get deliveries")
NUMBERS = Gauge("comanda_router_numbers", "Numbers in the directory")
