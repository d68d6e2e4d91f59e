"""Check the documents: every relative link and every path in code marks leads somewhere in this repository."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\[[^\]]*\]\((?!https?://|mailto:|#)([^)\s#]+)(?:#[^)]*)?\)")
_CLICK = re.compile(r'^\s*click \w+ (?:href )?"([^"#]+)"', re.MULTILINE)


def documents() -> list[Path]:
    """Return the Markdown files that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603 - fixed words
    return [ROOT / name for name in listed.stdout.split()]


def broken_links(document: Path) -> Iterator[str]:
    """Yield `file: target` for each link that leads nowhere."""
    text = document.read_text(encoding="utf-8")
    for target in (*_LINK.findall(text), *_CLICK.findall(text)):
        if not (document.parent / target).exists():
            yield f"{document.relative_to(ROOT)}: {target} does not exist"


def main() -> int:
    """Name every broken link; returns 1 when there is one."""
    broken = [problem for document in documents() if document.exists() for problem in broken_links(document)]
    for problem in broken:
        print(problem, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
