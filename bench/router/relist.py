"""How long the router's event loop stands still while the API lists many tenants: `bench/router/relist.py [TENANTS]`.

The informers, the directory and the table of pods are the router's own; the API is pages of JSON in this process, made
beforehand, so that nothing else is measured. A task asks for the loop again and again, and what it waits for is what a
webhook would wait. It writes no file.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from comanda_contract.directory import Directory
from comanda_contract.names import DELIVERIES_PORT, LABEL_GROUP, LABEL_GROUP_UID
from comanda_kube.client import Client, Page
from comanda_kube.informer import Pace
from comanda_kube.resources import Selection
from comanda_router.directory.kubernetes import DirectoryPace, KubernetesDirectory
from comanda_router.places import Places
from comanda_router.server import tune

TENANTS, PODS, PAGE = 100_000, 64, 500
LIMITS = {"inboundPerMinute": 600, "inboundBurst": 120}
CONDITIONS = [{"type": "Accepted", "status": "True", "reason": "Accepted"}, {"type": "Ready", "status": "True"}]


class Api:
    """The few calls of a client that informers make, on pages that lie ready."""

    def __init__(self) -> None:
        self.kinds: dict[str, list[bytes]] = {}
        self.changed = asyncio.Event()
        self.lists = 0
        """Complete lists of tenants."""

    async def list(self, selection: Selection) -> AsyncGenerator[Page, None]:
        """Give the pages, each decoded when it is asked for."""
        for content in self.kinds[selection.resource.plural]:
            await asyncio.sleep(0)
            yield msgspec.json.decode(content, type=Page)
        self.lists += selection.resource.plural == "whatsapptenants"

    @asynccontextmanager
    async def watch(self, _selection: Selection, _version: str, **_: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        """Tell of nothing, and end when the world has changed."""

        async def lines() -> AsyncIterator[bytes]:
            await self.changed.wait()
            return
            yield b""

        yield lines()


def pages_of(items: Iterator[dict[str, Any]], version: int) -> list[bytes]:
    """Return a list of objects as the API sends it."""
    every = list(items)
    starts = range(0, max(len(every), 1), PAGE)
    head = {"resourceVersion": str(version), "continue": ""}
    return [msgspec.json.encode({"metadata": head, "items": every[start : start + PAGE]}) for start in starts]


def tenants(numbers: range, version: int, **limits: int) -> Iterator[dict[str, Any]]:
    """Give tenants as the operator leaves them."""
    for number in numbers:
        name = f"t{number}"
        yield {
            "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": f"{version}{number}"},
            "spec": {"phoneNumberId": str(10**14 + number), "wabaId": f"W{number // 20}", "limits": LIMITS | limits},
            "status": {"group": "default/pool", "conditions": CONDITIONS},
        }


def slices() -> Iterator[dict[str, Any]]:
    """Give the one slice of the group's pods."""
    labels = {LABEL_GROUP: "pool", LABEL_GROUP_UID: "uid"}
    pods = [{"addresses": [f"10.0.0.{pod}"], "hostname": f"pool-{pod}"} for pod in range(PODS)]
    yield {
        "metadata": {"name": "pool", "namespace": "default", "uid": "s", "resourceVersion": "1", "labels": labels},
        "endpoints": pods,
        "ports": [{"name": DELIVERIES_PORT, "port": 8080}],
    }


class Held:
    """Measures how long the loop stands still."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Ask for the loop again and again."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - began - 0.001)


async def main() -> None:
    """Load, list anew what has changed, and what has gone."""
    many = int(sys.argv[1]) if sys.argv[1:] else TENANTS
    api, places, held = Api(), Places(), Held()
    lists: dict[str, list[bytes]] = {
        "a first list": pages_of(tenants(range(many), 1), 1),
        "a list that shows the same": pages_of(tenants(range(many), 1), 1),
        "a list in which each tenant has changed": pages_of(tenants(range(many), 2, inboundBurst=77), 2),
        "a list in which four of ten are gone": pages_of(tenants(range(many * 4 // 10, many), 2, inboundBurst=77), 3),
        "a list in which all but a hundred are gone": pages_of(tenants(range(many - 100, many), 2, inboundBurst=77), 4),
    }
    wanted: list[Callable[[Directory], bool]] = [
        lambda found: len(found.numbers) == many,
        lambda found: len(found.numbers) == many,
        lambda found: all(each.inbound_burst == 77 for each in found.numbers),
        lambda found: len(found.numbers) == many - many * 4 // 10,
        lambda found: len(found.numbers) == 100,
    ]

    async def use(directory: Directory) -> None:
        places.put(await asyncio.to_thread(places.plan, directory))

    api.kinds = {"whatsapptenants": [], "whatsappapps": pages_of(iter(()), 1), "endpointslices": pages_of(slices(), 1)}
    pace = Pace(shortest_watch=0, longest_watch=0, first_delay=0.01, longest_delay=0.01, relist=0.0)
    followed = KubernetesDirectory(cast(Client, api), use, watching=pace, pace=DirectoryPace())
    tune()
    task, watching = None, asyncio.create_task(held.watch())
    for (name, pages), is_there in zip(lists.items(), wanted, strict=True):
        api.kinds["whatsapptenants"] = pages
        held.longest, began, api.lists = 0.0, time.perf_counter(), 0
        if task is None:
            task = asyncio.create_task(followed.run())
        api.changed.set()
        # A loss of more than half is believed when a second list shows it.
        while api.lists < 2 or followed.directory is None or not is_there(followed.directory):
            await asyncio.sleep(0.2)
        print(
            f"{name:45} longest stand {1000 * held.longest:6.1f} ms, in force after {time.perf_counter() - began:.1f} s"
        )
        api.changed.clear()
        await asyncio.sleep(1)
    watching.cancel()
    if task is not None:
        task.cancel()


if __name__ == "__main__":
    uvloop.run(main())
