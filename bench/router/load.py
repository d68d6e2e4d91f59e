"""The load: wrk over signed webhooks of about 1 KB, each with an identity of its own in its headers."""

from __future__ import annotations

import asyncio
import hmac
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from bench.common.processes import cpu_seconds
from bench.router.systems import LOAD_CORE, SECRET, MissingError, Running, numbers

HERE = Path(__file__).parent
BODIES = 20_000
WARM_SECONDS = 1


@dataclass
class Measured:
    """What one stretch of load showed of one router. Times in milliseconds, processor time in microseconds."""

    system: str
    pods: int
    connections: int
    per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    cpu_us: float = 0.0
    """Of the router, a webhook."""
    failed: int = 0
    answers: int = field(default=0, repr=False)


def write_bodies(path: Path) -> None:
    """Write one signed webhook a line: its signature, a space, its body."""
    lines = []
    for index, number in zip(range(BODIES), numbers() * (BODIES // len(numbers()) + 1), strict=False):
        sender = f"1650555{index:05d}"
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
            "contacts": [{"profile": {"name": "Ana"}, "wa_id": sender}],
            "messages": [
                {
                    "from": sender,
                    "id": f"wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0{index:08d}",
                    "timestamp": "1795000000",
                    "type": "text",
                    "text": {"body": "x" * 560},
                }
            ],
        }
        entry = {"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}
        body = msgspec.json.encode({"object": "whatsapp_business_account", "entry": [entry]})
        lines.append(hmac.digest(SECRET.encode(), body, "sha256").hex().encode() + b" " + body + b"\n")
    path.write_bytes(b"".join(lines))


async def measure(running: Running, result: Measured, bodies: Path, seconds: int) -> None:
    """Load a router in a closed loop, and fill `result` in. Raises `MissingError` or `RuntimeError`."""
    await _wrk(running.port, bodies, WARM_SECONDS, result.connections)
    before = cpu_seconds(running.processes)
    said = await _wrk(running.port, bodies, seconds, result.connections)
    used = cpu_seconds(running.processes) - before
    result.answers = int(said["requests"])
    result.per_second = 1e6 * result.answers / said["microseconds"]
    result.p50_ms, result.p99_ms, result.p999_ms = said["p50"], said["p99"], said["p999"]
    result.failed = int(said["failed"])
    result.cpu_us = 1e6 * used / result.answers


async def _wrk(port: int, bodies: Path, seconds: int, connections: int) -> dict[str, float]:
    program = shutil.which("wrk")
    if program is None:
        raise MissingError("wrk is not installed: apt-get install wrk")
    process = await asyncio.create_subprocess_exec(
        *("taskset", "-c", LOAD_CORE, program, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"),
        *("-s", str(HERE / "load.lua"), f"http://127.0.0.1:{port}", "--", str(bodies)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    found = re.search(rb"^RESULT (.*)$", output, re.MULTILINE)
    if found is None:
        raise RuntimeError(output.decode(errors="replace"))
    return {name: float(value) for name, value in (pair.split("=") for pair in found[1].decode().split())}
