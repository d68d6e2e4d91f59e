"""What a customer gets when things break: acknowledged means answered, and an order exists once."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

from tests.e2e.world import FAROL, NAPOLI, ORDER_TOTAL, PARRILLA, Running, World, kill
from tests.harness import change, text_message, until, webhook

PHONES = [f"5699{index:07}" for index in range(1, 400)]


async def test_a_pod_killed_between_acknowledgement_and_reply_still_replies(world: World) -> None:
    running = await world.up()
    await world.faults(graph_down=True)
    for phone in PHONES[:10]:
        await world.let_write(phone, "hola")
    for name in ("pool-default-0", "pool-default-1"):
        kill(running.pid_of(name))
    await world.faults()
    await world.count_replies(10)
    assert set(Counter(entry["customer"] for entry in await world.replies()).values()) == {1}


async def test_an_order_exists_once_although_its_pod_is_killed_again_and_again(world: World) -> None:
    running = await world.up()
    phones = PHONES[:24]
    ordering = asyncio.gather(*(world.order(phone) for phone in phones))
    kills = 0
    while not ordering.done() and kills < 6:
        kill(running.pid_of(f"pool-default-{kills % 2}"))
        kills += 1
        await until(partial(_goes_on, world, running, ordering, 4 + kills, len(await world.replies())), 40)
    await ordering
    orders = world.orders("default/napoli")
    assert len(orders) == len(phones)
    assert {order["total"] for order in orders} == {ORDER_TOTAL}
    assert kills > 0


async def test_a_router_killed_in_the_middle_loses_nothing(world: World) -> None:
    running = await world.up()
    phones = PHONES[:30]
    writing = [asyncio.create_task(world.let_write(phone, "hola")) for phone in phones]
    for starts in (4, 5, 6):
        await until(partial(_started, running, starts), 30)
        kill(running.pid_of("router"))
    await asyncio.gather(*writing)
    await world.count_replies(len(phones))


async def test_sigterm_with_fifty_acknowledged_messages_waiting_loses_none(world: World) -> None:
    running = await world.up()
    await world.faults(graph_down=True)
    await asyncio.gather(*(world.let_write(phone, "hola") for phone in PHONES[:50]))
    assert await running.stop() == 0
    await world.faults()
    assert await world.replies() == []
    await world.up()
    await world.count_replies(50)


async def test_a_graph_api_that_is_down_for_a_while_delays_replies_and_keeps_their_order(world: World) -> None:
    await world.up()
    await world.faults(graph_down=True)
    texts = ["hola", "2 margarita", "retiro"]
    for text in texts:
        await world.let_write(PHONES[0], text)
    await world.faults()
    await world.count_replies(3, PHONES[0])
    bodies = [str(entry["payload"]) for entry in await world.replies(PHONES[0])]
    assert "Bienvenido" in bodies[0]
    assert "delivery o lo retiras" in bodies[1]
    assert "Resumen" in bodies[2]


async def test_a_webhook_of_several_tenants_one_without_a_pod_is_handled_once_each(world: World) -> None:
    running = await world.up()
    for phone, number in ((PHONES[0], NAPOLI), (PHONES[1], PARRILLA)):
        await world.let_write(phone, "hola", number)
    await world.count_replies(2)
    document = webhook(
        change(NAPOLI, messages=[text_message("wamid.a", PHONES[0], "menú", 2_000_000_000)]),
        change(PARRILLA, messages=[text_message("wamid.b", PHONES[1], "carta", 2_000_000_000)]),
    )
    kill(running.pid_of("tenant-parrilla-0"))
    assert await world.post(document) == 503
    await world.post_until_taken(document)
    assert await world.post(document) == 200
    await world.count_replies(2, PHONES[0])
    await world.count_replies(2, PHONES[1])


async def test_meta_refusing_a_token_stops_that_tenant_until_it_is_mended(world: World) -> None:
    await world.up()
    napoli = world.folder / "napoli.yaml"
    good = napoli.read_text()
    napoli.write_text(good.replace("demo-token-of-napoli", "expired"))
    await world.let_write(PHONES[0], "hola", FAROL)
    await world.count_replies(1, number=FAROL)

    async def refused() -> bool:
        await world.let_write(PHONES[1], "hola")
        async with world.session.get(f"{world.graph_url}/simulator/stats") as response:
            return "190" in (await response.json())["sends"]["refused"]

    await until(refused)
    await world.let_write(PHONES[2], "hola", FAROL)
    await world.count_replies(2, number=FAROL)
    sent = len(await world.replies(number=NAPOLI))
    napoli.write_text(good)

    async def goes_on() -> bool:
        return len(await world.replies(number=NAPOLI)) > sent

    await until(goes_on)


def _started(running: Running, count: int) -> bool:
    return len(running.named("process_started")) >= count


async def _goes_on(world: World, running: Running, work: asyncio.Future[Any], starts: int, replies: int) -> bool:
    """Tell whether the killed process is back and a further reply has been accepted, or all work is done."""
    return work.done() or (_started(running, starts) and len(await world.replies()) > replies)
