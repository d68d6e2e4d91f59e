from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from comanda_store import StorageError
from comanda_store.sqlite.write_queue import WriteQueue

# Writes its name to a file each time it has the turn, and wants it again at once.
GREEDY = """
import sys
from pathlib import Path
from comanda_store.sqlite.write_queue import WriteQueue
queue = WriteQueue(Path(sys.argv[1]), 20)
name, log = sys.argv[2], Path(sys.argv[1] + ".log")
sys.stdin.readline()
for _ in range(300):
    with queue.turn(), log.open("a") as file:
        file.write(name)
"""


def test_writers_take_turns(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GREEDY, str(tmp_path / "c.db")]
    writers = [subprocess.Popen([*command, name], stdin=subprocess.PIPE, text=True) for name in "ab"]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    turns = (tmp_path / "c.db.log").read_text()
    assert turns.count("a") == turns.count("b") == 300
    # While both want it they alternate: the one that is done first is not done long before the other.
    slower = "b" if turns.rfind("a") < turns.rfind("b") else "a"
    faster = "a" if slower == "b" else "b"
    start = max(turns.find("a"), turns.find("b"))
    contested = turns[start : turns.rfind(faster) + 1]
    assert contested.count(slower) >= 0.1 * len(contested)


def test_a_turn_that_never_comes_is_an_error_with_a_hint(tmp_path: Path) -> None:
    holder, waiter = WriteQueue(tmp_path / "c.db", 5), WriteQueue(tmp_path / "c.db", 0.05)
    with holder.turn(), pytest.raises(StorageError, match="Another pod"), waiter.turn():
        pass
    with waiter.turn():
        pass
    holder.close()
    waiter.close()


def test_a_dead_writers_turn_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from comanda_store.sqlite.write_queue import WriteQueue\n"
        "WriteQueue(Path(sys.argv[1]), 5).turn().__enter__(); os._exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "c.db")], check=False).returncode == 1
    queue = WriteQueue(tmp_path / "c.db", 0.5)
    with queue.turn():
        pass
    queue.close()
