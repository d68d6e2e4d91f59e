"""What is done for every message, or every second, must not read a whole table."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from comanda_store import Claim, InboundItem, Pace, SendResult, StatusItem, Store, TenantScope, TurnResult
from comanda_store.sqlite.engine import sqlite_url
from tests.harness import until
from tests.postgres import DatabaseUrls

SMALL = {"workers", "json_each"}
"""Tables with a row a pod, and lists that a statement is given: reading them whole is right."""

KEPT = 20_000
"""Messages that are done with, each of a customer, with a send and a status."""
_FILL = f"""
    insert into customers (id, tenant, name, created_at)
      select n, 'a/b' || n % 50, '', 1 from generate_series(1, {KEPT}) n;
    select setval('customers_id_seq', {KEPT});
    insert into customer_aliases (tenant, kind, value, customer_id)
      select 'a/b' || n % 50, 'phone', n, n from generate_series(1, {KEPT}) n;
    insert into conversations
      (customer_id, tenant, phone_number_id, flow_version, version, handover_until, last_inbound_at)
      select n, 'a/b' || n % 50, n % 50, 'f', 1, 0, 1 from generate_series(1, {KEPT}) n;
    insert into inbox (id, tenant, phone_number_id, wamid, customer_id, type, payload, contact, sent_at, received_at,
        state, owner, attempts)
      select n, 'a/b' || n % 50, n % 50, 'in' || n, n, 'text', '{{}}', '{{}}', 1, comanda_now(), 'done', 'old', 1
      from generate_series(1, {KEPT}) n;
    select setval('inbox_id_seq', {KEPT});
    insert into outbox (tenant, phone_number_id, inbox_id, position, customer_id, payload, state, owner, attempts,
        ambiguous, wamid, created_at, updated_at)
      select 'a/b' || n % 50, n % 50, n, 0, n, '{{}}', 'read', 'old', 1, 0, 'sent' || n, 1, 1
      from generate_series(1, {KEPT}) n;
    insert into statuses (phone_number_id, wamid, status, tenant, payload, received_at)
      select n % 50, 'sent' || n, 'read', 'a/b' || n % 50, '{{}}', comanda_now() from generate_series(1, {KEPT}) n;
"""
_READ = """
    select coalesce(t.relname || ' by ' || i.indexrelname, t.relname), coalesce(i.idx_tup_read, t.seq_tup_read)
    from pg_stat_user_tables t left join pg_stat_user_indexes i using (relid)
    union all select relname, seq_tup_read from pg_stat_user_tables
"""


async def _do_all_that_pods_do(store: Store) -> None:
    """Take a message in, answer it, hear of the answer; and do once what is done every second."""
    scope = TenantScope("a/b", "11")
    message = InboundItem("a/b", "11", "w1", "569", "CL.1", "Ana", "text", "{}", "{}", 2_000_000_000_000)
    (stored,) = await store.ingest([message])
    claim = await store.claim(scope, stored.customer_id)
    assert isinstance(claim, Claim)
    send, second = (await store.finish(claim, TurnResult(b"{}", "f", 0, ("{}", "{}")), Pace(80))).sends
    await store.begin_send(second, Pace(80))
    await store.finish_send(send, SendResult("sent", wamid="out1"))
    status = StatusItem("a/b", "11", "out1", "read", 3, send.outbox_id, "{}", category="service")
    untagged = StatusItem("a/b", "11", "out1", "delivered", 2, 0, "{}")
    failed = StatusItem("a/b", "11", "out1", "failed", 0, send.outbox_id, "{}")
    await store.ingest([status, untagged, failed])
    await asyncio.gather(store.heartbeat(), store.take_over(), store.fire_timers(), store.backlog())
    await store.purge()


async def test_no_statement_of_the_hot_path_reads_a_whole_table(tmp_path: Path) -> None:
    store = await Store.open(sqlite_url(tmp_path / "c.db"), pod="pod", incarnation="me")
    seen: list[str] = []
    database: sqlite3.Connection = store._backend._database  # type: ignore[attr-defined]
    database.set_trace_callback(seen.append)
    await _do_all_that_pods_do(store)
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


async def test_postgresql_reads_little_of_what_is_done_with(database: DatabaseUrls) -> None:
    """By the server's own count of what was read, since functions hide the plans of their statements."""
    connection = await asyncpg.connect(database.superuser, timeout=10)
    await connection.execute(_FILL)
    await connection.execute("analyze")
    await connection.execute("select pg_stat_force_next_flush()")
    await connection.execute("select pg_stat_reset()")
    store = await Store.open(database.service, pod="pod", incarnation="me")
    await _do_all_that_pods_do(store)
    await store.close()

    async def all_is_counted() -> bool:
        # What a connection has read is counted when it ends, at the latest.
        return not await database.sql("select 1 from pg_stat_activity where application_name = 'comanda'")

    await until(all_is_counted, 10, "the store's connections end")
    read = {str(name): int(rows) for name, rows in await connection.fetch(_READ)}
    await connection.close()
    assert sum(read.values()) > 10
    assert {name: rows for name, rows in read.items() if rows > KEPT // 100} == {}
