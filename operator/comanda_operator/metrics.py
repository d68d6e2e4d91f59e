"""What the operator counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

WRITES = Counter("comanda_operator_writes", "Writes to the API", ["verb", "kind"])
DRIFT = Counter("comanda_operator_drift_repaired", "Objects that were not as planned and were mended", ["kind"])
RECONCILES = Counter("comanda_operator_reconciles", "Keys worked on, by kind and outcome", ["kind", "outcome"])
RECONCILE_SECONDS = Histogram(
    "comanda_operator_reconcile_seconds", "How long the work on a key takes", ["kind"],
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10),
)  # fmt: skip
QUEUE_SECONDS = Histogram(
    "comanda_operator_queue_seconds",
    "How long a key waits for its turn",
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 5, 30, 120),
)
QUEUE_DEPTH = Gauge("comanda_operator_queue_depth", "Keys that wait")
WATCH_AGE = Gauge("comanda_operator_watch_age_seconds", "Since the API was last heard of, by kind", ["kind"])
WATCH_FAILURES = Gauge("comanda_operator_watch_failures", "Lists and watches that failed, by kind", ["kind"])
LEADING = Gauge("comanda_operator_leading", "1 on the replica that holds the Lease")
TENANTS = Gauge("comanda_operator_tenants", "Tenants, by condition and reason", ["condition", "reason"])
SHARD_BYTES = Gauge("comanda_operator_largest_shard_bytes", "Size of the largest shard that was written")
MOVE_SECONDS = Histogram(
    "comanda_operator_move_seconds",
    "For how long a tenant's webhooks were refused while it moved between groups",
    buckets=(1, 2, 5, 10, 20, 60, 300, 3600),
)
DELETIONS_HELD = Gauge("comanda_operator_deletions_held", "Tenants whose deletion waits to be confirmed")
META_CHECKS = Counter("comanda_operator_meta_checks", "Tenants of which Meta was asked, by what it said", ["outcome"])
