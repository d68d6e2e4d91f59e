"""Print the path of a program that no Python package brings: `python tools/system.py NAME`, of those in `PROGRAMS`.

On Debian and Ubuntu as root it is installed when it is missing; elsewhere the error says what to install.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS = {
    "capsh": ("COMANDA_CAPSH", ("capsh",), ["libcap2-bin"]),
    "chromium": ("COMANDA_CHROMIUM", ("chromium", "chromium-browser", "google-chrome"), ["chromium"]),
    "debootstrap": ("COMANDA_DEBOOTSTRAP", ("debootstrap",), ["debootstrap"]),
    "docker": ("COMANDA_DOCKER", ("docker",), ["docker.io"]),
    "docker-compose": ("COMANDA_DOCKER_COMPOSE", ("docker-compose",), ["docker-compose"]),
    "dockerd": ("COMANDA_DOCKERD", ("dockerd",), ["docker.io"]),
    "faketime": ("COMANDA_FAKETIME", ("faketime",), ["faketime"]),
    "gcc": ("COMANDA_GCC", ("gcc",), ["gcc", "libc6-dev"]),
    "iptables-save": ("COMANDA_IPTABLES_SAVE", ("iptables-save",), ["iptables"]),
    "jq": ("COMANDA_JQ", ("jq",), ["jq"]),
    "openssl": ("COMANDA_OPENSSL", ("openssl",), ["openssl"]),
    "strace": ("COMANDA_STRACE", ("strace",), ["strace"]),
    "postgres": ("COMANDA_POSTGRES", ("postgres",), ["postgresql"]),
}
"""Name → environment variable that overrides it, names it goes by, Debian packages."""

OFF_PATH = {"postgres": ("/usr/lib/postgresql", "*/bin/postgres")}
"""Where distributions keep programs that they leave off the PATH; the highest version is taken."""


def find(name: str) -> str | None:
    """Return the path of a program, or None."""
    variable, names, _ = PROGRAMS[name]
    override = os.environ.get(variable)
    on_path = next((path for path in map(shutil.which, names) if path), None)
    return override or on_path or next(map(str, _off_path(name)), None)


def _off_path(name: str) -> list[Path]:
    folder, pattern = OFF_PATH.get(name, ("/", ""))
    found = Path(folder).glob(pattern) if pattern else ()
    return sorted(found, key=lambda path: [int(part) for part in path.parts if part.isdigit()], reverse=True)


def install(name: str) -> None:
    """Install a program from the distribution's packages. Raises `CalledProcessError`."""
    packages = PROGRAMS[name][2]
    print(f"» Installing {' '.join(packages)} from the system's packages (once)", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with (Path(tempfile.gettempdir()) / "comanda-install.lock").open("w") as lock:
        # apt does not wait for another apt: tests that run side by side would fail.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", *packages]):
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - fixed words


def main() -> int:
    """Find or install the program named and print its path; returns 1 with a sentence when it cannot be had."""
    name = sys.argv[1]
    if not find(name) and shutil.which("apt-get") and os.geteuid() == 0:
        install(name)
    path = find(name)
    if path is None:
        print(f"The tests need {name}: install it, or set {PROGRAMS[name][0]} to its path.", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
