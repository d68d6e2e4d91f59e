"""A tenant moves between groups, with open conversations: real operator, real pods, real databases, Meta simulated."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest

from comanda_contract.deliveries import DeliveryBatch, decode_answers, encode_batch
from comanda_contract.names import DELIVERIES_PATH, group_key
from comanda_kube.resources import CONFIG_MAPS, PODS
from comanda_operator.reconcile import POOLS, TENANTS
from comanda_router.split import split
from comanda_simulator.app import create_app as create_simulator
from comanda_simulator.config import AppConfig, NumberConfig, Settings, SimulatorConfig
from tests.harness import change, serving, text_message, until, webhook
from tests.postgres import DatabaseUrls, PostgresServer
from tests.test_operator.bot_pods import BotPods
from tests.test_operator.cluster import HOME, MASTER_KEY, SOURCE, Cluster, OperatorProcess, cluster

pytestmark = pytest.mark.timeout(400)
POOL = f"{HOME}/pool-default"
MENU = (Path(__file__).parents[1] / "test_flow" / "pizzeria.yaml").read_text() + "accept_when_closed: true\n"
MOST_UNANSWERED = 200
PHASES = ("Pausing", "Copying", "Loading", "Erasing", "")
NUMBERS = [str(300_000_000 + index) for index in range(4)]


@dataclass
class Town:
    """A cluster with an operator, real pods, Meta's side, and customers who write."""

    site: Cluster
    pods: BotPods
    operator: OperatorProcess
    shop: str
    graph: Any
    database: DatabaseUrls
    number: str = NUMBERS[0]
    refused: int = 0
    acknowledged: set[str] = field(default_factory=set)

    @property
    def own(self) -> str:
        return f"{self.shop}/tenant-napoli"

    async def status(self) -> dict[str, Any]:
        status: dict[str, Any] = (await self.site.get(TENANTS, self.shop, "napoli")).get("status", {})
        return status

    async def deliver(self, wamid: str, text: str, sender: str = "56911112222") -> None:
        """Bring a message as Meta and the router do: to a pod of the tenant's group, again until it is stored."""
        document = webhook(change(self.number, messages=[text_message(wamid, sender, text)]))
        body = encode_batch(DeliveryBatch(deliveries=list(split("default", msgspec.json.encode(document)).deliveries)))

        async def is_stored() -> bool:
            outcome = await self._try(body)
            self.refused += outcome == "refused"
            return outcome in {"stored", "duplicate"}

        await until(is_stored, 60, f"{wamid} is stored")
        self.acknowledged.add(wamid)

    async def _try(self, body: bytes) -> str:
        group = (await self.status()).get("group", "")
        namespace, _, name = group.partition("/")
        pods = await self.site.all(PODS, namespace, f"comanda.dev/group={name}") if group else []
        for pod in pods:
            labels, address = pod["metadata"]["labels"], pod.get("status", {}).get("podIP")
            if not address:
                continue
            key = group_key(MASTER_KEY, group, labels["comanda.dev/group-uid"])
            url = f"http://{address}:{self.pods.port}{DELIVERIES_PATH}"
            with suppress(aiohttp.ClientError):
                headers = {"Authorization": f"Bearer {key}"}
                async with self.site.session.post(url, data=body, headers=headers) as response:
                    return decode_answers(await response.read()).answers[0].outcome
        return "refused"

    def replies(self, customer: str) -> list[dict[str, Any]]:
        return [
            msgspec.json.decode(entry.payload)
            for entry in self.graph.ledger.entries.after(0)
            if entry.direction == "out" and entry.customer == customer
        ]

    async def say(self, wamid: str, text: str, sender: str = "56911112222") -> str:
        """Write a message and wait for what the bot says to it; returns that."""
        before = len(self.replies(sender))
        await self.deliver(wamid, text, sender)
        await until(lambda: len(self.replies(sender)) > before, 60, f"{wamid} is answered")
        return json.dumps(self.replies(sender)[-1], ensure_ascii=False)

    async def make(self, **spec: Any) -> None:
        menu = {"configMapRef": {"name": "menu"}}
        where = {"locale": "es-CL", "timezone": "America/Santiago", "currency": "CLP"}
        await self.site.tenant(self.shop, "napoli", token="good-token", flow=menu, **where, **spec)

    async def arrives(self, group: str) -> dict[str, Any]:
        """Wait until the tenant is served by a group and nothing of the move is left to do."""

        async def is_there() -> bool:
            status = await self.status()
            ready = await self.site.condition(TENANTS, self.shop, "napoli")
            return status.get("group") == group and "movingFrom" not in status and ready == ("True", "Acknowledged")

        await until(is_there, 90, f"the tenant is at {group}")
        return await self.status()

    async def reaches(self, phase: str, group: str) -> None:
        """Wait until a move is at a step, or past it."""

        async def has_reached() -> bool:
            status = await self.status()
            return status["group"] == group and PHASES.index(status.get("movePhase", "")) >= PHASES.index(phase)

        await until(has_reached, 60, f"the move is at {phase}")

    def embedded(self, query: str, pod: str = "tenant-napoli-0") -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.pods.volume(f"{self.shop}/{pod}"), timeout=10)) as connection, connection:
            return connection.execute(query).fetchall()


@pytest.fixture
async def town(tmp_path: Path, postgres: PostgresServer) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(cluster(tmp_path))
        numbers = tuple(
            NumberConfig(
                phone_number_id=number, waba_id="1", display_phone_number=f"99{number}", access_token="good-token"
            )
            for number in NUMBERS
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
        database = await postgres.new_database()
        await site.app()
        await site.pool()
        await site.secret(HOME, "default-database", url=database.service)
        shop = await site.namespace()
        site.numbers[f"{shop}/napoli"] = NUMBERS[0]
        menu = {"metadata": {"namespace": shop, "name": "menu", "labels": SOURCE}, "data": {"restaurant.yaml": MENU}}
        await site.admin.apply(CONFIG_MAPS, menu)
        pods = BotPods(site, tmp_path / "pods")
        operator = await stack.enter_async_context(site.operator(GRAPH_URL=graph_url))
        await stack.enter_async_context(pods.running())
        yield Town(site, pods, operator, shop, simulator.state.cloud, database)


async def test_an_order_that_was_begun_in_a_pool_ends_in_pods_of_the_tenants_own_and_the_way_back(town: Town) -> None:
    await town.make()
    await town.arrives(POOL)
    await town.say("w1", "hola")
    await town.say("w2", "1")
    steps = await town.database.sql("select length(state), version from conversations")
    await town.make(plan="enterprise", enterprise={})
    await town.arrives(town.own)
    assert town.embedded("select length(state), version from conversations") == steps
    assert await town.database.sql("select count(*) from inbox") == [(0,)], "nothing of it is left in the pool"
    await town.say("w3", "1")
    ((messages,),) = town.embedded("select count(*) from inbox where state = 'done'")
    assert messages == 3
    await town.make()
    status = await town.arrives(POOL)
    assert "pausedSince" not in status
    await town.say("w4", "1")
    assert await town.database.sql("select count(*), count(distinct customer_id) from inbox") == [(4, 1)]
    await until(town.operator.is_idle)

    async def is_gone() -> bool:
        return await town.site.objects_of(town.own) == {}

    await until(is_gone, 30, "the pods of its own are gone")
    replies = town.replies("56911112222")
    assert len(replies) == 4


async def test_nothing_is_lost_doubled_or_reordered_though_the_operator_dies_at_every_step(town: Town) -> None:
    await town.make()
    await town.arrives(POOL)
    async with customers(town) as writing:
        for index, phase in enumerate(("Pausing", "Copying", "Loading", "Erasing")):
            own = index % 2 == 0
            await town.make(**({"plan": "enterprise", "enterprise": {}} if own else {}))
            await town.reaches(phase, town.own if own else POOL)
            await town.operator.kill()
            await town.operator.again()
            await town.arrives(town.own if own else POOL)
            await writing.all_were_answered()
    rows = await town.database.sql(
        "select a.value, i.wamid, i.state, o.state, o.wamid, o.ambiguous from inbox i"
        " join outbox o on o.inbox_id = i.id join customer_aliases a on a.customer_id = i.customer_id order by i.id"
    )
    assert {(row[2], row[3]) for row in rows} == {("done", "sent")}
    assert Counter(row[1] for row in rows) == Counter(town.acknowledged), "each has one reply"
    sent = [entry.wamid for entry in town.graph.ledger.entries.after(0) if entry.direction == "out"]
    assert {row[4] for row in rows} <= set(sent)
    # A send whose end nobody saw goes out once more: a pod that stood still for long was taken for dead.
    assert len(sent) <= len(rows) + sum(row[5] > 0 for row in rows)
    for customer in writing.written:
        mine = [str(row[1]) for row in rows if row[0] == customer]
        assert mine == sorted(mine), "in the order in which they were written"
    assert town.refused, "some came while it was paused, and came again"


async def test_a_move_is_called_back_while_the_old_pods_have_not_let_go(town: Town) -> None:
    await town.make()
    await town.arrives(POOL)
    await town.say("w1", "hola")
    process = town.pods.processes[f"{POOL}-1"]
    process.send_signal(signal.SIGSTOP)
    try:
        await town.make(plan="enterprise", enterprise={})
        await town.reaches("Pausing", town.own)
        tenant = await town.site.becomes(TENANTS, town.shop, "napoli", "Moving")
        assert tenant["status"]["movingFrom"] == POOL
        assert tenant["status"]["pausedSince"]
        await town.make()
    finally:
        process.send_signal(signal.SIGCONT)
    await town.arrives(POOL)
    await town.say("w2", "1")
    assert await town.database.sql("select count(*) from inbox where state = 'done'") == [(2,)]

    async def is_gone() -> bool:
        return await town.site.objects_of(town.own) == {}

    await until(is_gone, 30, "the pods of its own that nobody wants are gone")


async def test_groups_on_one_database_are_not_moved_between_and_say_so(town: Town) -> None:
    await town.make()
    await town.arrives(POOL)
    await town.say("w1", "hola")
    await town.site.secret(HOME, "other-database", url=town.database.service)
    await town.site.admin.apply(
        POOLS,
        {
            "metadata": {"namespace": HOME, "name": "other"},
            "spec": {"replicas": 1, "database": {"name": "other-database"}},
        },
    )
    await town.make(poolRef="other")

    async def is_refused() -> bool:
        conditions = (await town.status()).get("conditions", ())
        return any("both groups work on one database" in each["message"] for each in conditions)

    await until(is_refused, 60, "the status says why it does not move")
    await town.arrives(POOL)
    await town.say("w2", "1")
    assert await town.database.sql("select count(*) from inbox where state = 'done'") == [(2,)]


async def test_a_tenant_that_is_deleted_in_the_middle_is_erased_where_it_was(town: Town) -> None:
    await town.make(deletionPolicy="Delete")
    await town.arrives(POOL)
    await town.say("w1", "hola")
    process = town.pods.processes[f"{POOL}-1"]
    process.send_signal(signal.SIGSTOP)
    try:
        await town.make(deletionPolicy="Delete", plan="enterprise", enterprise={})
        await town.reaches("Pausing", town.own)
        await town.site.admin.delete(TENANTS, town.shop, "napoli")
    finally:
        process.send_signal(signal.SIGCONT)

    async def is_erased() -> bool:
        return await town.database.sql("select count(*) from customers") == [(0,)]

    await until(is_erased, 60, "its data are erased")

    async def is_gone() -> bool:
        return await town.site.objects_of(town.own) == {}

    await until(is_gone, 30, "the pods of its own are gone")


@pytest.mark.parametrize("is_watched", [True, False])
async def test_one_that_is_deleted_while_it_is_copied_to_a_pool_leaves_nothing_in_either(
    town: Town, *, is_watched: bool
) -> None:
    own = {"deletionPolicy": "Delete", "plan": "enterprise", "enterprise": {}}
    await town.make(**own)
    await town.arrives(town.own)
    await town.say("w1", "hola")
    elsewhere = await asyncpg.connect(town.database.superuser, timeout=10)
    try:
        async with elsewhere.transaction():
            # Customers and messages are copied, and then it goes no further.
            await elsewhere.execute("lock table outbox in access exclusive mode")
            await town.make(deletionPolicy="Delete")

            async def is_half_copied() -> bool:
                return await town.database.sql("select count(*) from inbox") == [(1,)]

            await until(is_half_copied, 60, "its messages are copied")
            if not is_watched:
                await town.operator.kill()
            await town.site.admin.delete(TENANTS, town.shop, "napoli")
            if not is_watched:
                await town.operator.again()
    finally:
        await elsewhere.close()

    async def is_erased() -> bool:
        return await town.database.sql("select (select count(*) from customers) + (select count(*) from inbox)") == [
            (0,)
        ]

    await until(is_erased, 60, "what was copied is erased")

    async def is_gone() -> bool:
        return not await town.status() and await town.site.objects_of(town.own) == {}

    await until(is_gone, 60, "the tenant and the pods of its own are gone")


@dataclass
class Writing:
    """Customers who write one message after the other, each as soon as the one before was stored."""

    town: Town
    written: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    is_over: bool = False

    async def run(self, writer: int) -> None:
        """Be one customer after the other, each for few messages: more of one are held back by Meta's pace."""
        for visit in count():
            if self.is_over:
                return
            customer = f"569{writer:02}{visit:06}"
            for index in range(4):
                # Without a bound, what waits for the number's pace grows with the speed of the machine.
                await until(lambda: self.unanswered() < MOST_UNANSWERED, 60, "there is room for one more")
                await self.town.deliver(f"{customer}.{index}", "hola", customer)
                self.written[customer] += 1

    def unanswered(self) -> int:
        """Return how many messages have no reply yet."""
        return (self.written - self.look()).total()

    def look(self) -> Counter[str]:
        """Return how many replies each customer has."""
        for entry in self.town.graph.ledger.entries.after(self.seen):
            self.seen = entry.seq
            self.answered[entry.customer] += entry.direction == "out"
        return self.answered

    async def all_were_answered(self) -> None:
        """Wait until all that was written by now has its reply."""
        wanted = self.written.copy()
        await until(lambda: wanted <= self.look(), 60, "all that was stored is answered")


@asynccontextmanager
async def customers(town: Town) -> AsyncIterator[Writing]:
    """Let customers write meanwhile; afterwards all that they wrote is answered."""
    writing = Writing(town)
    tasks = [asyncio.create_task(writing.run(writer)) for writer in range(5)]
    try:
        yield writing
        writing.is_over = True
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await writing.all_were_answered()
