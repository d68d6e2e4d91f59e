"""Metrics of python handlers. Labels are bounded: no tenant, no entry point, no customer."""

from __future__ import annotations

from prometheus_client import Counter

_TURNS = Counter("comanda_botpod_handler_turns", "Turns of python handlers by outcome", ["outcome"])
TURNS_DONE = _TURNS.labels(outcome="done")
TURNS_FAILED = _TURNS.labels(outcome="failed")
TURNS_TIMED_OUT = _TURNS.labels(outcome="timeout")
TURNS_KILLED = _TURNS.labels(outcome="killed")
RESTARTS = Counter("comanda_botpod_handler_restarts", "Processes of python handlers started anew after one died")
