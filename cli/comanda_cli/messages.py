"""`comanda messages`: the messages that staff has to look at because their handler failed too often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from comanda_cli.local.layout import Layout
from comanda_contract.errors import InvalidInputError
from comanda_store import StorageError, TenantScope, parked
from comanda_store.sqlite.engine import open_engine, sqlite_url
from comanda_store.store import call_once

T = TypeVar("T")
COLUMNS = (("id", "ID"), ("tenant", "RESTAURANT"), ("at", "RECEIVED (UTC)"), ("type", "TYPE"), ("problem", "PROBLEM…"))


def parked_rows(data_dir: Path, tenant: str, database_url: str | None) -> list[dict[str, Any]]:
    """Return a tenant's parked messages, the oldest first. Raises `InvalidInputError` or `StorageError`."""
    found = _in_databases(data_dir, tenant, database_url, lambda connection: parked.list_parked(connection, tenant))
    return [
        {
            "id": message.inbox_id,
            "tenant": tenant,
            "at": datetime.fromtimestamp(message.received_at / 1000, UTC).strftime("%m-%d %H:%M"),
            "type": message.type,
            "problem": message.problem,
        }
        for messages in found
        for message in messages
    ]


def retry(data_dir: Path, tenant: str, database_url: str | None, message: int, actor: str) -> bool:
    """Let a parked message be tried again by the pods; False when the tenant has no such one."""
    return any(
        _in_databases(
            data_dir, tenant, database_url, lambda connection: parked.retry(connection, tenant, message, actor)
        )
    )


def _in_databases(
    data_dir: Path, tenant: str, database_url: str | None, operation: Callable[[Connection], T]
) -> list[T]:
    if database_url is not None:
        return [asyncio.run(call_once(database_url, TenantScope(tenant, ""), operation))]
    databases = Layout(data_dir).databases()
    if not databases:
        raise InvalidInputError(
            "--data-dir",
            f"{data_dir} holds no data.",
            hint="Give the folder that comanda up was started with, or --database-url.",
        )
    return [_in_file(database, operation) for database in databases]


def _in_file(database: Path, operation: Callable[[Connection], T]) -> T:
    engine = open_engine(sqlite_url(database))
    try:
        with engine.begin() as connection:
            return operation(connection)
    except SQLAlchemyError as error:
        raise StorageError(f"{database} cannot be used ({error.__cause__ or error}).") from error
    finally:
        engine.dispose()
