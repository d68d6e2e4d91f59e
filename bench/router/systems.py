"""Routers under test: ours, HAProxy, nginx + Lua, and FastAPI with httpx; each started before some pods."""

from __future__ import annotations

import asyncio
import base64
import shutil
import string
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from bench.common.processes import Child, free_port
from tools.system import find

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint, encode_directory
from comanda_contract.names import DELIVERIES_PATH, READY_PATH, group_key

HERE = Path(__file__).parent
SECRET = "bench-secret"
MASTER_KEY, GROUP_UID = "5a" * 32, "bench"
GROUP_KEY = group_key(bytes.fromhex(MASTER_KEY), "pool", GROUP_UID)
UNMETERED: dict[str, Any] = {"inbound_per_minute": 100_000, "inbound_burst": 100_000}
TENANTS = 10_000
FIRST_NUMBER = 10**14
SYSTEM_CORE, LOAD_CORE = "0", "1"
START_SECONDS = 120.0


PACKAGES = {
    "go": "golang-go",
    "haproxy": "haproxy",
    "nginx": "nginx-light libnginx-mod-http-lua lua-cjson",
    "perf": "linux-perf",
    "postgres": "postgresql",
    "wrk": "wrk",
}
NGINX_LUA = Path("/usr/share/nginx/modules/ngx_http_lua_module.so")


class MissingError(Exception):
    """A program that this benchmark needs is not installed."""


def numbers(tenants: int = TENANTS) -> list[str]:
    """Return the numbers of all tenants."""
    return [str(FIRST_NUMBER + index) for index in range(tenants)]


@dataclass(frozen=True)
class Upstreams:
    """Loopback ports of pods and the path they answer; `number` is where in a body HAProxy finds the phone number."""

    ports: Sequence[int]
    path: str = DELIVERIES_PATH
    number: str = "$.entry[0].changes[0].value.metadata.phone_number_id"


Command = tuple[Sequence[str], Mapping[str, str]]
"""Command line and environment."""


@dataclass(frozen=True)
class System:
    """One router: its name, and what starts it in a folder of its own, on a port, before pods."""

    name: str
    command: Callable[[Path, int, Upstreams], Command]


def write_directory(folder: Path, ports: Sequence[int], tenants: int, *, generation: int = 1) -> None:
    """Write a directory of so many tenants in one group."""
    endpoints = tuple(PodEndpoint(name=f"pool-{each}", url=f"http://127.0.0.1:{each}", ready=True) for each in ports)
    directory = Directory(
        generation=generation,
        apps=("default",),
        numbers=tuple(
            NumberEntry(phone_number_id=number, tenant=f"default/t{number}", app="default", group="pool", **UNMETERED)
            for number in numbers(tenants)
        ),
        groups=(Group(name="pool", uid=GROUP_UID, pods=endpoints),),
    )
    (folder / "directory.json").write_bytes(encode_directory(directory))


def ours(folder: Path, port: int, upstreams: Upstreams, *, tenants: int = TENANTS) -> Command:
    """Return how to start our router."""
    (folder / "apps").mkdir(parents=True, exist_ok=True)
    (folder / "apps" / "default.appSecret").write_text(SECRET)
    write_directory(folder, upstreams.ports, tenants)
    environment = {
        "COMANDA_ROUTER_PORT": str(port),
        "COMANDA_ROUTER_DIRECTORY_FILE": str(folder / "directory.json"),
        "COMANDA_ROUTER_APPS_DIR": str(folder / "apps"),
        "COMANDA_ROUTER_MASTER_KEY": MASTER_KEY,
        "COMANDA_ROUTER_DEAD_LETTERS_DIR": str(folder / "dead"),
        # The load has fewer customers than a minute of it would have in life.
        "COMANDA_ROUTER_CUSTOMER_PER_MINUTE": "100000",
        "COMANDA_ROUTER_CUSTOMER_BURST": "100000",
        "COMANDA_ROUTER_DRAIN_SECONDS": "0",
    }
    return (sys.executable, "-m", "comanda_router"), environment


def haproxy(folder: Path, port: int, upstreams: Upstreams) -> Command:
    """Return how to start HAProxy."""
    servers = "\n".join(f"    server p{each} 127.0.0.1:{each} pool-max-conn -1" for each in upstreams.ports)
    config = folder / "haproxy.cfg"
    config.write_text(_fill("haproxy.cfg.tmpl", port, folder, servers, upstreams))
    return (find_program("haproxy"), "-db", "-f", str(config)), {}


def nginx(folder: Path, port: int, upstreams: Upstreams) -> Command:
    """Return how to start nginx with its Lua module."""
    servers = "\n".join(f"    server 127.0.0.1:{each};" for each in upstreams.ports)
    config = folder / "nginx.conf"
    config.write_text(_fill("nginx.conf.tmpl", port, folder, servers, upstreams))
    return (find_program("nginx"), "-p", str(folder), "-c", str(config)), {}


def naive(_folder: Path, port: int, upstreams: Upstreams) -> Command:
    """Return how to start FastAPI with httpx; the ports must follow each other."""
    pods = f"{upstreams.ports[0]}-{len(upstreams.ports)}"
    return (sys.executable, str(HERE / "naive.py"), str(port), pods), {}


OURS = System("ours", ours)
HAPROXY = System("HAProxy", haproxy)
NGINX = System("nginx + Lua", nginx)
NAIVE = System("FastAPI + httpx", naive)


def ours_with(tenants: int) -> System:
    """Return our router with another number of tenants."""
    return System("ours", partial(ours, tenants=tenants))


class Router:
    """A running router."""

    def __init__(self, child: Child, port: int, folder: Path, start_seconds: float) -> None:
        self._child = child
        self.port = port
        self.folder = folder
        self.start_seconds = start_seconds
        """From its process' start to its being ready."""

    @property
    def processes(self) -> list[psutil.Process]:
        """Every process of it."""
        first = psutil.Process(self._child.pid)
        return [first, *first.children(recursive=True)]

    async def stop(self) -> None:
        """End it."""
        await self._child.stop()


async def start_router(system: System, folder: Path, upstreams: Upstreams, *, core: str | None = None) -> Router:
    """Start a router, on one core when that is given. Raises `MissingError` or `RuntimeError`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command, environment = system.command(folder, port, upstreams)
    pinned = () if core is None else ("taskset", "-c", core)
    begin = time.perf_counter()
    child = await Child.start((*pinned, *command), log=folder / "router.log", cwd=folder, environment=environment)
    await wait_until_ready(child, system.name, port)
    return Router(child, port, folder, time.perf_counter() - begin)


async def wait_until_ready(child: Child, name: str, port: int, answer: bytes = b"HTTP/1.1 200") -> None:
    """Wait until a process answers for its readiness; ends it if that does not happen. Raises `RuntimeError`."""
    ready = False
    try:
        ready = await _becomes_ready(child, port, answer)
    finally:  # whoever stops this benchmark meanwhile is to leave nothing behind
        if not ready:
            await child.stop()
    if not ready:
        raise RuntimeError(f"{name} did not become ready.\n{child.log_tail()}")


async def _becomes_ready(child: Child, port: int, answer: bytes) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.process.returncode is None:
        if (await _readiness(port)).startswith(answer):
            return True
        await asyncio.sleep(0.02)
    return False


async def _readiness(port: int) -> bytes:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return b""
    writer.write(f"GET {READY_PATH} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def find_program(name: str) -> str:
    """Return the path of a program. Raises `MissingError`, which names the Debian packages that bring it."""
    found = find("postgres") if name == "postgres" else shutil.which(name)
    if found is None or (name == "nginx" and not NGINX_LUA.exists()):
        raise MissingError(f"{name} is not installed, or not all of it: apt-get install {PACKAGES[name]}")
    return found


def _fill(template: str, port: int, folder: Path, servers: str, upstreams: Upstreams) -> str:
    values = {
        "PORT": port,
        "FOLDER": folder,
        "SERVERS": servers,
        "SECRET": SECRET,
        "SECRET_BASE64": base64.b64encode(SECRET.encode()).decode(),
        "GROUP_KEY": GROUP_KEY,
        "PATH": upstreams.path,
        "NUMBER": upstreams.number,
    }
    return string.Template((HERE / template).read_text()).safe_substitute(values)
