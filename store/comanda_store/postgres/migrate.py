"""Migrating a PostgreSQL database, by its owner, once, however many ask for it at the same time."""

from __future__ import annotations

import asyncio
import re
import ssl
from time import monotonic

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from comanda_store.errors import StorageError
from comanda_store.migrate import upgrade
from comanda_store.postgres import schema
from comanda_store.postgres.connect import asyncpg_url, open_engine

_LOCK = 0x636F6D616E6461
"""The advisory lock that whoever migrates holds: the letters of the product's name."""
_CONNECT_SECONDS = 10
_RETRY_SECONDS = 0.5
_NOT_THERE_YET = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidCatalogNameError,
)
"""Nobody listens, the name is not known, the server is starting, or still makes its databases."""


async def migrate(owner_url: str, service_role: str, *, wait_seconds: float = 0.0) -> None:
    """Bring schema, functions and rights to this version. Raises `StorageError`.

    `service_role` is the role that the pods connect as; it must exist and must not be the owner. A server that is not
    there yet is waited for, for `wait_seconds` at most.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", service_role):
        raise StorageError(f"{service_role!r} is no role name.", hint="Use letters, digits and underscores.")
    engine = open_engine(owner_url, seconds=_CONNECT_SECONDS)
    try:
        await _until_it_answers(engine, wait_seconds)
        async with engine.begin() as connection:
            # Held to the end of the transaction: whoever comes second waits here and finds nothing left to do.
            await connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_refuse_owner, service_role)
            await connection.run_sync(upgrade)
            raw = await connection.get_raw_connection()
            driver = raw.driver_connection
            assert isinstance(driver, asyncpg.Connection)  # noqa: S101 - what the engine's URL asks for
            for script in (*schema.function_files(), *schema.grants(f'"{service_role}"')):
                await driver.execute(script)
    except (SQLAlchemyError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise StorageError(
            f"The schema could not be brought up to date ({type(error).__name__}: {_first_line(error)}).",
            hint=f"Migrate {redacted(owner_url)} as the owner of its database.",
        ) from None
    finally:
        await engine.dispose()


async def _until_it_answers(engine: AsyncEngine, seconds: float) -> None:
    """Connect once, trying again for so long while nobody is there. Raises what the last try failed by."""
    until = monotonic() + seconds
    while True:
        try:
            async with engine.connect():
                return
        except ssl.SSLError:
            raise  # it is there, and waiting makes its certificate no better
        except _NOT_THERE_YET:
            if monotonic() >= until:
                raise
        await asyncio.sleep(_RETRY_SECONDS)


def _refuse_owner(connection: Connection, service_role: str) -> None:
    row = connection.execute(
        text("select r.rolname = current_user, r.rolsuper or r.rolbypassrls from pg_roles r where r.rolname = :role"),
        {"role": service_role},
    ).one_or_none()
    if row is None:
        raise StorageError(f"There is no role {service_role}.", hint=f'CREATE ROLE "{service_role}" LOGIN PASSWORD …')
    if row[0] or row[1]:
        raise StorageError(
            f"The role {service_role} owns the tables or may see all rows: it would not be held to one tenant.",
            hint="Let the pods connect as another role, without SUPERUSER and BYPASSRLS.",
        )


def redacted(url: str) -> str:
    """Return a database URL without its password."""
    return re.sub(r"://([^:@/]*):[^@/]*@", r"://\1:…@", asyncpg_url(url))


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
