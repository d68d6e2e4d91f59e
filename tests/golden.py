"""Golden files: what is compared with a file, and written anew with `UPDATE_GOLDEN=1`."""

from __future__ import annotations

import os
from pathlib import Path


def assert_golden(path: Path, actual: str) -> None:
    """Hold a text against its golden file; with UPDATE_GOLDEN=1 write the file instead."""
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(actual, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: run with UPDATE_GOLDEN=1 and look at what it writes"
    assert actual == path.read_text(encoding="utf-8"), (
        f"{path.name} differs: if that is meant, run with UPDATE_GOLDEN=1"
    )
