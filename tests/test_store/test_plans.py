"""What is done for every message, or every second, must not read a whole table."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from comanda_store import Claim, InboundItem, Pace, SendResult, StatusItem, Store, TenantScope, TurnResult
from comanda_store.sqlite.engine import sqlite_url

SMALL = {"workers", "json_each"}
"""Tables with a row a pod, and lists that a statement is given: reading them whole is right."""


async def test_no_statement_of_the_hot_path_reads_a_whole_table(tmp_path: Path) -> None:
    store = await Store.open(sqlite_url(tmp_path / "c.db"), pod="pod", incarnation="me")
    seen: list[str] = []
    database: sqlite3.Connection = store._backend._database  # type: ignore[attr-defined]
    database.set_trace_callback(seen.append)
    scope = TenantScope("a/b", "11")
    message = InboundItem("a/b", "11", "w1", "569", "CL.1", "Ana", "text", "{}", "{}", 2_000_000_000_000)
    status = StatusItem("a/b", "11", "out1", "read", 3, 1, "{}", category="service")
    untagged = StatusItem("a/b", "11", "out1", "delivered", 2, 0, "{}")
    failed = StatusItem("a/b", "11", "out1", "failed", 0, 1, "{}")
    await store.ingest([message, status, untagged, failed])
    claim = await store.claim(scope, 1)
    assert isinstance(claim, Claim)
    send, second = (await store.finish(claim, TurnResult(b"{}", "f", 0, ("{}", "{}")), Pace(80))).sends
    await store.begin_send(second, Pace(80))
    await store.finish_send(send, SendResult("sent", wamid="out1"))
    await asyncio.gather(store.heartbeat(), store.take_over(), store.fire_timers())
    await store.purge()
    database.set_trace_callback(None)
    await store.close()
    statements = {line for line in seen if line.split()[0] in {"SELECT", "UPDATE", "DELETE"}}
    assert len(statements) > 20
    # Looked at with the values in place, as the trace has them: SQLite uses a partial index only when it can see that.
    with sqlite3.connect(tmp_path / "c.db") as connection:
        for statement in statements:
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                step = str(row[3])
                scanned = step.split()[1] if step.startswith("SCAN") else ""
                # Going through a partial index reads what is open, which is little, and not the table.
                if scanned and scanned not in SMALL and "USING" not in step:
                    pytest.fail(f"{step}: {statement}")
    connection.close()
