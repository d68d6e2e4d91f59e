"""`make sabotage`: takes one safeguard away at a time, in a copy, and shows that the tests notice.

A suite that has never failed proves nothing. Each sabotage is an edit of the source; its tests must fail with it, for a
sabotage that nobody notices is a hole in the tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[2]
ROOMS = ("contract", "flow", "store", "botpod", "router", "simulator", "operator", "cli")
LIMIT_SECONDS = 500


@dataclass(frozen=True)
class Edit:
    """One change of a file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Sabotage:
    """A safeguard taken away, and the tests that must notice."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


SQLITE, POSTGRES = "store/comanda_store/sqlite", "store/comanda_store/postgres"
FIRST = "store/comanda_store/migrations/versions/0001_begin.py"
SABOTAGES = (
    Sabotage(
        "the unique index of the inbox",
        (
            Edit(FIRST, '        sa.UniqueConstraint("phone_number_id", "wamid"),\n', ""),
            Edit(
                f"{POSTGRES}/functions/ingest.sql",
                "    order by g.number, g.wamid, g.id\n    on conflict (phone_number_id, wamid) do nothing;",
                "    order by g.number, g.wamid, g.id;",
            ),
        ),
        ("tests/torture/test_promises.py", "tests/test_store/test_store.py"),
    ),
    Sabotage(
        "the look for a turn that is under way",
        (
            Edit(f"{SQLITE}/turns.py", "if pending == 1 else None", "if pending >= 1 else None"),
            Edit(f"{POSTGRES}/functions/turns.sql", "limit 2) as two) = 1 then", "limit 2) as two) >= 1 then"),
        ),
        ("tests/test_store/test_store.py::TestClaimedWithBeingStored",),
    ),
    Sabotage(
        "the order of sending",
        (
            Edit(f"{SQLITE}/turns.py", "ORDER BY i.sent_at, i.id LIMIT 1", "ORDER BY i.id LIMIT 1"),
            Edit(f"{POSTGRES}/functions/turns.sql", "order by b.sent_at, b.id limit 1", "order by b.id limit 1"),
        ),
        ("tests/test_store/test_store.py::TestTurns",),
    ),
    Sabotage(
        "the fence of a turn, SQLite",
        (Edit(f"{SQLITE}/turns.py", "    if done != 1:\n", "    if done > 1:\n"),),
        ("tests/test_store/test_store.py::TestTurns",),
    ),
    Sabotage(
        "the fence of a turn, PostgreSQL",
        (
            Edit(
                f"{POSTGRES}/functions/turns.sql",
                "      where b.id = p_inbox[i] and b.state || '' = 'pending' and b.owner || '' = p_owner\n"
                "        and b.customer_id + 0 = p_customer[i] and c.customer_id = p_customer[i]"
                " and c.version = p_seen[i];\n    if found then",
                "      where b.id = p_inbox[i] and c.customer_id = p_customer[i];\n    if found then",
            ),
            Edit(
                f"{POSTGRES}/functions/turns.sql",
                "    where customer_id = p_customer[i] and version = p_seen[i];\n",
                "    where customer_id = p_customer[i];\n",
            ),
        ),
        ("tests/test_store/test_store.py::TestTurns",),
    ),
    Sabotage(
        "the fsync, SQLite",
        (
            Edit(f"{SQLITE}/engine.py", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"),
            Edit(f"{SQLITE}/engine.py", "    if synchronous < 2:\n", "    if synchronous < 0:\n"),
        ),
        ("tests/torture/test_sync.py",),
    ),
    Sabotage(
        "the fsync, PostgreSQL",
        (
            Edit(f"{POSTGRES}/connect.py", '    "jit": "off",', '    "synchronous_commit": "off",\n    "jit": "off",'),
            Edit(f"{POSTGRES}/connect.py", '{"on", "local", "remote_write", "remote_apply"}', '{"on", "off"}'),
        ),
        ("tests/torture/test_sync.py",),
    ),
    Sabotage(
        "the answer after the commit",
        (
            Edit(
                "store/comanda_store/commits.py",
                "            started = self._loop.time()\n",
                "            for _, request, future in group:\n"
                "                if isinstance(request, Ingest):\n"
                "                    told = [__import__('comanda_store').Ingested(False)] * len(request.items)\n"
                "                    _resolve(future, told)\n"
                "            started = self._loop.time()\n",
            ),
        ),
        ("tests/torture/test_sync.py", "tests/test_store/test_store.py::TestInbox"),
    ),
    Sabotage(
        "the count before each try",
        (
            Edit(f"{SQLITE}/turns.py", "SET attempts = attempts + 1, owner", "SET attempts = attempts + 0, owner"),
            Edit(f"{POSTGRES}/functions/turns.sql", "attempts = inbox.attempts + 1", "attempts = inbox.attempts + 0"),
        ),
        ("tests/test_store/test_store.py::TestTurns",),
    ),
    Sabotage(
        "row-level security",
        (Edit(f"{POSTGRES}/schema.py", 'FORCE ROW LEVEL SECURITY")', 'DISABLE ROW LEVEL SECURITY")'),),
        ("tests/test_store/test_isolation.py",),
    ),
    Sabotage(
        "the written beginning of a send",
        (
            Edit(f"{SQLITE}/outbox.py", "SET state = 'sending', attempts", "SET state = 'queued', attempts"),
            Edit(
                f"{POSTGRES}/functions/sends.sql", "set state = 'sending', attempts", "set state = 'queued', attempts"
            ),
        ),
        ("tests/test_store/test_store.py::TestOutbox",),
    ),
    Sabotage(
        "the takeover of what dead pods left",
        (
            Edit(f"{SQLITE}/workers.py", "owner NOT IN {_LIVING} OR (owner", "0 OR (owner"),
            Edit(
                f"{POSTGRES}/functions/duties.sql",
                "    returning i.customer_id",
                "    and false returning i.customer_id",
            ),
        ),
        ("tests/test_store/test_store.py::TestTakeover",),
    ),
    Sabotage(
        "the highest status wins",
        (
            Edit(
                f"{SQLITE}/inbox.py",
                "    2: \"('queued', 'sending', 'unknown', 'sent')\"",
                "    2: \"('read', 'sent')\"",
            ),
            Edit(
                f"{POSTGRES}/functions/ingest.sql", "comanda_rank(o.state) < b.rank", "comanda_rank(o.state) <> b.rank"
            ),
        ),
        ("tests/test_store/test_store.py::TestOutbox",),
    ),
)


def copy_with(sabotage: Sabotage, folder: Path) -> None:
    """Copy the rooms and the tests, and make the edits. Raises `ValueError` when the source has changed under one."""
    for name in (*ROOMS, "tests", "tools", "crds", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for edit in sabotage.edits:
        path = folder / edit.file
        text = path.read_text()
        if edit.old not in text:
            message = f"{sabotage.name}: {edit.file} no longer says {edit.old!r}; mend the sabotage"
            raise ValueError(message)
        path.write_text(text.replace(edit.old, edit.new))


def is_noticed(sabotage: Sabotage) -> tuple[bool, str]:
    """Run the tests against the sabotaged copy; returns whether they failed, and what the runner said last."""
    with tempfile.TemporaryDirectory(prefix="comanda-sabotage-") as name:
        folder = Path(name)
        copy_with(sabotage, folder)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder / room) for room in ROOMS)}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *sabotage.tests]
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
    # 1 is a failed test; anything else (0: all passed, 2 and more: it did not run) notices nothing.
    last = ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ran.stderr[-300:]
    return ran.returncode == 1, last


def main() -> int:
    """Try every sabotage, or those whose name holds the given word; returns 1 when one goes unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only the sabotages whose name holds this")
    word = parser.parse_args().word
    console = Console(highlight=False, soft_wrap=True)
    unnoticed = 0
    for sabotage in SABOTAGES:
        if word not in sabotage.name:
            continue
        began = time.monotonic()
        noticed, last = is_noticed(sabotage)
        unnoticed += not noticed
        verdict = "[green]noticed[/]" if noticed else "[bold red]UNNOTICED[/]"
        console.print(f"{verdict}  without {sabotage.name}  ({time.monotonic() - began:.0f} s)  [dim]{last}[/]")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
