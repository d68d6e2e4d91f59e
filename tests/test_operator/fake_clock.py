"""A wall clock that a process believes and a test moves; the monotonic clock stays the machine's."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tools.system import find


class FakeClock:
    """The clock of all processes that get `environment`."""

    def __init__(self, folder: Path) -> None:
        program = find("faketime")
        assert program is not None, "make test installs it: python tools/system.py faketime"
        said = subprocess.run([program, "-m", "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
        library = next(line.partition("=")[2] for line in said.splitlines() if line.startswith("LD_PRELOAD="))
        self._file = folder / "clock"
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.jump(0)

    def jump(self, hours: int) -> None:
        """Show another time than the machine, from now on."""
        self._file.write_text(f"{hours * 3600:+d}\n")
