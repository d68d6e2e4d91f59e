"""What a database must be able to do for the store; SQLite and PostgreSQL each have a folder that does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from comanda_store.records import Backlog, Takeover, TenantScope, Waiting
from comanda_store.requests import Outcome, Request

T = TypeVar("T")


class Backend(Protocol):
    """One pod's way to its group's database. Everything is durable when it returns. All raise `StorageError`."""

    async def commit_ingests(self, group: Sequence[Request]) -> Sequence[Outcome]:
        """Run a group of `Ingest` requests in one transaction; one that fails takes back its own changes alone."""
        ...

    async def commit_work(self, group: Sequence[Request]) -> Sequence[Outcome]:
        """Run a group of any other requests in one transaction, likewise."""
        ...

    async def heartbeat(self) -> None:
        """Show that this process is alive; its pod's earlier processes are dead at once."""
        ...

    async def leave(self) -> None:
        """Say goodbye: what this process still owns is anybody's at once."""
        ...

    async def take_over(self) -> Takeover:
        """Take what dead pods left, or this one forgot."""
        ...

    async def fire_timers(self) -> Sequence[Waiting]:
        """Turn timers that are due into messages."""
        ...

    async def backlog(self) -> Backlog:
        """Return what waits, over all tenants."""
        ...

    async def purge(self, statuses_days: float, messages_days: float, limit: int) -> int:
        """Throw away one slice of what is older than so many days; returns the rows that went."""
        ...

    async def call(self, scope: TenantScope | None, operation: Callable[[Connection], T]) -> T:
        """Run an operation of the console's or the catalogue's kind in a transaction of its own, inside one tenant."""
        ...

    async def forget_customers(self) -> None:
        """Ask the database again who is who: rows went or came without their ids being learnt."""
        ...

    def free_bytes(self) -> int | None:
        """Return how much room the database has, None when that cannot be seen from here."""
        ...

    @property
    def shares_commits(self) -> bool:
        """Whether ingests and other work go through one writer and so may share a commit."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
