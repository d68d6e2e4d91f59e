"""Opening the embedded database: SQLite with write-ahead log and full sync, migrated, and proven to be durable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, StaticPool, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from comanda_store.errors import StorageError, WeakDurabilityError
from comanda_store.migrate import upgrade
from comanda_store.sqlite.checkpoints import LAST_RESORT_PAGES

BUSY_SECONDS = 5
"""How long a write waits for another process of the group that is writing."""


def sqlite_url(path: Path) -> str:
    """Return the database URL of a SQLite file."""
    return f"sqlite+pysqlite:///{path}"


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """Open a SQLite database on one connection; the folder must exist. Raises `StorageError` for another kind of one.

    Transactions begin with BEGIN IMMEDIATE, so that two processes queue for the write lock instead of failing on it.
    """
    if not url.startswith("sqlite+pysqlite:///"):
        raise StorageError(
            "This is no URL of a SQLite file.",
            hint="Use a URL such as sqlite+pysqlite:////data/comanda.db.",
        )
    arguments = {"timeout": BUSY_SECONDS, "check_same_thread": False, "cached_statements": 256}
    engine = create_engine(url, poolclass=StaticPool, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
        if read_only:
            connection.execute("PRAGMA query_only = ON")
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LAST_RESORT_PAGES}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def check_durability(engine: Engine) -> None:
    """Read the settings back from the database. Raises `WeakDurabilityError` that names the weak one."""
    with engine.connect() as connection:
        journal = str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
        synchronous = int(connection.execute(text("PRAGMA synchronous")).scalar_one())
    if journal.lower() != "wal":
        raise WeakDurabilityError(f"journal_mode is {journal}, it must be wal.", hint="Put the data on a local disk.")
    if synchronous < 2:
        raise WeakDurabilityError(f"synchronous is {synchronous}, it must be 2 (FULL) or more.")


def migrate(engine: Engine) -> None:
    """Bring the schema to this version; several processes may do so at once. Raises `StorageError`."""
    try:
        # The transaction begins IMMEDIATE, so a second process waits here and then finds nothing left to do.
        with engine.begin() as connection:
            upgrade(connection)
    except SQLAlchemyError as error:
        raise StorageError(f"The schema could not be brought up to date ({error.__cause__ or error}).") from error
