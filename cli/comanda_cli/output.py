"""Tables and JSON for the commands that answer once."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table

from comanda_contract.errors import ComandaError


class Output(StrEnum):
    """The two forms of every answer."""

    text = "text"
    json = "json"


def print_rows(
    output: Output, columns: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, Any]], empty: str
) -> None:
    """Print rows as a table with these columns, or all of their fields as a JSON list."""
    if output is Output.json:
        print_json(list(rows))
        return
    if not rows:
        Console().print(empty)
        return
    _print_table(columns, rows)


def print_rows_under(heading: str, columns: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a line with rich's marks, and rows as a table below it."""
    Console().print(heading)
    if rows:
        _print_table(columns, rows)


def _print_table(columns: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for _, heading in columns:
        broken = heading.endswith("…")
        table.add_column(heading.removesuffix("…"), overflow="fold", no_wrap=not broken)
    for row in rows:
        table.add_row(*(str(row.get(key, "")) for key, _ in columns))
    Console().print(table)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def print_error(error: ComandaError) -> None:
    """Print an error for people: what is wrong, then what to do."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"Error: {error.message}", style="bold red", markup=False)
    if error.hint:
        console.print(error.hint, markup=False)
