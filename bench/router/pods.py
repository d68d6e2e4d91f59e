"""What stores behind a router: two bot pods of one group, or two processes that insert a row a request."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
from bench.common.processes import Child, free_port
from bench.router.databases import Database
from bench.router.systems import GROUP_KEY, TENANTS, Upstreams, numbers, wait_until_ready

from comanda_contract.tenancy import CredentialShard, TenantSettings, TenantShard

PODS = 2
INSERTING = Path(__file__).parents[1] / "pod" / "peer.py"


@asynccontextmanager
async def running_pods(database: Database, tenants: int = TENANTS) -> AsyncIterator[Upstreams]:
    """Run two bot pods whose tenants are suspended: what they get is stored and no turn follows."""
    _mount(database.folder, numbers(tenants))
    async with _running([partial(_start_pod, database, index) for index in range(PODS)]) as ports:
        yield Upstreams(ports)


@asynccontextmanager
async def running_inserts(database: Database) -> AsyncIterator[Upstreams]:
    """Run two processes of FastAPI in which each request is an insert and a commit."""
    async with _running([partial(_start_inserting, database, index) for index in range(PODS)]) as ports:
        yield Upstreams(ports, "/messages")


@asynccontextmanager
async def _running(starts: Iterable[Callable[[], Awaitable[tuple[Child, int]]]]) -> AsyncIterator[list[int]]:
    """Start processes one after the other, since the first one fills the database; give their ports, and end them."""
    async with AsyncExitStack() as stack:
        ports = []
        for start in starts:
            child, port = await start()
            stack.push_async_callback(child.stop)
            ports.append(port)
        yield ports


async def _start_pod(database: Database, index: int) -> tuple[Child, int]:
    port, folder = free_port(), database.folder
    settings = {
        "POD": f"pool-{index}",
        "PORT": port,
        "TENANTS_DIR": folder / "tenants",
        "CREDENTIALS_DIR": folder / "credentials",
        "GROUP_KEY": GROUP_KEY,
        "DATABASE_URL": database.url,
        "PENDING_PER_TENANT": 1_000_000,
    }
    environment = {f"COMANDA_BOTPOD_{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "comanda_botpod"]
    child = await Child.start(command, log=folder / f"pod-{index}.log", cwd=folder, environment=environment)
    await wait_until_ready(child, "The pod", port)
    return child, port


async def _start_inserting(database: Database, index: int) -> tuple[Child, int]:
    port, folder = free_port(), database.folder
    command = [sys.executable, str(INSERTING), str(port), database.owner_url]
    child = await Child.start(command, log=folder / f"inserting-{index}.log", cwd=folder)
    await wait_until_ready(child, "FastAPI", port, answer=b"HTTP/1.1 404")
    return child, port


def _mount(folder: Path, every: Sequence[str]) -> None:
    """Write the files that a cluster would mount."""
    shard = TenantShard(tenants=tuple(map(_settings, every)))
    tokens = CredentialShard(access_tokens=dict.fromkeys(every, "token"))
    for kind, content in (("tenants", shard), ("credentials", tokens)):
        (folder / kind).mkdir()
        (folder / kind / "shard-00.json").write_bytes(msgspec.json.encode(content))


def _settings(number: str) -> TenantSettings:
    return TenantSettings(
        tenant=f"default/t{number}",
        phone_number_id=number,
        waba_id=number,
        display_name=number,
        app="default",
        locale="es-CL",
        timezone="America/Santiago",
        currency="CLP",
        suspended=True,
    )
