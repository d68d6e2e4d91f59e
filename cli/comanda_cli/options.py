"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from comanda_cli.output import Output

DataDirOption = Annotated[Path, typer.Option("--data-dir", help="Folder for databases, keys and logs.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text for people, json for programs.")]

DEFAULT_DATA_DIR = Path(".comanda")
