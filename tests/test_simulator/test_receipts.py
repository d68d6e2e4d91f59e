"""Statuses of a send: their order, their price, and who reads when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.cloud.statuses import parse_status
from comanda_simulator.ledger import Filter
from comanda_simulator.pricing import Meter, month_of
from tests.test_simulator.harness import (
    CUSTOMER,
    NUMBER,
    SISTER,
    START,
    TEMPLATE,
    TEXT,
    Json,
    Receiver,
    Simulator,
    run_simulator,
)


def pricing_of(receiver: Receiver, wamid: str) -> list[Json]:
    return [item["pricing"] for item in receiver.statuses if item["id"] == wamid and "pricing" in item]


async def test_send_is_sent_then_delivered(sim: Simulator) -> None:
    await sim.write(wait=True)
    status, answer = await sim.send(TEXT | {"biz_opaque_callback_data": "t=17;turn=9"})
    wamid = answer["messages"][0]["id"]
    await sim.receiver.until(lambda: len(sim.receiver.statuses_of(wamid)) == 2)
    assert status == 200
    assert [entry["payload"]["status"] for entry in await sim.ledger(direction="status")] == ["sent", "delivered"]
    for item in sim.receiver.statuses:
        assert item["recipient_id"] == CUSTOMER
        assert item["recipient_user_id"].startswith("CL.")
        assert item["biz_opaque_callback_data"] == "t=17;turn=9"
        assert item["timestamp"] == str(int(START))
    contacts = sim.receiver.posts[-1].changes[0][1]["contacts"]
    assert contacts[0]["wa_id"] == CUSTOMER


async def test_read_follows_when_the_chat_is_opened(sim: Simulator) -> None:
    await sim.write()
    wamid = await sim.send_text()
    await sim.receiver.until(lambda: "delivered" in sim.receiver.statuses_of(wamid))
    body = {"phone_number_id": NUMBER, "customer": CUSTOMER}
    assert await sim.call("POST", "/simulator/reads", json=body) == (200, {"read": 1})
    assert await sim.call("POST", "/simulator/reads", json=body) == (200, {"read": 0})
    await sim.receiver.until(lambda: sim.receiver.statuses_of(wamid).count("read") == 1)


async def test_customers_may_always_read(receiver: Receiver) -> None:
    async with run_simulator(receiver, read_receipts="always") as sim:
        await sim.write()
        wamid = await sim.send_text()
        await receiver.until(lambda: "read" in receiver.statuses_of(wamid))
        assert [entry["payload"]["status"] for entry in await sim.ledger(direction="status")] == [
            "sent",
            "delivered",
            "read",
        ]


async def test_customers_may_never_read(receiver: Receiver) -> None:
    async with run_simulator(receiver, read_receipts="never") as sim:
        await sim.write()
        wamid = await sim.send_text()
        await receiver.until(lambda: "delivered" in receiver.statuses_of(wamid))
        assert sim.cloud.receipts.read_all(NUMBER, CUSTOMER) == 0


async def test_price_comes_once_a_message(sim: Simulator) -> None:
    await sim.write()
    wamid = await sim.send_text()
    await sim.receiver.until(lambda: len(sim.receiver.statuses_of(wamid)) == 2)
    free = {"billable": False, "pricing_model": "PMP", "type": "free_customer_service", "category": "service"}
    assert pricing_of(sim.receiver, wamid) == [free]


async def test_price_may_come_with_delivered(receiver: Receiver) -> None:
    async with run_simulator(receiver, pricing_status="delivered") as sim:
        await sim.write()
        wamid = await sim.send_text()
        await receiver.until(lambda: len(receiver.statuses_of(wamid)) == 2)
    assert [item["status"] for item in receiver.statuses if "pricing" in item] == ["delivered"]


async def test_service_messages_above_the_free_ones_are_billed_per_number_and_month(receiver: Receiver) -> None:
    async with run_simulator(receiver, free_service_messages=2) as sim:
        await sim.write()
        await sim.write(phone_number_id=SISTER)
        sent = [await sim.send_text() for _ in range(3)]
        sister = await sim.send_text(number=SISTER)
        sim.clock.advance(31 * 24 * 3600)
        await sim.write()
        next_month = await sim.send_text()
        await receiver.until(lambda: all(pricing_of(receiver, wamid) for wamid in [*sent, sister, next_month]))
        kinds = [pricing_of(receiver, wamid)[0]["type"] for wamid in [*sent, sister, next_month]]
        _, stats = await sim.call("GET", "/simulator/stats")
    free = "free_customer_service"
    assert kinds == [free, free, "regular", free, free]
    assert stats["service_messages"][NUMBER] == 1


async def test_template_is_billed_as_utility(sim: Simulator) -> None:
    _, answer = await sim.send(TEMPLATE)
    wamid = answer["messages"][0]["id"]
    await sim.receiver.until(lambda: bool(pricing_of(sim.receiver, wamid)))
    assert pricing_of(sim.receiver, wamid) == [
        {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "utility"}
    ]


async def test_reaction_is_only_sent_and_has_no_price(sim: Simulator) -> None:
    target = (await sim.write())["wamid"]
    _, answer = await sim.send({"type": "reaction", "reaction": {"message_id": target, "emoji": "👍"}})
    wamid = await sim.send_text()
    await sim.receiver.until(lambda: "delivered" in sim.receiver.statuses_of(wamid))
    reaction = answer["messages"][0]["id"]
    assert sim.receiver.statuses_of(reaction) == ["sent"]
    assert pricing_of(sim.receiver, reaction) == []


async def test_statuses_of_one_number_at_one_moment_share_a_webhook(sim: Simulator) -> None:
    await sim.write(wait=True)
    sent = [await sim.send_text() for _ in range(3)]
    await sim.receiver.until(lambda: len(sim.receiver.statuses) == 6)
    assert {item["id"] for item in sim.receiver.statuses} == set(sent)
    assert len(sim.receiver.posts) - 1 < 6


async def test_statuses_come_one_by_one_when_batching_is_off(receiver: Receiver) -> None:
    async with run_simulator(receiver, batch_statuses=False) as sim:
        await sim.write(wait=True)
        await sim.send_text()
        await receiver.until(lambda: len(receiver.statuses) == 2)
    assert [len(post.changes[0][1]["statuses"]) for post in receiver.posts[1:]] == [1, 1]


async def test_no_statuses_when_switched_off(receiver: Receiver) -> None:
    async with run_simulator(receiver, statuses=False) as sim:
        await sim.write()
        await sim.send_text()
        await sim.write("again", wait=True)
    assert receiver.statuses == []


async def test_contract_reads_the_statuses(sim: Simulator) -> None:
    await sim.write()
    await sim.send_text()
    await sim.receiver.until(lambda: len(sim.receiver.statuses) == 2)
    entries = sim.cloud.ledger.tail(Filter(direction="status"), 10)
    statuses = [parse_status(bytes(entry.payload)) for entry in entries]
    assert [status.rank for status in statuses] == [1, 2]
    assert statuses[0].pricing is not None
    assert statuses[0].pricing.category == "service"


@pytest.mark.parametrize(("at", "month"), [(1_764_547_199, "2025-11"), (1_764_547_200, "2025-12")])
def test_month_turns_at_midnight_utc(at: int, month: str) -> None:
    assert month_of(at) == month


@given(st.lists(st.sampled_from(["text", "template", "reaction", "interactive"])), st.integers(0, 5))
def test_exactly_the_first_service_messages_are_free(types: list[str], free: int) -> None:
    meter = Meter()
    prices = [meter.price("1", kind, START, free) for kind in types]
    service = [price for price in prices if price is not None and price["category"] == "service"]
    assert [price["type"] for price in service] == ["free_customer_service"] * min(free, len(service)) + [
        "regular"
    ] * max(0, len(service) - free)
    assert prices.count(None) == types.count("reaction")
    assert meter.served("1", START) == len(service)
