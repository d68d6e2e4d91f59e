"""No 200 leaves before the fdatasync that covers its row: seen from outside, in the system calls."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from tools.system import find

from comanda_contract.deliveries import Delivery, DeliveryBatch, decode_answers, encode_batch
from comanda_contract.names import DELIVERIES_PATH
from tests.harness import text_message, until
from tests.postgres import postgres_server
from tests.torture.world import HEADERS, NUMBERS, World

CALLS = "trace=fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg"
MESSAGES = 40


@contextmanager
def traced(processes: list[int], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Write the system calls of running processes and all their threads to a file."""
    program = find("strace")
    assert program is not None, "strace is missing: `make test` installs it on Debian; else set COMANDA_STRACE"
    command = [program, "-f", "-s", "100000", "-e", CALLS, "-o", str(output)]
    tracer = subprocess.Popen([*command, *(f"--attach={pid}" for pid in processes)], stderr=subprocess.PIPE)
    try:
        yield tracer
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)


def covered(wamid: str, lines: list[str]) -> bool:
    """Tell whether a message's row was written, then that same file synced by that same process, then the answer sent.

    Deliveries come one at a time, so the first answer after the row's write is the message's own.
    """
    written: tuple[str, str] | None = None
    syncing: dict[str, str] = {}
    synced = False
    for line in lines:
        process, _, call = line.partition(" ")
        call = call.lstrip()
        if written is None:
            if wamid in call and (found := re.match(r"pwrite(?:64|v)\((\d+)", call)):
                written = process, found[1]
            continue
        if found := re.match(r"f(?:data)?sync\((\d+)", call):
            syncing[process] = found[1]
        if re.search(r"f(?:data)?sync.*= 0$", call) and written == (process, syncing.get(process)):
            synced = True
        if "stored" in call and re.match(r"(write|writev|sendto|sendmsg)\(", call):
            return synced
    return False


async def _deliver(world: World, wamid: str) -> None:
    delivery = Delivery(
        kind="message",
        phone_number_id=NUMBERS[0],
        key=wamid,
        app="default",
        # A reaction: it is stored and gets no turn, so nothing else is written for it.
        item=msgspec.Raw(msgspec.json.encode(text_message(wamid) | {"type": "reaction"})),
    )
    url = f"http://127.0.0.1:{world.pods[0].port}{DELIVERIES_PATH}"
    body = encode_batch(DeliveryBatch(deliveries=[delivery]))
    async with world.session.post(url, data=body, headers=HEADERS) as response:
        (answer,) = decode_answers(await response.read()).answers
    assert answer.outcome == "stored"


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.timeout(200)
async def test_no_acknowledgement_leaves_before_its_row_is_synced(tmp_path: Path, database: str) -> None:
    with postgres_server() as server:
        await server.accepts()
        await server.prepare()
        urls = await server.new_database() if database == "postgresql" else None
        async with World(tmp_path, urls, seed=0) as world:
            assert world.pods[0].process is not None
            await _deliver(world, "wamid.FIRST")  # whatever is opened with the first delivery is open now
            watched = [world.pods[0].process.pid]
            if urls is not None:
                watched += [process.pid for process in server.processes()]
            output = tmp_path / "calls"
            with traced(watched, output):
                await _until_traced(world, output)
                wamids = [f"wamid.SYNC{index:04}" for index in range(MESSAGES)]
                for wamid in wamids:
                    await _deliver(world, wamid)
    lines = output.read_text(errors="replace").splitlines()
    assert [wamid for wamid in wamids if not covered(wamid, lines)] == []


async def _until_traced(world: World, output: Path) -> None:
    """Deliver until the trace shows it."""
    count = 0

    async def shows() -> bool:
        nonlocal count
        count += 1
        await _deliver(world, f"wamid.WARM{count:04}")
        lines = output.read_text(errors="replace").splitlines() if output.exists() else []
        return any(f"wamid.WARM{count:04}" in line and " pwrite" in line for line in lines)

    await until(shows, 30, "the trace shows what is written")


def test_an_answer_before_its_sync_is_found() -> None:
    row = '7 pwrite64(5, "..wamid.X..", 4096, 0) = 4096'
    sync, answer = "7 fdatasync(5) = 0", '8 sendto(9, "HTTP/1.1 200 OK stored", 22) = 22'
    assert covered("wamid.X", [row, sync, answer])
    assert not covered("wamid.X", [row, answer, sync])
    assert not covered("wamid.X", [row, "7 fdatasync(6) = 0", answer])
    assert not covered("wamid.X", [sync, row, answer])
    assert not covered("wamid.X", [sync, answer])
    assert covered("wamid.X", [row, "7 fdatasync(5 <unfinished ...>", "7 <... fdatasync resumed>) = 0", answer])
    assert not covered("wamid.X", [row, "7 fdatasync(5 <unfinished ...>", answer, "7 <... fdatasync resumed>) = 0"])
