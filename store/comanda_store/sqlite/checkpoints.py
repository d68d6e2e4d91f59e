"""Moving the write-ahead log into the database file beside the commits, not inside one.

Left to itself SQLite does this in the commit that fills the log, and everybody waits meanwhile. Here another thread
moves the bulk while commits go on, and takes a writer's turn only for the little that came on top: a log that has been
moved whole begins anew.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from comanda_store.errors import StorageError
from comanda_store.sqlite.write_queue import WriteQueue

ROWS = 4000
"""The log is moved after this many rows, some 30 MB of it. A longer one moves fewer pages twice, and takes longer to
read after a crash. Its file does not tell: it keeps its size, and is written over from the beginning."""
LAST_RESORT_PAGES = 32_768
"""At 128 MB a commit moves the log itself, should this thread not come to it."""
_MOVE = "PRAGMA wal_checkpoint(PASSIVE)"
_PASSES = 3
"""Before the writer's turn is taken: each finds less, what was committed while the one before was under way."""


class Checkpointer:
    """Keeps one database's log short; every process of a group has its own, and SQLite lets one of them work."""

    def __init__(self, database: Path, limit_seconds: float) -> None:
        self._rows = 0
        self._connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._writes = WriteQueue(database, limit_seconds)
        self._wanted = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="sqlite-checkpoints", daemon=True)
        self._thread.start()

    def count(self, rows: int) -> None:
        """Note that so many rows were committed; the log is moved when it must be long by now."""
        self._rows += rows
        if self._rows >= ROWS:
            self.move()

    def move(self) -> None:
        """Have the log moved, as when the disk is full: its room is used again."""
        self._rows = 0
        self._wanted.set()

    def close(self) -> None:
        """Finish what is under way and close the connection."""
        self._closing = True
        self._wanted.set()
        self._thread.join()
        self._connection.close()
        self._writes.close()

    def _work(self) -> None:
        while self._wanted.wait() and not self._closing:
            self._wanted.clear()
            try:
                for _ in range(_PASSES):
                    self._connection.execute(_MOVE)
                # Without what was committed meanwhile the log would not begin anew.
                with self._writes.turn():
                    self._connection.execute(_MOVE)
            except (sqlite3.Error, StorageError):
                # A full disk, or another process at it: the next commit asks again, the last resort stays.
                continue
