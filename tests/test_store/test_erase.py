"""Erasing a tenant: all of it, nothing of others, in slices, on both databases."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

from comanda_store import EventItem, PublishedTenant, Store, TenantScope
from comanda_store.erase import ORDER as TABLES
from comanda_store.sql import METADATA
from tests.postgres import DatabaseUrls
from tests.test_store.conftest import Database
from tests.test_store.test_isolation import fill
from tests.test_store.test_store import MESSAGE

NAPOLI, FAROL = TenantScope("shop/napoli", "11"), TenantScope("shop/farol", "22")


async def live(store: Store, scope: TenantScope) -> None:
    """Let a tenant have rows in its tables."""
    published = PublishedTenant(scope.tenant, scope.phone_number_id, "9", "X", "standard", "f1", "{}", "m1", "{}")
    await store.publish([published], "tests")
    await fill(store, scope)
    await store.ingest([EventItem(scope.tenant, scope.phone_number_id, "k", "user_preferences", "{}")])


async def rows(db: Database, scope: TenantScope) -> dict[str, int]:
    """Count a tenant's rows by table."""
    counts = {}
    for table in TABLES:
        ((count,),) = await db.sql(f"select count(*) from {table} where tenant = '{scope.tenant}'")
        counts[table] = int(count)
    return counts


def test_every_table_with_a_tenant_is_named() -> None:
    assert set(TABLES) == {table.name for table in METADATA.tables.values() if "tenant" in table.columns}


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_a_tenant_is_erased_whole_and_no_other_is_touched(store: Store, db: Database, limit: int) -> None:
    await live(store, NAPOLI)
    await live(store, FAROL)
    before, other = await rows(db, NAPOLI), await rows(db, FAROL)
    assert sum(count > 0 for count in before.values()) >= len(TABLES) - 2
    gone = 0
    while count := await store.erase(NAPOLI, limit=limit):
        assert count <= limit
        gone += count
    assert gone == sum(before.values())
    assert sum((await rows(db, NAPOLI)).values()) == 0
    assert await rows(db, FAROL) == other


async def test_a_tenant_that_was_erased_may_come_back(store: Store, db: Database) -> None:
    await live(store, NAPOLI)
    while await store.erase(NAPOLI):
        pass
    item = replace(MESSAGE, tenant=NAPOLI.tenant, phone_number_id=NAPOLI.phone_number_id)
    (ingested,) = await store.ingest([item])
    assert not ingested.duplicate
    assert (await rows(db, NAPOLI))["inbox"] == 1


async def test_ids_that_went_to_others_are_not_taken_for_those_who_had_them(store: Store, db: Database) -> None:
    mine = replace(MESSAGE, tenant=NAPOLI.tenant, phone_number_id=NAPOLI.phone_number_id)
    others = replace(MESSAGE, tenant=FAROL.tenant, phone_number_id=FAROL.phone_number_id, phone="56933334444")
    await store.ingest([mine])
    while await store.erase(NAPOLI):
        pass
    await store.ingest([others])
    await store.ingest([mine])
    owners = await db.sql("select i.tenant, k.tenant from inbox i join customers k on k.id = i.customer_id order by 1")
    assert owners == [(FAROL.tenant, FAROL.tenant), (NAPOLI.tenant, NAPOLI.tenant)]


async def test_who_names_no_tenant_erases_nothing(database: DatabaseUrls) -> None:
    connection = await asyncpg.connect(database.service, timeout=10)
    with pytest.raises(asyncpg.PostgresError, match="needs a tenant"):
        await connection.fetchval("select comanda_erase('11', 10)")
    await connection.close()
