"""What the tests of python handlers share: tenants and claims as values, and handlers installed for their processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from comanda_botpod.handlers import Handler
from comanda_botpod.handlers.contained.child import Watch
from comanda_botpod.handlers.python import PythonHandler
from comanda_botpod.handlers.sdk.media import LIMITS
from comanda_botpod.media import MediaClient
from comanda_botpod.tenants import Tenant, Tenants
from comanda_contract.tenancy import CredentialShard, HandlerSettings, TenantSettings, TenantShard
from comanda_store import Claim, OrderRecord, TurnResult
from tests.harness import NOW
from tests.test_botpod.conftest import PHONE, tenant

HOSTILE = Path(__file__).parent / "hostile"
ENTRY_POINTS = """[comanda.handlers]
hostile = hostile_bot:handle
not-callable = hostile_bot:nothing_to_call
not-async = hostile_bot:not_async
no-such-object = hostile_bot:nobody
dies = dies_at_import:handle
breaks = breaks_at_import:handle
"""
CONTACT = msgspec.json.encode({"wa_id": PHONE, "profile": {"name": "Ana"}}).decode()
HASTY = Watch(stall_seconds=2.0, ping_seconds=0.1, memory_seconds=0.05)
"""Watched closely, so that what is blocked is noticed soon; still far from what a busy machine may take to answer."""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *sources: Path, entry_points: str = ENTRY_POINTS) -> None:
    """Install a package for child processes alone: its metadata in a folder, and both on PYTHONPATH."""
    info = folder / "installed" / "handlers_under_test-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: handlers-under-test\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    marks = folder / "marks"
    marks.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (info.parent, *(sources or (HOSTILE,))))))
    monkeypatch.setenv("MARKS_DIR", str(marks))


def settings_of(entry_point: str = "hostile", number: str = "10000011", **handler: Any) -> TenantSettings:
    wanted: dict[str, Any] = {"timeout_seconds": 60, "env": ("MARKS_DIR",)} | handler
    return tenant(number, handler=HandlerSettings(type="python", entry_point=entry_point, **wanted))


def load(folder: Path, *settings: TenantSettings) -> list[Tenant]:
    """Return tenants as a pod reads them from its mounted files."""
    for name, content in (("tenants", TenantShard(tenants=settings)), ("credentials", CredentialShard())):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "shard-00.json").write_bytes(msgspec.json.encode(content))
    tenants = Tenants(folder / "tenants", folder / "credentials", b"key")
    tenants.refresh()
    assert not tenants.problems
    return list(tenants.all())


@dataclass
class Customer:
    """One customer's conversation: claims go out of it, results come back."""

    handler: Handler
    tenant: Tenant
    number: int = 1
    state: bytes | None = None
    flow_version: str = ""
    handover_until: int = 0
    turns: int = 0

    async def say(self, text: str) -> str:
        """Write; returns the texts that would be sent. Raises what the turn raises."""
        return said(await self.turn({"type": "text", "text": {"body": text}}))

    async def turn(self, message: dict[str, Any], type_: str = "") -> TurnResult:
        self.turns += 1
        result = await self.handler.handle(self.tenant, self.claim(message, type_))
        self.state, self.flow_version = result.state, result.flow_version
        self.handover_until = result.handover_until
        return result

    def claim(self, message: Any, type_: str = "") -> Claim:
        wamid = f"wamid.{self.number}.{self.turns}"
        if not type_:
            message = {"id": wamid, "from": PHONE, "timestamp": str(NOW)} | message
        return Claim(
            inbox_id=self.number * 1000 + self.turns,
            wamid=wamid,
            tenant=self.tenant.name,
            phone_number_id=self.tenant.number,
            customer_id=self.number,
            phone=PHONE,
            user_id="",
            type=type_ or message["type"],
            payload=msgspec.json.encode(message).decode(),
            contact="null" if type_ else CONTACT,
            sent_at=NOW * 1000,
            received_at=NOW * 1000,
            attempts=1,
            state=self.state,
            flow_version=self.flow_version,
            version=self.turns,
            handover_until=self.handover_until,
        )


def said(result: TurnResult) -> str:
    """Return the texts of a result, one a line."""
    return "\n".join(msgspec.json.decode(message)["text"]["body"] for message in result.messages)


@dataclass
class World:
    """A python handler with its tenants, and the orders that are in its store."""

    folder: Path
    orders: list[OrderRecord] = field(default_factory=list)
    handler: PythonHandler = field(init=False)
    graph_url: str = "http://127.0.0.1:9"
    tenants: Sequence[Tenant] = ()
    watch: Watch = HASTY

    def __post_init__(self) -> None:
        self._session = aiohttp.ClientSession()
        self.media = MediaClient(self._session, self.graph_url, limits=LIMITS, timeout_seconds=20)
        self.handler = PythonHandler(self.recent, self.media, self.watch)

    async def close(self) -> None:
        await self.handler.close()
        await self.media.close()
        await self._session.close()

    async def recent(self, claim: Claim) -> list[OrderRecord]:
        return [order for order in self.orders if order.tenant == claim.tenant]

    def use(self, *settings: TenantSettings) -> Customer:
        """Serve tenants; returns a customer of the first one."""
        self.tenants = load(self.folder, *settings)
        return self.customer(1)

    def customer(self, number: int, tenant_index: int = 0) -> Customer:
        return Customer(self.handler, self.tenants[tenant_index], number)

    def mark(self, name: str) -> Path:
        return self.folder / "marks" / name
