"""What only a server can do to a store: be weak, be migrated by several, freeze, die, come back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from comanda_store import Claim, InboundItem, PublishedTenant, StorageError, Store, WeakDurabilityError
from comanda_store.postgres.connect import OUTER_SECONDS, open_engine
from comanda_store.postgres.migrate import migrate
from comanda_store.sql import METADATA
from tests.harness import until
from tests.postgres import DatabaseUrls, PostgresServer, postgres_server
from tests.postgres.server import OWNER, SERVICE
from tests.test_store.test_store import MESSAGE, ORDER, SCOPE, claimed, one_turn, result


async def opened(urls: DatabaseUrls, pod: str = "pod-0") -> Store:
    return await Store.open(urls.service, pod=pod, incarnation=f"{pod}:1")


def _more_than(acknowledged: list[str], count: int) -> bool:
    return len(acknowledged) > count


@pytest.fixture
async def own_server() -> AsyncIterator[PostgresServer]:
    """A server that the test may freeze and kill."""
    with postgres_server() as server:
        await server.accepts()
        await server.prepare()
        yield server


class TestSchema:
    async def test_migrations_make_what_the_tables_say(self, database: DatabaseUrls) -> None:
        engine = open_engine(database.owner, seconds=10)

        def differences(connection: Connection) -> list[object]:
            return list(compare_metadata(MigrationContext.configure(connection), METADATA))

        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
        await engine.dispose()

    async def test_several_processes_may_migrate_at_once(self, postgres: PostgresServer) -> None:
        urls = await postgres.new_database(template="template0")
        code = (
            "import asyncio, sys; from comanda_store.postgres.migrate import migrate\n"
            "asyncio.run(migrate(sys.argv[1], sys.argv[2]))"
        )
        runs = [await asyncio.create_subprocess_exec(sys.executable, "-c", code, urls.owner, SERVICE) for _ in range(4)]
        assert [await run.wait() for run in runs] == [0] * 4
        store = await opened(urls)
        await store.close()

    async def test_a_url_may_name_several_hosts_of_which_one_is_away(self, postgres: PostgresServer) -> None:
        urls = await postgres.new_database(template="template0")
        owner, service = (url.replace("@", "@127.0.0.1:1,") for url in (urls.owner, urls.service))
        await migrate(owner, SERVICE)
        store = await Store.open(service, pod="pod-0", incarnation="pod-0:1")
        assert await store.list_orders(SCOPE) == []
        await store.close()

    async def test_an_empty_database_is_refused_with_what_to_do(self, postgres: PostgresServer) -> None:
        urls = await postgres.new_database(template="template0")
        with pytest.raises(StorageError, match=r"schema is empty") as refused:
            await opened(urls)
        assert "comanda db migrate" in refused.value.hint

    async def test_the_schema_of_the_next_version_is_served_too(self, database: DatabaseUrls) -> None:
        # What a next version may do: add columns with defaults, tables and indexes.
        for statement in (
            "alter table inbox add column priority int not null default 0",
            "alter table outbox add column language text not null default ''",
            "create table promotions (tenant text primary key)",
            "update alembic_version set version_num = '9999'",
        ):
            await database.sql(statement)
        store = await opened(database)
        await one_turn(store, MESSAGE, result("{}", order=ORDER))
        assert len(await store.list_orders(SCOPE)) == 1
        await store.close()

    async def test_the_schema_of_the_version_before_is_refused_with_what_to_do(self, database: DatabaseUrls) -> None:
        await database.sql("update alembic_version set version_num = '0001'")
        with pytest.raises(StorageError, match="schema is 0001, this version needs 0003") as refused:
            await opened(database)
        assert "comanda db migrate" in refused.value.hint

    async def test_the_pods_may_not_be_the_owner(self, postgres: PostgresServer) -> None:
        urls = await postgres.new_database(template="template0")
        for role, word in ((OWNER, "owns the tables"), ("postgres", "owns the tables"), ("nobody_at_all", "no role")):
            with pytest.raises(StorageError, match=word):
                await migrate(urls.owner, role)

    async def test_an_error_shows_no_password(self) -> None:
        with pytest.raises(StorageError) as refused:
            await migrate("postgresql://owner:canary-password@127.0.0.1:9/x", SERVICE)
        assert "canary" not in str(refused.value) + refused.value.hint


class TestDurability:
    async def test_a_role_that_does_not_wait_for_the_disk_is_refused_by_name(self, database: DatabaseUrls) -> None:
        name = database.service.rpartition("/")[2]
        await database.sql(f"alter role {SERVICE} in database {name} set synchronous_commit = off")
        with pytest.raises(WeakDurabilityError, match="synchronous_commit is off"):
            await opened(database)

    @pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
    async def test_a_weak_server_is_refused_by_name(self, setting: str) -> None:
        with postgres_server(f"{setting} = off") as server:
            await server.accepts()
            await server.prepare()
            with pytest.raises(WeakDurabilityError, match=f"{setting} is off"):
                await opened(await server.new_database())


class TestFaults:
    async def test_a_frozen_server_is_given_up_and_served_again_when_it_wakes(self, own_server: PostgresServer) -> None:
        store = await opened(await own_server.new_database())
        await store.ingest([MESSAGE])
        own_server.freeze()
        try:
            async with asyncio.timeout(3 * OUTER_SECONDS + 5):
                with pytest.raises(StorageError):
                    await store.ingest([replace(MESSAGE, wamid="w2")])
                with pytest.raises(StorageError):
                    await store.claim(SCOPE, 1)
                with pytest.raises(StorageError):
                    await store.list_orders(SCOPE)
        finally:
            own_server.thaw()
        assert (await store.ingest([MESSAGE]))[0].duplicate
        await store.ingest([replace(MESSAGE, wamid="w2")])
        await store.close()

    async def test_a_killed_server_keeps_what_was_acknowledged(self, own_server: PostgresServer) -> None:
        urls = await own_server.new_database()
        store = await opened(urls)
        acknowledged: list[str] = []

        async def write(lane: int) -> None:
            with suppress(StorageError):
                for index in range(100_000):
                    wamid = f"w{lane}-{index}"
                    await store.ingest([replace(MESSAGE, wamid=wamid)])
                    acknowledged.append(wamid)

        for _ in range(3):
            writing = [asyncio.create_task(write(lane + len(acknowledged))) for lane in range(8)]
            count = len(acknowledged)
            await until(partial(_more_than, acknowledged, count + 200), 30, "200 more are acknowledged")
            own_server.kill()
            await asyncio.gather(*writing)
            own_server.start()
            await own_server.accepts()
        stored = {wamid for (wamid,) in await urls.sql("select wamid from inbox")}
        assert set(acknowledged) <= stored
        # Without hands: the store finds its way back by itself.
        assert (await store.ingest([replace(MESSAGE, wamid=acknowledged[0])]))[0].duplicate
        await store.close()

    async def test_a_connection_cut_in_the_middle_is_replaced(self, database: DatabaseUrls) -> None:
        store = await opened(database)
        await store.ingest([MESSAGE])
        for _ in range(5):
            await database.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'comanda'"
                " and datname = current_database()"
            )
            with suppress(StorageError):
                await store.ingest([MESSAGE])
            assert (await store.ingest([MESSAGE]))[0].duplicate
        await store.close()

    @pytest.mark.parametrize(
        "message", [MESSAGE, replace(MESSAGE, at_once=True)], ids=["one statement", "a transaction of several"]
    )
    async def test_what_fails_when_it_is_committed_is_not_acknowledged(
        self, database: DatabaseUrls, message: InboundItem
    ) -> None:
        """An insert has been answered by then, which is no promise yet."""
        store = await opened(database)
        owner = await asyncpg.connect(database.owner, timeout=10)
        await owner.execute(
            "create function fail() returns trigger language plpgsql as"
            " $$ begin raise exception 'not to be committed' using errcode = 'check_violation'; end $$;"
            " create constraint trigger late after insert on inbox deferrable initially deferred"
            " for each row execute function fail()"
        )
        with pytest.raises(StorageError, match="CheckViolation"):
            await store.ingest([message])
        assert await database.sql("select wamid from inbox") == []
        await owner.execute("drop trigger late on inbox")
        (stored,) = await store.ingest([message])
        assert not stored.duplicate
        assert await database.sql("select wamid from inbox") == [(MESSAGE.wamid,)]
        await owner.close()
        await store.close()

    async def test_pods_that_meet_in_crossed_order_all_succeed(self, database: DatabaseUrls) -> None:
        pods = [await opened(database, f"pod-{index}") for index in range(3)]
        for turn in range(30):
            items = [replace(MESSAGE, wamid=f"{turn}-{n}", phone=f"56{turn:03}{n:03}") for n in range(60)]
            answers = await asyncio.gather(
                pods[0].ingest(items), pods[1].ingest(items[::-1]), pods[2].ingest(items[30:] + items[:30])
            )
            assert sum(not each.duplicate for answer in answers for each in answer) == 60
        assert await database.sql("select count(*) from inbox") == [(1800,)]
        assert await database.sql("select count(*) from customers") == [(1800,)]
        for pod in pods:
            await pod.close()

    async def test_a_row_that_somebody_else_holds_is_not_waited_for_for_ever(self, database: DatabaseUrls) -> None:
        store = await opened(database)
        (ingested,) = await store.ingest([MESSAGE])
        holder = await asyncpg.connect(database.superuser, timeout=10)
        async with holder.transaction():
            await holder.execute("select 1 from inbox for update")
            with pytest.raises(StorageError, match="LockNotAvailable"):
                await store.claim(SCOPE, ingested.customer_id)
        assert isinstance(await store.claim(SCOPE, ingested.customer_id), Claim)
        await holder.close()
        await store.close()

    async def test_a_pod_publishes_what_another_was_publishing_when_it_began(self, database: DatabaseUrls) -> None:
        store = await opened(database)
        napoli = PublishedTenant(SCOPE.tenant, SCOPE.phone_number_id, "w", "Napoli", "standard", "f1", "{}", "m1", "{}")
        waits = "pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"

        async def given_up_once() -> bool:
            return await database.sql(f"select pg_cancel_backend(pid) from (select {waits}) waiting") != []

        other = await asyncpg.connect(database.superuser, timeout=10)
        try:
            async with other.transaction():
                await other.execute(
                    "insert into flow_versions (tenant, version, document, created_at) values ($1, 'f1', '{}', 0)",
                    napoli.tenant,
                )
                published = asyncio.create_task(store.publish([napoli], "test"))
                await until(given_up_once, 10, "the server gave up waiting for the other")
        finally:
            await other.close()
        assert await published == 1
        assert await database.sql("select count(*) from flow_versions") == [(1,)]
        await store.close()

    async def test_a_text_that_postgresql_cannot_hold_does_not_stop_the_line(self, database: DatabaseUrls) -> None:
        store = await opened(database)
        odd = replace(MESSAGE, name="A\0na", contact='{"profile":{"name":"A\\u0000na"}}')
        (ingested,) = await store.ingest([odd])
        claim = await claimed(store, ingested.customer_id)
        await store.finish(claim, result('{"text":"\\u0000 \\\\u0000"}', order=replace(ORDER, notes="a\0b")))
        assert (await store.list_orders(SCOPE))[0].notes == "ab"
        assert await database.sql("select payload from outbox") == [('{"text":"\\u0000 \\\\u0000"}',)]
        await store.close()
