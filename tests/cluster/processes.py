"""One process of the test API: started, stopped, killed, frozen and thawed by the handle of the one who started it."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LEASH = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
"""Linux kills what was started through this with its parent: a test run that is killed leaves nothing behind."""


def free_port() -> int:
    """Return a loopback port that nothing listens on.

    It lies below the range that the kernel gives to outgoing connections: a server that is killed and started again
    must find its port free.
    """
    for port in random.sample(range(12_000, 32_000), 200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no loopback port between 12000 and 32000 is free")


class Process:
    """A program and its arguments; output goes to `<name>.log` in its folder. It ends with the one who started it."""

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        self._command = [*LEASH, *map(str, command)]
        self._log = folder / f"{Path(command[0]).name}.log"
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None when it does not run."""
        return self._running.pid if self._running is not None and self._running.poll() is None else None

    def start(self) -> None:
        """Start it unless it runs."""
        if self.pid is None:
            with self._log.open("ab") as log:
                self._running = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self, patience_seconds: float = 10.0) -> None:
        """Ask it to end, and kill it when it takes longer than that."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self._wait(patience_seconds)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a power failure would."""
        self._signal(signal.SIGKILL)
        self._wait(30.0)

    def freeze(self) -> None:
        """Let it stand still: its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """Return its last lines, for a message that says why it ended."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def _signal(self, number: signal.Signals) -> None:
        if self._running is not None:
            self._running.send_signal(number)  # does nothing when it has ended

    def _wait(self, seconds: float) -> None:
        if self._running is not None:
            self._running.wait(seconds)
