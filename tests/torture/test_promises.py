"""Customers order while pods and databases die, freeze and come back, and Meta misbehaves. `make torture` does more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.postgres import postgres_server
from tests.torture.run import overtaken, problems, run

SQLITE = (
    "kill_pod", "kill_both_pods", "freeze_pod", "kill_pod", "graph_down", "kill_pod", "stop_pod", "graph_slow",
    "kill_both_pods", "graph_refuses", "kill_pod", "kill_pod", "kill_both_pods",
)  # fmt: skip
POSTGRESQL = (
    "kill_pod", "kill_database", "freeze_pod", "kill_both_pods", "freeze_database", "kill_database", "graph_down",
    "kill_pod", "kill_both_pods", "graph_refuses", "kill_database", "kill_pod", "stop_pod", "kill_both_pods",
)  # fmt: skip


@pytest.mark.timeout(400)
async def test_every_promise_is_kept_on_sqlite(tmp_path: Path) -> None:
    history, kills = await run(tmp_path, None, seed=1, faults=SQLITE)
    assert problems(history) == []
    assert kills >= 10
    assert overtaken(history) >= 5
    assert len(history.orders) > 20


@pytest.mark.timeout(400)
async def test_every_promise_is_kept_on_postgresql(tmp_path: Path) -> None:
    with postgres_server() as server:
        await server.accepts()
        await server.prepare()
        history, kills = await run(tmp_path, server, seed=2, faults=POSTGRESQL)
    assert problems(history) == []
    assert kills >= 10
    assert overtaken(history) >= 5
    assert len(history.orders) > 20
