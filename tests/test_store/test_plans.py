"""What is done for every message, or every second, must not read a whole table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from comanda_store import (
    Claim,
    InboundItem,
    PendingSend,
    SendResult,
    StatusItem,
    TurnResult,
    inbox,
    outbox,
    turns,
    workers,
)
from comanda_store.engine import migrate, open_engine, sqlite_url

SMALL = {"workers"}
"""Tables with a row a pod: reading them whole is right."""


def test_no_statement_of_the_hot_path_reads_a_whole_table(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "c.db"))
    migrate(engine)
    seen: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:  # noqa: FBT001
        seen.append((statement, parameters))

    with engine.begin() as connection:
        message = InboundItem("a/b", "11", "w1", "569", "CL.1", "Ana", "text", "{}", "{}", 1)
        status = StatusItem("a/b", "11", "out1", "read", 3, 1, "{}", category="service")
        failed = StatusItem("a/b", "11", "out1", "failed", 0, 1, "{}")
        workers.heartbeat(connection, "pod", "me")
        inbox.ingest(connection, {}, "me", [message, status, failed])
        claim = turns.claim(connection, "me", 1)
        assert isinstance(claim, Claim)
        (send,) = turns.finish(connection, "me", claim, TurnResult(b"{}", "f", 0, ("{}",)))
        assert isinstance(send, PendingSend)
        outbox.begin_send(connection, "me", send.outbox_id)
        outbox.finish_send(connection, "me", send, SendResult("sent", wamid="out1"))
        workers.take_over(connection, "me")
        statements = [(s, p) for s, p in seen if s.split()[0] in {"SELECT", "UPDATE", "DELETE"}]
        assert len(statements) > 12
        for statement, parameters in statements:
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
                step = str(row[3])
                scanned = step.split()[1] if step.startswith("SCAN") else ""
                # Going through a partial index reads what is open, which is little, and not the table.
                if scanned and scanned not in SMALL and "USING" not in step:
                    pytest.fail(f"{step}: {statement}")
    engine.dispose()
