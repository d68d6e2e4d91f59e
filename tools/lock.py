"""Resolve the dependencies into `uv.lock` and take every address out of it.

The lock pins names, versions and hashes. Where the files come from is the business of whoever installs (their pip or
uv configuration, a company mirror, a cache), so the lock names no index: `make setup` turns it into hashed
requirements and asks the configured index for exactly those files. `docs/decisions/` has the reasons.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "uv.lock"
NO_INDEX = "https://index.invalid/simple"


def without_addresses(lock: str) -> str:
    """Return the lock text with file names in place of addresses, in the form that uv still reads."""
    named = re.sub(r'url = "[^"]*/([^/"]+)"', r'filename = "\1"', lock)
    return re.sub(r'registry = "[^"]*"', f'registry = "{NO_INDEX}"', named)


def main() -> int:
    """Resolve anew (arguments go to `uv lock`, such as `--upgrade`) and write the lock."""
    # A lock without addresses cannot be updated in place, so versions already pinned are handed back as constraints.
    uv = Path(sys.executable).parent / "uv"
    upgrade = "--upgrade" in sys.argv[1:]
    pinned = LOCK.read_text() if LOCK.exists() and not upgrade else ""
    LOCK.unlink(missing_ok=True)
    constraints = re.findall(r'^name = "([^"]+)"\nversion = "([^"]+)"\nsource = \{ registry', pinned, re.MULTILINE)
    project = LOCK.parent / "pyproject.toml"
    original = project.read_text()
    try:
        if constraints:
            pins = ", ".join(f'"{name}=={version}"' for name, version in constraints)
            project.write_text(original.replace("[tool.uv]\n", f"[tool.uv]\nconstraint-dependencies = [{pins}]\n"))
        subprocess.run([str(uv), "lock"], check=True, cwd=LOCK.parent)  # noqa: S603 - our own pinned uv
    except subprocess.CalledProcessError:
        if pinned:
            LOCK.write_text(pinned)
        raise
    finally:
        project.write_text(original)
    text = re.sub(r"\[manifest\]\nconstraints = \[.*?\n\]\n\n", "", LOCK.read_text(), flags=re.DOTALL)
    LOCK.write_text(without_addresses(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
