"""Row-level security on PostgreSQL: whatever a pod asks for, it sees the rows of one tenant."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from comanda_store import Claim, FencedError, Finished, PendingSend, SendResult, Store, TenantScope
from comanda_store.postgres.schema import TENANT_TABLES
from tests.postgres import DatabaseUrls
from tests.postgres.server import OWNER, SERVICE
from tests.test_store.test_store import MESSAGE, ORDER, PACE, result, status

A, B = TenantScope("shop/a", "11"), TenantScope("shop/b", "22")
WITHOUT_TENANTS = {"workers", "alembic_version"}


@pytest.fixture
async def store(database: DatabaseUrls) -> AsyncIterator[Store]:
    opened = await Store.open(database.service, pod="pod-0", incarnation="pod-0:1")
    yield opened
    await opened.close()


@pytest.fixture
async def service(database: DatabaseUrls) -> AsyncIterator[Any]:
    """A connection as the pods have it, for whoever gets hold of one."""
    connection = await asyncpg.connect(database.service, timeout=10)
    yield connection
    await connection.close()


async def fill(store: Store, scope: TenantScope, count: int = 3) -> list[PendingSend]:
    """Let a tenant have rows in every table that a turn writes to."""
    sends: list[PendingSend] = []
    for index in range(count):
        item = replace(
            MESSAGE, tenant=scope.tenant, phone_number_id=scope.phone_number_id, wamid=f"{scope.tenant}-{index}"
        )
        (ingested,) = await store.ingest([item])
        claim = await store.claim(scope, ingested.customer_id)
        assert isinstance(claim, Claim)
        sends += (await store.finish(claim, result("{}", order=ORDER), PACE)).sends
    told = replace(status("sent"), tenant=scope.tenant, phone_number_id=scope.phone_number_id, category="service")
    await store.ingest([told])
    return sends


async def test_every_table_has_a_policy_that_binds_its_owner_too(database: DatabaseUrls) -> None:
    rows = await database.sql(
        "select relname, relrowsecurity, relforcerowsecurity,"
        " (select count(*) from pg_policy where polrelid = c.oid and polname = 'tenant_named')"
        " from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
    )
    found = {str(name): (on, forced, policies) for name, on, forced, policies in rows}
    assert {name for name, isolated in found.items() if isolated != (True, True, 1)} == WITHOUT_TENANTS
    assert set(TENANT_TABLES) == set(found) - WITHOUT_TENANTS
    columns = await database.sql("select table_name from information_schema.columns where column_name = 'tenant'")
    assert set(TENANT_TABLES) == {str(name) for (name,) in columns}


async def test_the_service_is_neither_owner_nor_above_the_rules(database: DatabaseUrls) -> None:
    assert await database.sql(
        "select rolname, rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = $1", SERVICE
    ) == [(SERVICE, False, False, False)]
    owners = await database.sql("select distinct tableowner from pg_tables where schemaname = 'public'")
    assert owners == [(OWNER,)]


async def test_without_a_tenant_there_are_no_rows(store: Store, service: Any, database: DatabaseUrls) -> None:
    await fill(store, A)
    for table in TENANT_TABLES:
        assert await service.fetchval(f"select count(*) from {table}") == 0, table
    owner = await asyncpg.connect(database.owner, timeout=10)
    for table in TENANT_TABLES:
        assert await owner.fetchval(f"select count(*) from {table}") == 0, table
    await owner.close()


async def test_a_duty_that_the_service_gives_itself_opens_nothing(store: Store, service: Any) -> None:
    await fill(store, A)
    async with service.transaction():
        await service.execute("select set_config('comanda.duty', 'ingest', true)")
        for table in TENANT_TABLES:
            assert await service.fetchval(f"select count(*) from {table}") == 0, table


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_rows_of_another_tenant_cannot_be_written(service: Any, table: str) -> None:
    async with service.transaction():
        await service.execute("select set_config('comanda.tenant', $1, true)", A.tenant)
        given = await service.fetchval(
            "select string_agg(attname, ', ') from pg_attribute"
            " where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = ''",
            table,
        )
        row = f"jsonb_populate_record(null::{table}, jsonb_build_object('tenant', '{B.tenant}'))"
        with pytest.raises(asyncpg.PostgresError) as refused:
            await service.execute(f"insert into {table} ({given}) select {given} from {row}")
    # Either the service has no right to insert there at all, or the row is another tenant's.
    assert refused.value.sqlstate == "42501"


async def test_the_service_cannot_store_messages_but_through_the_one_function(service: Any) -> None:
    for table in ("inbox", "statuses", "customers", "customer_aliases", "costs", "account_events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(f"insert into {table} default values")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(f"delete from {table}")


async def test_no_operation_crosses_tenants(store: Store, database: DatabaseUrls) -> None:
    """100,000 operations with the ids of one tenant and the scope of another, mixed into commits with rightful ones."""
    theirs = await fill(store, B, 40)
    await fill(store, A, 4)
    (waiting,) = await store.ingest(
        [replace(MESSAGE, tenant=B.tenant, phone_number_id=B.phone_number_id, wamid="b-waiting")]
    )
    claim = await store.claim(B, waiting.customer_id)
    assert isinstance(claim, Claim)
    before = await snapshot(database, B.tenant)
    draw = random.Random(4)
    stolen_claim = replace(claim, tenant=A.tenant, phone_number_id=A.phone_number_id)
    stolen_sends = [replace(send, tenant=A.tenant, phone_number_id=A.phone_number_id) for send in theirs]
    crossed = 0
    for _ in range(400):
        attempts: list[Any] = []
        for _ in range(250):
            send = draw.choice(stolen_sends)
            match draw.randrange(5):
                case 0:
                    attempts.append(store.claim(A, waiting.customer_id))
                case 1:
                    attempts.append(store.finish(stolen_claim, result("{}", order=ORDER), PACE))
                case 2:
                    attempts.append(store.begin_send(send, PACE))
                case 3:
                    attempts.append(store.finish_send(send, SendResult("failed", error_code=1, unreachable=1)))
                case _:
                    attempts.append(store.release(stolen_claim, "stolen", counted=False))
        crossed += sum(isinstance(outcome, Claim | Finished) for outcome in await gathered(attempts))
    assert crossed == 0
    assert await snapshot(database, B.tenant) == before
    assert await store.list_orders(A) == [order for order in await store.list_orders(A) if order.tenant == A.tenant]
    assert len(await store.list_orders(B)) == 40


async def gathered(attempts: list[Any]) -> list[Any]:
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    unexpected = [each for each in outcomes if isinstance(each, Exception) and not isinstance(each, FencedError)]
    assert not unexpected, unexpected[:3]
    return outcomes


async def snapshot(database: DatabaseUrls, tenant: str) -> dict[str, Any]:
    digest = "md5(coalesce(string_agg(t::text, '|' order by t::text), ''))"
    return {
        table: await database.sql(f"select {digest} from {table} t where tenant = $1", tenant)
        for table in TENANT_TABLES
    }
