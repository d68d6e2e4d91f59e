"""The simulator as a process: starts, follows its file, logs JSON, stops cleanly."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from comanda_simulator.server import bind
from tests.test_simulator.harness import NUMBER, Json, build_config
from tests.test_simulator.test_config import write


@asynccontextmanager
async def start(config: Path, port: int) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", "comanda_simulator", "--config", str(config), "--port", str(port)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def logged(process: Process, event: str) -> Json:
    """Wait for a line of the log."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        line = dict(json.loads(await process.stderr.readline()))
    assert line["event"] == event
    return line


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "simulator.json"
    path.write_bytes(msgspec.json.encode(build_config()))
    return path


async def test_process_serves_follows_its_file_and_stops_on_sigterm(config: Path) -> None:
    async with aiohttp.ClientSession() as http, start(config, 0) as process:
        port = (await logged(process, "listening"))["port"]
        url = f"http://127.0.0.1:{port}/simulator"
        async with http.get(f"{url}/numbers") as response:
            assert len(await response.json()) == 3
        shorter = msgspec.structs.replace(build_config(), numbers=build_config().numbers[:1])
        await asyncio.to_thread(write, config, msgspec.to_builtins(shorter))
        await logged(process, "config_read")
        async with http.get(f"{url}/numbers") as response:
            assert [number["phone_number_id"] for number in await response.json()] == [NUMBER]
        async with http.get(f"{url}/events") as stream:
            assert (await stream.content.readline()).startswith(b"retry")
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                out, err = await process.communicate()
    assert process.returncode == 0
    assert out == b""
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["stopped"]


async def test_taken_port_is_one_clear_line_and_exit_code_one(config: Path) -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        async with start(config, port) as process:
            _, err = await process.communicate()
    assert process.returncode == 1
    last = json.loads(err.splitlines()[-1])
    assert (last["code"], last["event"]) == ("port_taken", "cannot_start")
    assert str(port) in last["message"]


async def test_broken_configuration_is_one_clear_line_and_exit_code_one(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"numbers": [{}]}')
    async with start(path, 0) as process:
        _, err = await process.communicate()
    assert process.returncode == 1
    [line] = err.splitlines()
    assert json.loads(line)["code"] == "simulator_config"
