"""Dead letters on disk: whole, bounded, and shared by the processes of a router."""

from __future__ import annotations

import asyncio
import fcntl
import sys
from pathlib import Path

import msgspec
import pytest

from comanda_router import dead_letters
from comanda_router.dead_letters import DeadLetter, DeadLetters

LETTER = DeadLetter("unknown_number", "default", "20000001", "messages", "30000001", b'{"id":"w"}')
WRITER = """
import sys
from pathlib import Path
from tests.test_router.test_dead_letters import LETTER
from comanda_router.dead_letters import DeadLetters
kept = DeadLetters(Path(sys.argv[1]), int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    kept.keep([LETTER])
"""


async def test_processes_that_keep_letters_at_once_lose_none_to_each_others_turning_of_files(tmp_path: Path) -> None:
    DeadLetters(tmp_path / "one", 1 << 20).keep([LETTER])
    size = (tmp_path / "one" / "dead-letters.jsonl").stat().st_size
    processes, each, half = 4, 60, 50 * (size + 8)
    command = [sys.executable, "-c", WRITER, str(tmp_path / "shared"), str(2 * half), str(each)]
    pipe = asyncio.subprocess.PIPE
    writers = [
        await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[2])
        for _ in range(processes)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert await writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
    assert [await writer.wait() for writer in writers] == [0] * processes
    older, newer = (tmp_path / "shared" / name for name in ("dead-letters.1.jsonl", "dead-letters.jsonl"))
    for file in (older, newer):
        assert all(msgspec.json.decode(line)["reason"] == "unknown_number" for line in file.read_bytes().splitlines())
    # A file goes when the next letter would not fit: one that went shorter was turned twice.
    assert half - size - 8 <= older.stat().st_size <= half
    assert newer.stat().st_size <= half


def test_a_frozen_process_that_holds_the_lock_delays_nobody_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "LOCK_SECONDS", 0.01)
    kept = DeadLetters(tmp_path, 1 << 20)
    with (tmp_path / "dead-letters.lock").open("ab") as frozen:
        fcntl.flock(frozen, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="holds the dead letters' lock"):
            kept.keep([LETTER])
    kept.keep([LETTER])
    assert (tmp_path / "dead-letters.jsonl").read_bytes().count(b"\n") == 1
