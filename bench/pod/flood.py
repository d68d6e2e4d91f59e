"""Let new customers of one restaurant write to a pod at a fixed rate, until this process is ended.

A process of its own: nothing is taken from the loop that sends the neighbours' messages and times the replies.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

import uvloop

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.path.meta import Number, text_value
from bench.path.restaurants import numbers
from bench.pod.systems import Deliverer, delivery_of


async def flood(port: int, number: Number, per_second: float) -> None:
    """Deliver at this rate, whatever comes of it."""
    deliverer, loop, phones = Deliverer(port), asyncio.get_running_loop(), count()
    under_way: set[asyncio.Task[object]] = set()
    due = loop.time()
    while True:
        due += 1 / per_second
        await asyncio.sleep(due - loop.time())
        phone = f"568{next(phones):08d}"
        value = text_value(phone, "Ana", f"wamid.NOISE{phone}", "hola")
        task: asyncio.Task[object] = asyncio.create_task(deliverer.deliver(delivery_of(number, value)))
        under_way.add(task)
        task.add_done_callback(under_way.discard)


if __name__ == "__main__":
    uvloop.run(flood(int(sys.argv[1]), numbers(1)[0], float(sys.argv[2])))
