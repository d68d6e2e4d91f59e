"""What customers write, however Meta brings it: twice, late, in a crowd. One run of everything serves all tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.world import FAROL, NAPOLI, ORDER_TOTAL, World, world_in
from tests.harness import change, text_message, until, webhook

pytestmark = pytest.mark.asyncio(loop_scope="module")

LATER = 2_000_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world_in(tmp_path_factory.mktemp("world")) as made:
        await made.up()
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: World) -> AsyncIterator[World]:
    """The world that all share, without the faults of the test before. Each test has customers of its own."""
    yield running
    await running.faults()


def phones(test: int, count: int) -> list[str]:
    """Return the customers of a test."""
    return [f"5698{test:02}{index:05}" for index in range(count)]


async def test_customers_steps_make_an_order_in_the_kitchen(world: World) -> None:
    (phone,) = phones(1, 1)
    await world.order(phone)
    (order,) = world.orders()
    assert (order["total"], order["fulfilment"], order["customer_name"]) == (ORDER_TOTAL, "pickup", "Ana")


async def test_a_message_that_was_answered_is_marked_as_read(world: World) -> None:
    (phone,) = phones(2, 1)
    wamid = await world.let_write(phone, "hola")
    await world.count_replies(1, phone)

    async def read() -> bool:
        params = {"after": "0", "direction": "mark"}
        async with world.session.get(f"{world.graph_url}/simulator/ledger", params=params) as response:
            return [entry["wamid"] for entry in await response.json()].count(wamid) == 1

    await until(read)


async def test_a_lost_answer_is_settled_by_the_status_and_not_sent_twice(world: World) -> None:
    (phone,) = phones(3, 1)
    await world.faults(graph_lose_answer=1.0)
    await world.let_write(phone, "hola")

    async def accepted() -> bool:
        return len(await world.replies(phone)) == 1

    await until(accepted)
    await world.faults()
    # The next message's reply shows that the conversation goes on, and the first one was not repeated meanwhile.
    await world.let_write(phone, "2 margarita")
    await world.count_replies(2, phone)


async def test_statuses_before_the_answer_and_duplicated_webhooks_change_nothing(world: World) -> None:
    before = len(world.orders("default/napoli"))
    await world.faults(status_first=1.0, duplicate=0.5, reorder=0.3, batch=20, seed=7)
    customers = phones(4, 8)
    await asyncio.gather(*map(world.order, customers))
    assert len(world.orders("default/napoli")) == before + 8
    for phone in customers:
        await world.count_replies(3, phone)


async def test_the_same_message_twice_at_once_is_answered_once(world: World) -> None:
    phone, other = phones(5, 2)
    document = webhook(change(NAPOLI, messages=[text_message("wamid.twice", phone, "hola", LATER)]))
    await world.let_write(other, "hola")  # somebody else, to see when answers would have come
    assert await asyncio.gather(*(world.post(document) for _ in range(8))) == [200] * 8
    await world.let_write(phone, "menú")  # opens the window at Meta's side as well
    await world.count_replies(1, other)

    async def answered() -> bool:
        return any("Este es nuestro menú" in str(entry["payload"]) for entry in await world.replies(phone))

    await until(answered)
    welcomes = [entry for entry in await world.replies(phone) if "Bienvenido" in str(entry["payload"])]
    assert len(welcomes) <= 1


async def test_two_quick_messages_of_one_customer_are_never_swapped_or_lost(world: World) -> None:
    customers = phones(6, 10)
    for phone in customers:
        await world.let_write(phone, "hola")
    for phone in customers:
        await world.count_replies(1, phone)
    # Both are on their way at once, on two connections; the second reaches the router before the first is answered.
    bodies = [
        webhook(change(NAPOLI, messages=[text_message(f"wamid.{phone}.{text}", phone, text, LATER)]))
        for phone in customers
        for text in ("2 margarita", "menú")
    ]
    assert await asyncio.to_thread(world.post_at_once, bodies) == [200] * 20
    for phone in customers:
        await world.count_replies(3, phone)
        _, first, second = [str(entry["payload"]) for entry in await world.replies(phone)]
        assert "delivery o lo retiras" in first
        assert "nuestro menú" in second


async def test_a_thousand_items_in_one_webhook_are_all_answered(world: World) -> None:
    # The customers write first, so that Meta's window is open; then a thousand items of two tenants in one POST.
    customers = {NAPOLI: phones(7, 150), FAROL: phones(8, 150)}
    before = {number: len(await world.replies(number=number)) for number in customers}
    await asyncio.gather(
        *(world.let_write(phone, "hola", number) for number in customers for phone in customers[number])
    )
    for number, count in before.items():
        await world.count_replies(count + 150, number=number, seconds=60)
    changes = []
    for start in range(0, 1000, 50):
        number = NAPOLI if start % 100 else FAROL
        items = [
            text_message(f"wamid.thousand.{index}", customers[number][index % 150], "hola", LATER + index)
            for index in range(start, start + 50)
        ]
        changes.append(change(number, messages=items))
    await world.post_until_taken(webhook(*changes))
    for number, count in before.items():
        await world.count_replies(count + 650, number=number, seconds=90)
