"""A Docker Engine for the tests: the one that answers already, or one of their own, which ends with them.

Their own keeps images in the tests' cache, so that the next run finds them, and leaves nothing else: no process, no
bridge, no rule of the firewall.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools import system

from tests.cluster.binaries import Say, cache, say

HERE = Path(__file__).parent
_LEASH = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
"""Linux has the engine end, and its containers with it, when the tests that started it are killed."""
_READY_SECONDS = 60.0
_END_SECONDS = 60.0
_CALL_SECONDS = 600.0
_LONGEST_RUN_SECONDS = 3600.0


class EngineError(Exception):
    """Docker, or what runs through it, did not do what it was asked; the message holds its last words."""


@dataclass(frozen=True)
class Engine:
    """A Docker Engine at an address such as `unix:///run/docker.sock`; `ours` is one that the tests started."""

    host: str
    ours: bool = False

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for programs that call Docker. They build with the engine's own builder, which needs no plugin."""
        return {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"}

    def docker(self, *arguments: str | Path, given: bytes = b"", seconds: float = _CALL_SECONDS) -> str:
        """Run `docker` and return what it says. Raises `EngineError`."""
        return run([needed("docker"), *arguments], self.environment, given=given, seconds=seconds)

    def has_image(self, name: str) -> bool:
        """Tell whether an image is there."""
        return bool(self.docker("images", "--quiet", name))

    def answers(self) -> bool:
        """Tell whether an engine is there."""
        try:
            self.docker("version", "--format", "{{.Server.Version}}", seconds=10.0)
        except EngineError:
            return False
        return True


def needed(name: str) -> str:
    """Return the path of a program of the system, installed where that is possible. Raises `EngineError`."""
    if not system.find(name) and shutil.which("apt-get") and os.geteuid() == 0:
        system.install(name)
    path = system.find(name)
    if path is None:
        raise EngineError(f"{name} is missing: install it, or set {system.PROGRAMS[name][0]} to its path")
    return path


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    given: bytes = b"",
    seconds: float = _CALL_SECONDS,
    cwd: Path | None = None,
) -> str:
    """Run a program to its end and return what it says. Raises `EngineError` with its last words."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, env=environment, input=given, capture_output=True, timeout=seconds, check=False, cwd=cwd
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{' '.join(words[:4])} took longer than {seconds:.0f} s") from error
    if done.returncode:
        last = (done.stderr or done.stdout).decode(errors="replace")[-3000:]
        raise EngineError(f"{' '.join(words[:4])} ended with {done.returncode}:\n{last}")
    return done.stdout.decode().strip()


@contextmanager
def docker_engine(tell: Say = say) -> Iterator[Engine]:
    """Give the engine that answers, or start one of our own until the end. Raises `EngineError`."""
    there = Engine(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    if there.answers():
        yield there
        return
    home = cache() / "docker"
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="engine") as name:
        _take(lock, tell)
        with _firewall_kept(), _daemon(home / "data", Path(name)) as engine:
            yield engine


def _take(lock: IO[str], tell: Say) -> None:
    """Wait until no other run has an engine. Raises `EngineError` when that takes too long."""
    deadline, told = time.monotonic() + _LONGEST_RUN_SECONDS, False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EngineError(f"another run has had its Docker Engine for {_LONGEST_RUN_SECONDS:.0f} s") from None
            if not told:
                tell("» Waiting for another run's Docker Engine to end")
            told = True
            time.sleep(1.0)
        else:
            return


@contextmanager
def _daemon(data: Path, folder: Path) -> Iterator[Engine]:
    engine = Engine(f"unix://{folder}/sock", ours=True)
    command = [
        *_LEASH,
        needed("dockerd"),
        f"--data-root={data}",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid",
        f"--host={engine.host}",
        "--bridge=none",  # clusters have a network of their own, builds use the machine's
        f"--add-runtime=capped={HERE}/runc-capped",
        "--default-runtime=capped",
    ]
    for program in ("capsh", "jq"):
        needed(program)  # of runc-capped
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not engine.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise EngineError(f"dockerd does not answer:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.1)
        yield engine
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_END_SECONDS)
        for line in Path("/proc/mounts").read_text().splitlines():
            if line.split()[1].startswith(f"{folder}/"):
                run(["umount", "--lazy", line.split()[1]], os.environ)


@contextmanager
def _firewall_kept() -> Iterator[None]:
    """Put the firewall and the forwarding of packets back to what they were: the engine leaves its chains behind."""
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    before, forwarded = run([needed("iptables-save")], os.environ), forward.read_text()
    try:
        yield
    finally:
        for table, empty in (("filter", ":FORWARD ACCEPT [0:0]\n"), ("nat", "")):
            if f"*{table}" not in before:
                before += f"\n*{table}\n{empty}COMMIT"
        run(["iptables-restore"], os.environ, given=before.encode() + b"\n")
        forward.write_text(forwarded)
