"""A connection to PostgreSQL on which every wait has a limit, and which proves that what it commits is durable."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from comanda_store.errors import StorageError, WeakDurabilityError

CONNECT_SECONDS = 3.0
STATEMENT_SECONDS = 2.0
"""The server's own limit on a statement; the outer limit below holds when the server is frozen."""
LOCK_SECONDS = 1.0
IDLE_SECONDS = 5.0
"""How long a transaction may be left idle: a pod that is frozen inside one must not hold the others' rows."""
SILENCE_SECONDS = 10.0
"""How long sent bytes may stay unacknowledged before the kernel gives the connection up (TCP user timeout)."""
OUTER_SECONDS = 3.0
"""Our own limit on a transaction. asyncpg's does not return while the server is frozen, this one does."""

SETTINGS = {
    "application_name": "comanda",
    "statement_timeout": f"{int(STATEMENT_SECONDS * 1000)}",
    "lock_timeout": f"{int(LOCK_SECONDS * 1000)}",
    "idle_in_transaction_session_timeout": f"{int(IDLE_SECONDS * 1000)}",
    "tcp_user_timeout": f"{int(SILENCE_SECONDS * 1000)}",
    "jit": "off",  # compiling costs more than any statement here takes
    # Every statement here looks up few rows by key. A plan made while the tables were small reads them whole, and a
    # function keeps its plan: with 10,000 customers that was ten times the work.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_DURABLE = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "local", "remote_write", "remote_apply"},
}


def asyncpg_url(url: str) -> str:
    """Return a database URL as asyncpg reads it."""
    return re.sub(r"^postgresql\+asyncpg://", "postgresql://", url)


def open_engine(url: str, *, seconds: float, settings: Mapping[str, str] | None = None, **pool: Any) -> AsyncEngine:
    """Return an engine whose connections asyncpg opens by the URL itself, as all others here are opened.

    What SQLAlchemy makes of a URL knows no `sslmode`, no `sslrootcert` and no second host. A connection is there after
    `seconds` or not at all; `settings` are the server's for it, `pool` what `create_async_engine` takes of a pool.
    """
    opener = partial(asyncpg.connect, asyncpg_url(url), timeout=seconds, server_settings=settings)
    return create_async_engine("postgresql+asyncpg://", async_creator=opener, **pool)


async def connect(url: str) -> asyncpg.Connection:
    """Open a connection with limits. Raises `StorageError` or `WeakDurabilityError`."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS + 1):
            connection = await asyncpg.connect(
                asyncpg_url(url), timeout=CONNECT_SECONDS, server_settings=SETTINGS, statement_cache_size=64
            )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        raise StorageError(
            f"The database cannot be reached ({type(error).__name__}).", hint="See docs/operations."
        ) from None
    try:
        _limit_silence(connection)
        await _check_durability(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _check_durability(connection: asyncpg.Connection) -> None:
    async with asyncio.timeout(OUTER_SECONDS):
        rows = await connection.fetch("select name, setting from pg_settings where name = any($1)", list(_DURABLE))
    for name, setting in rows:
        if setting not in _DURABLE[name]:
            raise WeakDurabilityError(
                f"{name} is {setting}: what is acknowledged could be lost.", hint=f"Set {name} = on in postgresql.conf."
            )


def _limit_silence(connection: asyncpg.Connection) -> None:
    transport = getattr(connection, "_transport", None)
    link: socket.socket | None = transport.get_extra_info("socket") if transport is not None else None
    if link is not None and link.family in {socket.AF_INET, socket.AF_INET6}:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SILENCE_SECONDS * 1000))
