"""`comanda messages`: the messages that staff has to look at because their handler failed too often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from comanda_cli.local.layout import Layout
from comanda_contract.errors import InvalidInputError
from comanda_store import TenantScope, parked
from comanda_store.sqlite.engine import sqlite_url
from comanda_store.store import call_once

T = TypeVar("T")
COLUMNS = (("id", "ID"), ("tenant", "RESTAURANT"), ("at", "RECEIVED (UTC)"), ("type", "TYPE"), ("problem", "PROBLEM…"))


def parked_rows(data_dir: Path, tenant: str, database_url: str | None) -> list[dict[str, Any]]:
    """Return a tenant's parked messages, the oldest first. Raises `InvalidInputError` or `StorageError`."""
    found = in_databases(data_dir, tenant, database_url, lambda connection: parked.list_parked(connection, tenant))
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
        in_databases(
            data_dir, tenant, database_url, lambda connection: parked.retry(connection, tenant, message, actor)
        )
    )


def in_databases(
    data_dir: Path, tenant: str, database_url: str | None, operation: Callable[[Connection], T]
) -> list[T]:
    """Run an operation inside a tenant, in each database of a data folder or in the one of a URL.

    Raises `InvalidInputError` or `StorageError`.
    """
    urls = [database_url] if database_url is not None else [sqlite_url(path) for path in Layout(data_dir).databases()]
    if not urls:
        raise InvalidInputError(
            "--data-dir",
            f"{data_dir} holds no data.",
            hint="Give the folder that comanda up was started with, or --database-url.",
        )
    return [asyncio.run(call_once(url, TenantScope(tenant, ""), operation)) for url in urls]
