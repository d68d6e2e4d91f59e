"""Leader election: the law by a model with clocks that differ, and the real thing on a real API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_kube.client import Client
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.lease import Claim, Elector, LeaseLostError, LeasePace, Record
from comanda_kube.resources import LEASES
from tests.cluster import ApiServer, FaultProxy
from tests.harness import until

PACE = LeasePace(duration=15, deadline=10, retry=2)
QUICK = LeasePace(duration=2, deadline=1.2, retry=0.2)


@dataclass
class World:
    """One Lease with compare-and-swap, as the API keeps it."""

    record: Record | None = None
    version: int = 0

    def put(self, claim: Claim, known: Record | None) -> Record | None:
        if (self.record.version if self.record else "") != (known.version if known else ""):
            return None
        self.version += 1
        self.record = Record(str(self.version), claim.identity, PACE.duration, self.version)
        return self.record


@dataclass
class Candidate:
    """A candidate whose clock runs on from a time of its own; it freezes and its calls are slow or lost at random."""

    claim: Claim
    offset: float
    read: Record | None = None
    asked_at: float | None = None
    has_read: bool = False

    def step(self, world: World, now: float, random: Random) -> None:
        mine = now + self.offset
        if random.random() < 0.3:
            return  # frozen, or its call is lost
        if not self.has_read:
            self.read, self.has_read = world.record, True
            self.claim.see(self.read, mine)
            self.asked_at = mine
            return
        self.has_read = False
        if not self.claim.may_take(mine):
            self.claim.lost()
            return
        asked_at = mine if self.asked_at is None else self.asked_at
        made = world.put(self.claim, self.read)
        if made is not None and random.random() < 0.9:  # else the answer was lost
            self.claim.taken(made, asked_at)


@given(seed=st.integers(0, 2**32), offsets=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=3))
def test_two_never_lead_at_once_whatever_their_clocks_say_and_however_long_they_freeze(
    seed: int, offsets: list[float]
) -> None:
    random, world, now = Random(seed), World(), 0.0
    candidates = [Candidate(Claim(f"c{index}", PACE), offset) for index, offset in enumerate(offsets)]
    led = 0
    for _ in range(400):
        now += random.choice((0.01, 0.5, 2.0, 2.0, 9.0, 16.0))
        random.choice(candidates).step(world, now, random)
        leading = [each for each in candidates if now + each.offset < each.claim.until]
        assert len(leading) <= 1
        led += len(leading)
    assert led, "somebody leads now and then"


@asynccontextmanager
async def elector(server: ApiServer, namespace: str, name: str, port: int | None = None) -> AsyncIterator[Elector]:
    config = from_kubeconfig([server.kubeconfig(port)])
    async with Client(config, "tests", concurrency=1, timeout_seconds=0.5) as client:
        yield Elector(client, namespace, "operator", name, pace=QUICK)


async def test_one_of_three_leads_and_another_takes_over_at_once_when_it_gives_up(
    apiserver: ApiServer, namespace: str
) -> None:
    async with AsyncExitStack() as stack:
        found = {name: await stack.enter_async_context(elector(apiserver, namespace, name)) for name in "abc"}
        stacks = {name: await stack.enter_async_context(AsyncExitStack()) for name in found}
        for name, each in found.items():
            await stacks[name].enter_async_context(each.campaigning())

        def leaders() -> list[str]:
            return [name for name, each in found.items() if each.may_write]

        await until(lambda: len(leaders()) == 1)
        (first,) = leaders()
        await stacks[first].aclose()
        assert not found[first].may_write
        await until(lambda: len(leaders()) == 1)
        assert leaders() != [first]


async def test_a_leader_that_cannot_renew_stops_by_itself_before_another_leads(
    apiserver: ApiServer, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    async with (
        elector(apiserver, namespace, "cut off", apiserver_proxy.port) as cut,
        elector(apiserver, namespace, "waiting") as waiting,
    ):
        task = asyncio.create_task(cut.run())
        await until(lambda: cut.may_write)
        async with waiting.campaigning():
            await apiserver_proxy.refuse()
            led_at_once = False

            def took_over() -> bool:
                nonlocal led_at_once
                led_at_once |= cut.may_write and waiting.may_write
                return waiting.may_write

            await until(took_over)
            assert not led_at_once
            with pytest.raises(LeaseLostError):
                await asyncio.wait_for(task, 30)


async def test_what_people_see_of_it_is_who_holds_it_and_how_often_it_changed_hands(
    client: Client, apiserver: ApiServer, namespace: str
) -> None:
    for name in ("a", "b"):
        async with elector(apiserver, namespace, name) as each, each.campaigning():
            await asyncio.wait_for(each.leading.wait(), 30)
            assert each.holder == name
            spec = (await client.get(LEASES, namespace, "operator"))["spec"]
            assert spec["holderIdentity"] == name
    spec = (await client.get(LEASES, namespace, "operator"))["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("", 1)


async def test_a_lease_that_somebody_deletes_is_made_again(
    client: Client, apiserver: ApiServer, namespace: str
) -> None:
    async with elector(apiserver, namespace, "a") as each, each.campaigning() as task:
        await until(lambda: each.may_write)
        await client.delete(LEASES, namespace, "operator")

        async def is_there() -> bool:
            with suppress(Exception):
                return bool((await client.get(LEASES, namespace, "operator"))["spec"]["holderIdentity"] == "a")
            return False

        await until(is_there)
        assert not task.done()
        assert each.may_write
