"""What a figure was measured on: processor, memory, kernel, interpreter, and the code's revision."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""


@dataclass(frozen=True)
class Machine:
    """The machine of a run; memory in GiB."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str


def describe_machine() -> Machine:
    """Return what this machine is."""
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def git_commit() -> str:
    """Return the revision, with `+changes` when the work tree differs from it; `unknown` outside a repository."""
    try:
        revision = _git("rev-parse", "HEAD")
        return f"{revision}+changes" if _git("status", "--porcelain") else revision
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return result.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())
