"""`comanda doctor`: looks at the environment and says what to do about what it finds."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from comanda_cli.findings import Finding
from comanda_cli.folder import Folder
from comanda_cli.local.layout import Layout
from comanda_cli.local.processes import port_is_free
from comanda_contract.errors import ComandaError
from comanda_operator.plan import plan
from comanda_store.sqlite.engine import check_durability, open_engine, sqlite_url

_LEAST_FREE_BYTES = 1 << 30


def examine(folder: Path | None, data_dir: Path, ports: dict[str, int]) -> list[Finding]:
    """Look at Python, the data folder, its disk and database, the ports and, if given, the folder of resources."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        lambda: _data_folder(data_dir),
        lambda: _durability(data_dir),
        lambda: _ports(ports),
    ]
    if folder is not None:
        checks.append(lambda: _resources(folder))
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    yield Finding("ok", "Python", ".".join(map(str, sys.version_info[:3])))
    yield Finding("ok", "SQLite", sqlite3.sqlite_version)


def _data_folder(data_dir: Path) -> Iterator[Finding]:
    try:
        Layout(data_dir).prepare()
    except ComandaError as error:
        yield Finding("error", "Data folder", error.message, error.hint)
        return
    free = shutil.disk_usage(data_dir).free
    found = f"{data_dir} can be written, {free / (1 << 30):.1f} GiB free"
    if free < _LEAST_FREE_BYTES:
        yield Finding("warning", "Data folder", found, "Make room: pods refuse messages when the disk is full.")
    else:
        yield Finding("ok", "Data folder", found)


def _durability(data_dir: Path) -> Iterator[Finding]:
    if not data_dir.is_dir():
        return
    try:
        with tempfile.TemporaryDirectory(dir=data_dir) as folder:
            engine = open_engine(sqlite_url(Path(folder) / "probe.db"))
            check_durability(engine)
            engine.dispose()
    except (ComandaError, OSError) as error:
        yield Finding("error", "Durability", str(error), "Put the data folder on a local disk.")
    else:
        yield Finding("ok", "Durability", "SQLite syncs every commit here (journal wal, synchronous full)")


def _ports(ports: dict[str, int]) -> Iterator[Finding]:
    for option, port in ports.items():
        if port_is_free(port):
            yield Finding("ok", f"Port {port}", "is free")
        else:
            yield Finding(
                "warning", f"Port {port}", "is in use", f"Stop what uses it, or choose another with {option}."
            )


def _resources(folder: Path) -> Iterator[Finding]:
    try:
        contents = Folder(folder).read()
    except ComandaError as error:
        yield Finding("error", "Resources", error.message, error.hint)
        return
    for problem in contents.problems:
        yield Finding("error", "Resources", str(problem))
    wanted = plan(contents.observed())
    for verdict in wanted.verdicts:
        if verdict.refused is not None:
            yield Finding("error", verdict.kind, f"{verdict.key}: {verdict.refused.message}")
    served = sum(len(group.tenants) for group in wanted.groups)
    yield Finding(
        "ok" if served else "warning", "Resources", f"{served} tenants in {len(wanted.groups)} groups can be served"
    )
