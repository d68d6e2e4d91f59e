"""Routers under test, each pinned to one core, and the stand-in for pods, which shares the other with the load."""

from __future__ import annotations

import asyncio
import base64
import shutil
import string
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from bench.common.processes import Child, free_port

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint, encode_directory

HERE = Path(__file__).parent
SECRET = "bench-secret"
UNMETERED: dict[str, Any] = {"inbound_per_minute": 100_000, "inbound_burst": 100_000}
TENANTS = 10_000
FIRST_NUMBER = 10**14
SYSTEM_CORE, LOAD_CORE = "0", "1"
START_SECONDS = 60.0


class MissingError(Exception):
    """A program that this benchmark needs is not installed."""


def numbers() -> list[str]:
    """Return the numbers of all tenants."""
    return [str(FIRST_NUMBER + index) for index in range(TENANTS)]


@dataclass(frozen=True)
class System:
    """One router: its name, and what starts it for some pods in a folder of its own on a port."""

    name: str
    command: Callable[[Path, int, Pods], tuple[Sequence[str], Mapping[str, str]]]


@dataclass(frozen=True)
class Pods:
    """Ports on which the stand-in answers."""

    first: int
    count: int

    @property
    def ports(self) -> range:
        """All of them."""
        return range(self.first, self.first + self.count)


def ours(folder: Path, port: int, pods: Pods) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return how to start our router."""
    (folder / "apps" / "default").mkdir(parents=True, exist_ok=True)
    (folder / "apps" / "default" / "appSecret").write_text(SECRET)
    endpoints = tuple(
        PodEndpoint(name=f"pool-{each}", url=f"http://127.0.0.1:{each}", ready=True) for each in pods.ports
    )
    directory = Directory(
        generation=1,
        apps=("default",),
        numbers=tuple(
            NumberEntry(phone_number_id=number, tenant=f"default/t{number}", app="default", group="pool", **UNMETERED)
            for number in numbers()
        ),
        groups=(Group(name="pool", uid="bench", pods=endpoints),),
    )
    (folder / "directory.json").write_bytes(encode_directory(directory))
    environment = {
        "COMANDA_ROUTER_PORT": str(port),
        "COMANDA_ROUTER_DIRECTORY_FILE": str(folder / "directory.json"),
        "COMANDA_ROUTER_APPS_DIR": str(folder / "apps"),
        "COMANDA_ROUTER_MASTER_KEY": "5a" * 32,
        "COMANDA_ROUTER_DEAD_LETTERS_DIR": str(folder / "dead"),
        # The load has fewer customers than a minute of it would have in life.
        "COMANDA_ROUTER_CUSTOMER_PER_MINUTE": "100000",
        "COMANDA_ROUTER_CUSTOMER_BURST": "100000",
        "COMANDA_ROUTER_DRAIN_SECONDS": "0",
    }
    return (sys.executable, "-m", "comanda_router"), environment


def haproxy(folder: Path, port: int, pods: Pods) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return how to start HAProxy."""
    servers = "\n".join(f"    server p{each} 127.0.0.1:{each} pool-max-conn -1" for each in pods.ports)
    config = folder / "haproxy.cfg"
    config.write_text(_fill("haproxy.cfg.tmpl", port, folder, servers))
    return (_program("haproxy"), "-db", "-f", str(config)), {}


def nginx(folder: Path, port: int, pods: Pods) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return how to start nginx with its Lua module."""
    if not Path("/usr/share/nginx/modules/ngx_http_lua_module.so").exists():
        raise MissingError("nginx's Lua module: apt-get install libnginx-mod-http-lua lua-cjson")
    servers = "\n".join(f"    server 127.0.0.1:{each};" for each in pods.ports)
    config = folder / "nginx.conf"
    config.write_text(_fill("nginx.conf.tmpl", port, folder, servers))
    return (_program("nginx"), "-p", str(folder), "-c", str(config)), {}


def naive(_folder: Path, port: int, pods: Pods) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return how to start FastAPI with httpx."""
    return (sys.executable, str(HERE / "naive.py"), str(port), f"{pods.first}-{pods.count}"), {}


OURS = System("ours", ours)
HAPROXY = System("HAProxy", haproxy)
NGINX = System("nginx + Lua", nginx)
NAIVE = System("FastAPI + httpx", naive)


class Running:
    """A router and its pods, running."""

    def __init__(self, router: Child, sink: asyncio.subprocess.Process, port: int) -> None:
        self._router = router
        self._sink = sink
        self.port = port

    @property
    def processes(self) -> list[psutil.Process]:
        """Every process of the router."""
        first = psutil.Process(self._router.pid)
        return [first, *first.children(recursive=True)]

    async def stop(self) -> None:
        """End both."""
        await self._router.stop()
        assert self._sink.stdin is not None
        self._sink.stdin.close()
        await self._sink.wait()


async def start(system: System, folder: Path, sink: Path, count: int) -> Running:
    """Start the pods' stand-in and a router before it. Raises `MissingError` or `RuntimeError`."""
    folder.mkdir(parents=True, exist_ok=True)
    pods = Pods(20_000, count)
    standin = await asyncio.create_subprocess_exec(
        *("taskset", "-c", LOAD_CORE, str(sink), "-first", str(pods.first), "-count", str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert standin.stdout is not None
    if await standin.stdout.readline() != b"ready\n":
        raise RuntimeError("The stand-in for pods did not start; is a port from 20000 on in use?")
    port = free_port()
    command, environment = system.command(folder, port, pods)
    router = await Child.start(
        ("taskset", "-c", SYSTEM_CORE, *command), log=folder / "router.log", cwd=folder, environment=environment
    )
    running = Running(router, standin, port)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _is_ready(port):
                if router.process.returncode is not None:
                    raise RuntimeError(f"{system.name} ended while it started.\n{router.log_tail()}")
                await asyncio.sleep(0.05)
    except TimeoutError:
        await running.stop()
        raise RuntimeError(f"{system.name} did not become ready.\n{router.log_tail()}") from None
    return running


def build_sink(binary: Path) -> None:
    """Build the stand-in for pods. Raises `MissingError` without Go."""
    subprocess.run([_program("go"), "build", "-o", str(binary), "."], cwd=HERE / "sink", check=True)


def _fill(template: str, port: int, folder: Path, servers: str) -> str:
    secret = base64.b64encode(SECRET.encode()).decode()
    values = {"PORT": port, "FOLDER": folder, "SERVERS": servers, "SECRET": SECRET, "SECRET_BASE64": secret}
    return string.Template((HERE / template).read_text()).safe_substitute(values)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingError(f"{name} is not installed: apt-get install {name}")
    return found


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: router\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.startswith(b"HTTP/1.1 200")
