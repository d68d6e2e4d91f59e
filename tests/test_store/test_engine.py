from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from comanda_store import StorageError, Store, WeakDurabilityError, migrations
from comanda_store.sql import METADATA
from comanda_store.sqlite.engine import check_durability, migrate, open_engine, sqlite_url
from tests.test_store.test_store import MESSAGE, ORDER, SCOPE, one_turn, result


def test_migrations_make_what_the_tables_say(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "c.db"))
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_several_processes_may_migrate_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from comanda_store.sqlite.engine import migrate, open_engine, sqlite_url\n"
        "migrate(open_engine(sqlite_url(Path(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "c.db")]
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: subprocess.run(command, capture_output=True, check=False), range(4)))
    assert [run.returncode for run in runs] == [0] * 4, runs[0].stderr


def test_several_pods_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from comanda_store import Store\n"
        "asyncio.run(Store.open(sys.argv[1], pod=sys.argv[2], incarnation=sys.argv[2]))"
    )
    for attempt in range(3):
        url = sqlite_url(tmp_path / f"{attempt}.db")
        pods = [
            subprocess.Popen([sys.executable, "-c", code, url, f"pod-{n}"], stderr=subprocess.PIPE, text=True)
            for n in range(4)
        ]
        said = [pod.communicate(timeout=60)[1] for pod in pods]
        assert [pod.returncode for pod in pods] == [0] * 4, said


def test_our_own_settings_are_durable(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "c.db"))
    check_durability(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("pragma", "word"),
    [("journal_mode = DELETE", "journal_mode is delete"), ("synchronous = NORMAL", "synchronous is 1")],
)
def test_weaker_settings_are_refused_by_name(tmp_path: Path, pragma: str, word: str) -> None:
    path = tmp_path / "c.db"
    sqlite3.connect(path).execute("pragma journal_mode = WAL").connection.close()
    engine = create_engine(sqlite_url(path))
    with engine.connect() as connection:
        connection.exec_driver_sql(f"pragma {pragma}")
        connection.commit()
        # The setting belongs to the connection, so the check must be handed this one back from the pool.
    with pytest.raises(WeakDurabilityError, match=word):
        check_durability(engine)
    engine.dispose()


async def test_another_kind_of_database_is_refused_with_a_sentence() -> None:
    with pytest.raises(StorageError, match="neither SQLite nor PostgreSQL"):
        await Store.open("mysql://localhost/x", pod="p", incarnation="p:1")


async def test_a_folder_that_does_not_exist_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        await Store.open(sqlite_url(tmp_path / "nowhere" / "c.db"), pod="p", incarnation="p:1")


async def test_a_full_disk_refuses_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    store = await Store.open(sqlite_url(tmp_path / "c.db"), pod="p", incarnation="p:1")
    try:
        await store.ingest([MESSAGE])
        await store._backend.call(None, lambda c: c.exec_driver_sql("pragma max_page_count = 1").all())
        large = [replace(MESSAGE, wamid=f"x{index}", payload="x" * 5000) for index in range(200)]
        outcomes = await asyncio.gather(*(store.ingest([item]) for item in large), return_exceptions=True)
        # Whatever was answered is stored, whatever was refused is not, and the refusal names the cause.
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert refused
        assert all(isinstance(outcome, StorageError) and "disk is full" in str(outcome) for outcome in refused)
        await store._backend.call(None, lambda c: c.exec_driver_sql("pragma max_page_count = 100000").all())
        again = await store.ingest(large)
        assert [each.duplicate for each in again] == [not isinstance(outcome, BaseException) for outcome in outcomes]
        assert (await store.ingest([MESSAGE]))[0].duplicate
    finally:
        await store.abandon()


async def test_an_error_says_nothing_of_the_customer(tmp_path: Path) -> None:
    store = await Store.open(sqlite_url(tmp_path / "c.db"), pod="p", incarnation="p:1")
    with pytest.raises(StorageError) as caught:
        await store.ingest([replace(MESSAGE, wamid=None, payload="canary-text", phone="56999999999")])  # type: ignore[arg-type]
    assert "canary" not in str(caught.value)
    assert "56999999999" not in str(caught.value)
    await store.close()


def test_the_first_schema_can_be_taken_back(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "c.db"))
    migrate(engine)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        tables = connection.exec_driver_sql("select name from sqlite_master where type = 'table'").scalars().all()
    engine.dispose()
    assert set(tables) <= {"alembic_version", "sqlite_sequence"}


async def test_what_was_learnt_in_a_batch_that_broke_is_forgotten_with_it(tmp_path: Path) -> None:
    store = await Store.open(sqlite_url(tmp_path / "c.db"), pod="pod-0", incarnation="pod-0:1")
    try:
        with pytest.raises(StorageError):
            await store.ingest([replace(MESSAGE, phone="56900000001", links=None)])  # type: ignore[arg-type]
        # The next customer gets the id that was taken back.
        (other,) = await store.ingest([replace(MESSAGE, wamid="w2", phone="56900000002")])
        (first,) = await store.ingest([replace(MESSAGE, wamid="w3", phone="56900000001")])
        assert first.customer_id != other.customer_id
    finally:
        await store.close()


async def test_the_schema_of_the_next_version_is_served_too(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "comanda.db")
    await (await Store.open(url, pod="pod-0", incarnation="pod-0:1")).close()
    # What the version after this one may do, by a pod of it that came first: add, with defaults.
    with closing(sqlite3.connect(tmp_path / "comanda.db")) as database, database:
        database.execute("ALTER TABLE inbox ADD COLUMN priority INTEGER NOT NULL DEFAULT 0")
        database.execute("ALTER TABLE outbox ADD COLUMN language TEXT")
        database.execute("CREATE TABLE promotions (tenant TEXT PRIMARY KEY)")
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    store = await Store.open(url, pod="pod-0", incarnation="pod-0:2")
    await one_turn(store, MESSAGE, result("{}", order=ORDER))
    assert len(await store.list_orders(SCOPE)) == 1
    await store.close()
