"""What the command lines have in common: how they are made, and options of several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from comanda_cli.output import Output

DataDirOption = Annotated[Path, typer.Option("--data-dir", help="Folder for databases, keys and logs.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text for people, json for programs.")]

DEFAULT_DATA_DIR = Path(".comanda")


def command_line(name: str, description: str) -> typer.Typer:
    """Return an empty command line. An error shows no local values: they may be a customer's."""
    return typer.Typer(
        name=name,
        help=description,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_show_locals=False,
    )
