"""What belongs to no tenant, kept: one JSON object a line, in two files that take turns, so the size is bounded.

All worker processes of a router write to the same two: a lock on a third file gives them turns, and the kernel frees
it when one dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from comanda_contract.deliveries import DeliveryKind
from comanda_router.metrics import DEAD_LETTERS

LOCK_SECONDS = 2.0
"""How long a worker waits for another one's turn, which is one write: only a frozen one takes longer."""
_POLL_SECONDS = 0.002

Reason = Literal["unknown_number", "wrong_app", "no_number", "malformed"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A part of a webhook that no pod is to have, whole."""

    reason: Reason
    app: str
    waba_id: str
    field: str
    phone_number_id: str
    content: bytes
    kind: DeliveryKind = "change"
    contact: bytes = b"null"
    """What the sender calls themselves, so that the letter can be handed in again whole (`comanda dead-letter`)."""


class DeadLetters:
    """Appends to `dead-letters.jsonl`; when that is half of the allowed size it becomes `dead-letters.1.jsonl`."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "dead-letters.jsonl"
        self._older = folder / "dead-letters.1.jsonl"
        self._lock = folder / "dead-letters.lock"
        self._half = max_bytes // 2

    def keep(self, letters: Sequence[DeadLetter]) -> None:
        """Write letters and sync them to disk; raises `OSError` when that fails. Blocks: call it from a thread."""
        lines = b"".join(msgspec.json.encode(_record(letter)) + b"\n" for letter in letters)
        with self._turn():
            if self._path.exists() and self._path.stat().st_size + len(lines) > self._half:
                self._path.replace(self._older)
            with self._path.open("ab") as file:
                if file.tell() and not self._ends_whole():
                    file.write(b"\n")  # what was cut off when the disk was full spoils itself alone
                file.write(lines)
                file.flush()
                os.fdatasync(file.fileno())
        for letter in letters:
            DEAD_LETTERS.counts[letter.reason] += 1

    @contextmanager
    def _turn(self) -> Iterator[None]:
        deadline = time.monotonic() + LOCK_SECONDS
        with self._lock.open("ab") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimeoutError("another process holds the dead letters' lock") from None
                    time.sleep(_POLL_SECONDS)
            yield

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _record(letter: DeadLetter) -> dict[str, Any]:
    return {
        "at": round(time.time(), 3),
        "reason": letter.reason,
        "app": letter.app,
        "waba_id": letter.waba_id,
        "field": letter.field,
        "phone_number_id": letter.phone_number_id,
        "kind": letter.kind,
        "contact": msgspec.Raw(letter.contact),
        "content": msgspec.Raw(letter.content),
    }
