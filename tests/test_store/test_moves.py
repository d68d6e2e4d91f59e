"""A tenant's data move to another database: whole, once, to and from both kinds, and nobody does them twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from comanda_contract.moves import PARTS, REST, Row
from comanda_store import (
    AliasLink,
    Claim,
    FencedError,
    NewTimer,
    PublishedTenant,
    Refused,
    SendResult,
    StatusItem,
    Store,
    TenantScope,
    Timing,
)
from comanda_store.erase import ORDER as TABLES
from tests.postgres import DatabaseUrls, PostgresServer
from tests.test_store.conftest import Database, PostgresDatabase, SqliteFile
from tests.test_store.test_erase import FAROL, NAPOLI, live, rows
from tests.test_store.test_store import MESSAGE, ORDER, PACE, result, status

MOVE = "shop/pool-a>shop/pool-b@2026-11-28T10:00:00Z"
OF_NAPOLI = replace(MESSAGE, tenant=NAPOLI.tenant, phone_number_id=NAPOLI.phone_number_id)
SOON = Timing(lease_ms=60_000, unknown_ms=60_000)


class Side:
    """One of the two databases with a pod on it."""

    def __init__(self, db: Database, store: Store) -> None:
        self.db, self.store = db, store

    async def facts(self, query: str) -> list[tuple[Any, ...]]:
        """Ask of Nápoli's rows, in the same words on both databases."""
        return await self.db.sql(query.replace(":tenant", f"'{NAPOLI.tenant}'"))


@pytest.fixture(params=["sqlite to postgresql", "postgresql to sqlite", "sqlite to sqlite", "postgresql to postgresql"])
async def sides(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer
) -> AsyncIterator[tuple[Side, Side]]:
    async with AsyncExitStack() as stack:
        made = []
        for name, kind in zip(("origin", "destination"), request.param.split(" to "), strict=True):
            db: Database = SqliteFile(tmp_path / f"{name}.db")
            if kind == "postgresql":
                urls: DatabaseUrls = await postgres.new_database()
                db = PostgresDatabase(urls)
            store = await Store.open(db.url, pod=name, incarnation=f"{name}:1", timing=SOON)
            stack.push_async_callback(store.close)
            made.append(Side(db, store))
        yield made[0], made[1]


async def copy(origin: Store, destination: Store, scope: TenantScope = NAPOLI) -> int:
    """Copy what is settled; returns how many rows."""
    count = 0
    for part in PARTS:
        after = None
        while True:
            page = await origin.export_page(scope, MOVE, part, after)
            await destination.import_page(scope, part, page.rows)
            count += len(page.rows)
            after = page.after
            if after is None:
                break
    return count


async def move(origin: Store, destination: Store, scope: TenantScope = NAPOLI) -> dict[str, list[Row]]:
    await origin.note_leaving(scope, MOVE)
    await copy(origin, destination, scope)
    rest = await origin.take_rest(scope, MOVE)
    assert await destination.arrive(scope, MOVE, rest)
    return rest


CONTENT = {
    "customers": "select name, created_at, unreachable_code, sends_to from customers where tenant = :tenant order by 2",
    "aliases": "select kind, value, since from customer_aliases where tenant = :tenant order by 1, 2",
    "conversations": "select flow_version, version, handover_until, last_inbound_at, pair_free_at, phone_number_id,"
    " length(state) from conversations where tenant = :tenant order by 4, 2",
    "inbox": "select wamid, type, payload, contact, sent_at, received_at, state, attempts, done_at, problem,"
    " phone_number_id from inbox where tenant = :tenant order by 1",
    "outbox": "select i.wamid, o.position, o.payload, o.state, o.attempts, o.ambiguous, o.due_at, o.wamid,"
    " o.error_code, o.created_at, o.updated_at from outbox o join inbox i on i.id = o.inbox_id"
    " where o.tenant = :tenant order by 1, 2",
    "orders": "select i.wamid, o.code, o.customer_name, o.address, o.latitude, o.longitude, o.notes, o.subtotal,"
    " o.total, o.payment, o.status, o.created_at, o.menu_version from orders o join inbox i on i.id = o.inbox_id"
    " where o.tenant = :tenant order by 1",
    "lines": "select i.wamid, l.position, l.sku, l.name, l.quantity, l.unit_price, l.total from order_lines l"
    " join orders o on o.id = l.order_id join inbox i on i.id = o.inbox_id where o.tenant = :tenant order by 1, 2",
    "statuses": "select wamid, status, payload, received_at from statuses where tenant = :tenant order by 1, 2",
    "costs": "select wamid, category, type, pricing_model, at from costs where tenant = :tenant order by 1",
    "events": "select key, field, payload, received_at from account_events where tenant = :tenant order by 1",
    "flows": "select version, document, created_at from flow_versions where tenant = :tenant order by 1",
    "menus": "select version, document, created_at from menu_versions where tenant = :tenant order by 1",
    "timers": "select due_at, payload from timers where tenant = :tenant order by 1",
    "pace": "select free_at_us from numbers where tenant = :tenant",
}


async def content(side: Side) -> dict[str, list[tuple[Any, ...]]]:
    return {name: await side.facts(query) for name, query in CONTENT.items()}


class TestCopying:
    async def test_all_of_a_tenant_arrives_and_nothing_of_another(self, sides: tuple[Side, Side]) -> None:
        origin, destination = sides
        # Ids on the other side are other ones.
        await live(destination.store, FAROL)
        before = await rows(destination.db, FAROL)
        await live(origin.store, NAPOLI)
        await live(origin.store, FAROL)
        claim = await turn(origin.store, "with-timer")
        await origin.store.finish(claim, replace(result("{}"), timers=(NewTimer(60_000, "later"),)))
        known = await content(origin)
        assert [name for name, found in known.items() if not found] == []
        await move(origin.store, destination.store)
        arrived = await content(destination)
        assert arrived == known
        assert await rows(destination.db, FAROL) == before
        missing = {table for table, count in (await rows(destination.db, NAPOLI)).items() if not count}
        assert missing <= {"tenants"}, f"of {set(TABLES)}; the pods write that one themselves"

    async def test_what_was_copied_already_is_not_there_twice(self, sides: tuple[Side, Side]) -> None:
        origin, destination = sides
        await live(origin.store, NAPOLI)
        assert await copy(origin.store, destination.store) == await copy(origin.store, destination.store)
        rest = (await move(origin.store, destination.store)).items()
        known = await rows(destination.db, NAPOLI)
        assert not await destination.store.arrive(NAPOLI, MOVE, dict(rest))
        assert await rows(destination.db, NAPOLI) == known
        assert (await content(destination))["outbox"] == await open_again(origin)

    async def test_more_than_a_page_arrives(self, sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("comanda_store.moves.PAGE_ROWS", 3)
        origin, destination = sides
        for index in range(10):
            item = replace(OF_NAPOLI, wamid=f"w{index}", phone=f"5690000{index:04}")
            (ingested,) = await origin.store.ingest([item])
            claim = await origin.store.claim(NAPOLI, ingested.customer_id)
            assert isinstance(claim, Claim)
            sends = (await origin.store.finish(claim, result("{}", "{}", order=ORDER), PACE)).sends
            await origin.store.finish_send(sends[0], SendResult("sent", wamid=f"out{index}"))
        known = await content(origin)
        await move(origin.store, destination.store)
        assert await content(destination) == known
        assert len(known["orders"]) == 10

    async def test_merged_customers_arrive_as_the_one_that_they_are(self, sides: tuple[Side, Side]) -> None:
        origin, destination = sides
        first = replace(OF_NAPOLI, wamid="first")
        second = replace(OF_NAPOLI, wamid="second", phone="56933334444")
        told = AliasLink("phone", "56911112222", "phone", "56933334444")
        merging = replace(OF_NAPOLI, wamid="told", type="system", state="silent", links=(told,))
        await origin.store.ingest([first, second])
        await origin.store.ingest([merging])
        await move(origin.store, destination.store)
        (kept,) = await destination.facts("select id from customers where tenant = :tenant")
        assert await destination.facts("select distinct customer_id from inbox where tenant = :tenant") == [kept]
        assert await destination.facts("select distinct customer_id from customer_aliases where tenant = :tenant") == [
            kept
        ]


async def open_again(origin: Side) -> list[tuple[Any, ...]]:
    """Return the origin's outbox as it was before its open sends were marked as moved."""
    marks = {
        row[:2]: row[2]
        for row in await origin.facts(
            "select i.wamid, o.position, o.owner from outbox o join inbox i on i.id = o.inbox_id"
            " where o.tenant = :tenant"
        )
    }
    return [
        (*row[:3], str(marks[row[:2]]).split(":")[1] if row[3] == "moved" else row[3], *row[4:])
        for row in (await content(origin))["outbox"]
    ]


async def turn(store: Store, wamid: str) -> Claim:
    (ingested,) = await store.ingest([replace(OF_NAPOLI, wamid=wamid)])
    claim = await store.claim(NAPOLI, ingested.customer_id)
    assert isinstance(claim, Claim)
    return claim


class TestWork:
    async def test_a_message_that_waits_is_answered_there_and_only_there(self, sides: tuple[Side, Side]) -> None:
        origin, destination = sides
        (ingested,) = await origin.store.ingest([OF_NAPOLI])
        await move(origin.store, destination.store)
        assert await origin.store.claim(NAPOLI, ingested.customer_id) is None
        (waiting,) = (await destination.store.take_over()).conversations
        assert waiting.scope == NAPOLI
        claim = await destination.store.claim(NAPOLI, waiting.customer_id)
        assert isinstance(claim, Claim)
        assert (claim.wamid, claim.payload, claim.phone) == (OF_NAPOLI.wamid, OF_NAPOLI.payload, OF_NAPOLI.phone)
        (repeated,) = await destination.store.ingest([OF_NAPOLI])
        assert repeated.duplicate

    async def test_a_pod_that_slept_through_the_move_writes_nothing(self, sides: tuple[Side, Side]) -> None:
        origin, destination = sides
        (sent, other) = (await origin.store.finish(await turn(origin.store, "early"), result("{}", "{}"))).sends
        claim = await turn(origin.store, "late")
        await move(origin.store, destination.store)
        with pytest.raises(FencedError):
            await origin.store.finish(claim, result("{}", order=ORDER))
        assert [await origin.store.begin_send(send, PACE) for send in (sent, other)] == [Refused("lost")] * 2
        taken = await destination.store.take_over()
        assert [send.payload for send in taken.sends] == ["{}", "{}"]
        assert {waiting.customer_id for waiting in taken.conversations} == {send.customer_id for send in taken.sends}
        assert await origin.store.take_over() == replace(taken, conversations=(), sends=())

    async def test_a_send_under_way_is_of_unknown_outcome_there(self, sides: tuple[Side, Side]) -> None:
        origin, destination = sides
        finished = await origin.store.finish(await turn(origin.store, "w"), result("{}"), PACE)
        assert finished.first is not None
        await move(origin.store, destination.store)
        assert (await destination.store.take_over()).sends == ()
        assert await destination.facts("select state from outbox where tenant = :tenant") == [("unknown",)]
        # Meta's id is known of it once a status came; it settles what is there.
        await origin.store.finish_send(finished.sends[0], SendResult("sent", wamid="out"))
        assert await destination.facts("select state from outbox where tenant = :tenant") == [("unknown",)]

    async def test_a_status_of_what_was_sent_before_finds_its_message(self, sides: tuple[Side, Side]) -> None:
        origin, destination = sides
        (send,) = (await origin.store.finish(await turn(origin.store, "w"), result("{}"), PACE)).sends
        await origin.store.finish_send(send, SendResult("sent", wamid="out1"))
        await move(origin.store, destination.store)
        read: StatusItem = replace(status("read"), tenant=NAPOLI.tenant, phone_number_id=NAPOLI.phone_number_id)
        await destination.store.ingest([read])
        assert await destination.facts("select state from outbox where tenant = :tenant") == [("read",)]

    async def test_a_timer_rings_there_though_another_had_its_number(self, sides: tuple[Side, Side]) -> None:
        origin, destination = sides
        for wamid in ("w1", "w2"):
            claim = await turn(origin.store, wamid)
            await origin.store.finish(claim, replace(result(), timers=(NewTimer(0, wamid),)))
            if wamid == "w1":
                (rung,) = await origin.store.fire_timers()
                fired = await origin.store.claim(NAPOLI, rung.customer_id)
                assert isinstance(fired, Claim)
                await origin.store.finish(fired, result())
        await move(origin.store, destination.store)
        (waiting,) = await destination.store.fire_timers()
        rings = await destination.store.claim(NAPOLI, waiting.customer_id)
        assert isinstance(rings, Claim)
        assert (rings.type, rings.payload) == ("timer", "w2")

    async def test_a_move_back_brings_everything_back(self, sides: tuple[Side, Side]) -> None:
        origin, destination = sides
        await live(origin.store, NAPOLI)
        known = await content(origin)
        await move(origin.store, destination.store)
        while await origin.store.erase(NAPOLI):
            pass
        await move(destination.store, origin.store)
        assert await content(origin) == known


class TestStanding:
    async def test_it_tells_what_a_database_has_of_a_move(self, sides: tuple[Side, Side]) -> None:
        origin, destination = (side.store for side in sides)
        assert not (await origin.standing(NAPOLI, MOVE)).left
        await origin.note_leaving(NAPOLI, MOVE)
        await origin.note_leaving(NAPOLI, MOVE)
        assert (await origin.standing(NAPOLI, MOVE)).left
        assert not (await origin.standing(NAPOLI, MOVE + "later")).left
        await destination.arrive(NAPOLI, MOVE, await origin.take_rest(NAPOLI, MOVE))
        assert (await destination.standing(NAPOLI, MOVE)).arrived
        assert not (await destination.standing(NAPOLI, MOVE)).left, "the origin's own entry stays there"
        assert set(REST) <= set(await origin.take_rest(NAPOLI, MOVE))

    async def test_two_groups_on_one_database_are_told_apart_from_a_copy(self, database: DatabaseUrls) -> None:
        pods = [await Store.open(database.service, pod=name, incarnation=f"{name}:1") for name in ("a-0", "b-0")]
        await pods[0].note_leaving(NAPOLI, MOVE)
        assert (await pods[1].standing(NAPOLI, MOVE)).left
        for pod in pods:
            await pod.close()


async def test_who_names_no_tenant_writes_nothing(database: DatabaseUrls) -> None:
    connection = await asyncpg.connect(database.service, timeout=10)
    with pytest.raises(asyncpg.PostgresError, match="needs a tenant"):
        await connection.fetchval("select comanda_import('inbox', '11', '[]')")
    await connection.close()


async def test_rows_cannot_be_written_as_another_tenants(database: DatabaseUrls) -> None:
    store = await Store.open(database.service, pod="pod-0", incarnation="pod-0:1")
    published = PublishedTenant(FAROL.tenant, FAROL.phone_number_id, "9", "X", "standard", "f1", "{}", "m1", "{}")
    await store.publish([published], "tests")
    row = {"version": "f9", "document": "{}", "created_at": 1, "tenant": FAROL.tenant}
    await store.import_page(NAPOLI, "flow_versions", [row])
    assert await database.sql("select tenant from flow_versions where version = 'f9'") == [(NAPOLI.tenant,)]
    await store.close()
