"""A fair queue for SQLite's one write lock, across the processes of a group.

SQLite makes a waiting writer sleep up to 100 ms between tries, and whoever has just committed takes the lock again long
before the sleeper looks: under load one pod starves the other. Here a writer first takes the place at the head of the
queue, then the lock, then gives the place up. Who releases the lock must queue again, so writers take turns.

Both are `flock`s on files beside the database: the kernel frees them when a process dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comanda_store.errors import StorageError

POLL_SECONDS = 0.0002
"""How often a waiting writer looks; a commit takes about ten times as long."""


class WriteQueue:
    """The queue of one database file; used by one thread of a process at a time. Raises `StorageError`."""

    def __init__(self, database: Path, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._head = _open(database.with_name(database.name + "-queue"))
        self._lock = _open(database.with_name(database.name + "-writer"))

    @contextmanager
    def turn(self, limit_seconds: float | None = None) -> Iterator[None]:
        """Wait for this process's turn to write. Raises `StorageError` when it does not come in time."""
        deadline = time.monotonic() + (self._limit_seconds if limit_seconds is None else limit_seconds)
        self._take(self._head, deadline)
        try:
            self._take(self._lock, deadline)
        finally:
            fcntl.flock(self._head, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the files back."""
        os.close(self._head)
        os.close(self._lock)

    def _take(self, descriptor: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StorageError(
                        "Another pod of the group has been writing for too long.",
                        hint="It may be frozen; it is taken over when it dies.",
                    ) from None
                time.sleep(POLL_SECONDS)
            else:
                return


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error.strerror}.") from error
