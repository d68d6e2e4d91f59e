from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml

from comanda_botpod.app import create_app
from comanda_botpod.pod import Pod
from comanda_botpod.settings import BotPodSettings
from comanda_contract.deliveries import BatchAnswer, Delivery, DeliveryBatch, decode_answers, encode_batch
from comanda_contract.tenancy import CredentialShard, Departure, Erasure, TenantSettings, TenantShard, shard_digest
from comanda_router.split import split
from comanda_simulator.app import create_app as create_simulator
from comanda_simulator.config import AppConfig, NumberConfig, Settings, SimulatorConfig
from comanda_store.sqlite.engine import sqlite_url
from tests.harness import change, serving, until, webhook

GROUP_KEY = "22" * 32
RESTAURANT = yaml.safe_load((Path(__file__).parents[1] / "test_flow" / "pizzeria.yaml").read_text())
RESTAURANT["accept_when_closed"] = True
PHONE = "56911112222"
APP_ID = "1029384756"


def tenant(number: str = "10000011", **changes: Any) -> TenantSettings:
    base = TenantSettings(
        tenant=f"default/t{number}",
        phone_number_id=number,
        waba_id="20000001",
        display_name="Napoli",
        app="default",
        app_id=APP_ID,
        locale="es-CL",
        timezone="America/Santiago",
        currency="CLP",
        restaurant=RESTAURANT,
    )
    return msgspec.structs.replace(base, **changes)


@dataclass
class PodUnderTest:
    """A real pod on a real port, its mounted files, and Meta's side."""

    folder: Path
    session: aiohttp.ClientSession
    graph_url: str
    cloud: Any
    url: str = ""
    pod: Pod = field(init=False)

    def mount(
        self,
        *tenants: TenantSettings,
        tokens: dict[str, str] | None = None,
        erase: Sequence[TenantSettings] = (),
        leaving: Sequence[Departure] = (),
    ) -> None:
        tokens = tokens if tokens is not None else {each.phone_number_id: "good-token" for each in tenants}
        gone = tuple(Erasure(tenant=each.tenant, phone_number_id=each.phone_number_id) for each in erase)
        shard = TenantShard(tenants=tenants, erase=gone, leaving=tuple(leaving))
        self.write("tenants/shard-00.json", msgspec.json.encode(shard))
        self.write("credentials/shard-00.json", msgspec.json.encode(CredentialShard(access_tokens=tokens)))

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)

    async def has_loaded(self) -> bool:
        """Tell whether the pod says that it has loaded exactly what is mounted."""
        files = ((self.folder / kind / "shard-00.json").read_bytes() for kind in ("tenants", "credentials"))
        digest = shard_digest(bytes.fromhex(GROUP_KEY), *(hashlib.sha256(content).digest() for content in files))
        return await self.shards() == {"shard-00": digest}

    async def shards(self) -> Mapping[str, str]:
        """Return the digests of the shards that the pod says it has loaded."""
        async with self.session.get(f"{self.url}/readyz") as response:
            said: Mapping[str, str] = (await response.json())["shards"]
            return said

    async def deliver(self, *deliveries: Delivery, key: str = GROUP_KEY) -> BatchAnswer:
        body = encode_batch(DeliveryBatch(deliveries=list(deliveries)))
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        async with self.session.post(f"{self.url}/v1/deliveries", data=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            return decode_answers(await response.read())

    async def write_items(self, *items: dict[str, Any], number: str = "10000011", **value: Any) -> list[str]:
        """Deliver items as the router would split them; returns the outcomes."""
        document = webhook(change(number, messages=list(items), **value))
        parts = split("default", msgspec.json.encode(document))
        return [answer.outcome for answer in (await self.deliver(*parts.deliveries)).answers]

    def replies(self, customer: str = "") -> list[dict[str, Any]]:
        return [
            msgspec.json.decode(entry.payload)
            for entry in self.cloud.ledger.entries.after(0)
            if entry.direction == "out" and customer in {"", entry.customer}
        ]

    async def count_replies(self, count: int, customer: str = "") -> list[dict[str, Any]]:
        await until(lambda: len(self.replies(customer)) >= count, what=f"{count} replies")
        assert len(self.replies(customer)) == count
        return self.replies(customer)

    async def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "comanda.db", timeout=10)) as connection, connection:
            return connection.execute(statement).fetchall()

    async def sql_gives(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Wait until a statement has these rows."""

        async def gives() -> bool:
            return await self.sql(statement) == rows

        await until(gives, what=f"{statement} gives {rows}")


@pytest.fixture
async def make_pod(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Make pods on one database, with Meta's side beside them."""
    async with AsyncExitStack() as stack:
        numbers = tuple(
            NumberConfig(
                phone_number_id=number,
                waba_id="20000001",
                display_phone_number=f"999{number}",
                access_token="good-token",
            )
            for number in ("10000011", "10000022")
        )
        simulator = create_simulator(
            SimulatorConfig(
                webhook_url="http://127.0.0.1:9/webhook",
                apps={"default": AppConfig(app_secret="s")},
                numbers=numbers,
                settings=Settings(enforce_window=False, statuses=False),
            )
        )
        graph_url = await stack.enter_async_context(serving(simulator))
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def make(*tenants: TenantSettings, name: str = "pod-0", group: str = "") -> PodUnderTest:
            folder = tmp_path / group
            folder.mkdir(exist_ok=True)
            made = PodUnderTest(folder, session, graph_url, simulator.state.cloud)
            made.mount(*(tenants or (tenant(),)))
            settings = BotPodSettings(
                pod=name,
                tenants_dir=folder / "tenants",
                credentials_dir=folder / "credentials",
                group_key=GROUP_KEY,
                database_url=sqlite_url(folder / "comanda.db"),
                graph_url=graph_url,
                reload_seconds=0.02,
                stale_after_seconds=6 * 3600,  # the messages are of the start of the whole run
            )
            app = create_app(settings)
            made.url = await stack.enter_async_context(serving(app))
            assert app.pod is not None
            made.pod = app.pod
            return made

        yield make


@pytest.fixture
async def pod(make_pod: Callable[..., Any]) -> PodUnderTest:
    made: PodUnderTest = await make_pod()
    return made
