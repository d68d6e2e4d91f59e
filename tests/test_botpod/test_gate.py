from __future__ import annotations

import asyncio

from comanda_botpod.gate import Gate


async def through(gate: Gate, age: int, order: list[int], leave: asyncio.Event) -> None:
    async with gate.place(age):
        order.append(age)
        await leave.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_oldest_goes_first_whenever_it_came() -> None:
    gate, order, leave = Gate(1), list[int](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for age in (5, 9, 3, 7):
            group.create_task(through(gate, age, order, leave))
        await settle()
        assert order == [5], "one at a time"
        assert not gate.is_clear
        leave.set()
    assert order == [5, 3, 7, 9]
    assert gate.is_clear


async def test_a_shut_gate_lets_nobody_in_and_opens_by_itself() -> None:
    gate, order, leave = Gate(2), list[int](), asyncio.Event()
    leave.set()
    gate.shut(0.01)
    gate.shut(3600)
    async with asyncio.TaskGroup() as group:
        group.create_task(through(gate, 1, order, leave))
        await settle()
        assert (order, gate.is_clear) == ([], False)
    assert order == [1]
    gate.shut(3600)
    gate.open()
    assert gate.is_clear


async def test_who_gives_up_takes_no_place() -> None:
    gate, order, leave = Gate(1), list[int](), asyncio.Event()
    holder = asyncio.create_task(through(gate, 1, order, leave))
    waiting = [asyncio.create_task(through(gate, age, order, leave)) for age in (2, 3)]
    await settle()
    waiting[0].cancel()
    leave.set()
    # The second is given the place in the moment in which it gives up.
    await holder
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.wait_for(through(gate, 4, order, leave), 5)
    assert order[-1] == 4
