"""What so many restaurants need: `bench/cluster/sizing.py --help`.

The costs are those that the benchmarks measured (`bench/results/*.json`), the demand is what the options say, the rest
is arithmetic. The restaurants are then placed by the product's own placement, some much busier than others, and their
messages arrive at pods that take one turn at a time: that shows how uneven pods are, and how long a message waits at
the busiest.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.results import RESULTS
from bench.common.stats import percentile

from comanda_contract.placement import place_all

MESSAGES_AN_ORDER = 4
"""A customer's; each has one reply, and each reply two statuses (sent, delivered)."""
WEBHOOKS_AN_ORDER = MESSAGES_AN_ORDER * 3
SERVER_MS_AN_ORDER = 3.8
"""Processor time of the PostgreSQL server: `bench/pod/stages.py`, with row-level security (docs/performance.md)."""
BUSY = 0.6
"""Share of a core that may be used in the busiest minutes: a pod is one Python process, so one core is all it has."""
POD_MIB, ROUTER_MIB = 115.0, 70.0
"""A process without tenants, from the benchmark `path`."""
POOL_TENANTS = 20_000
"""What a pool takes at most; each pool may have a PostgreSQL of its own."""
LEAST_PODS, LEAST_ROUTERS, LEAST_NODES = 2, 2, 3


@dataclass(frozen=True)
class Demand:
    """What restaurants and customers do."""

    orders_a_day: float = 40.0
    """Of one restaurant, on average."""
    busiest_hour: float = 0.20
    """Share of a day's orders in its busiest hour."""
    burst: float = 2.0
    """How much more comes in the busiest minutes of that hour than on its average."""

    def orders_a_second(self, restaurants: int) -> float:
        """Return how many orders are begun each second in the busiest minutes."""
        return restaurants * self.orders_a_day * self.busiest_hour * self.burst / 3600


@dataclass(frozen=True)
class Costs:
    """What was measured: milliseconds of processor time, kB of memory."""

    order_ms: float
    webhook_ms: float
    tenant_pod_kb: float
    tenant_router_kb: float

    @property
    def turn_ms(self) -> float:
        """One message in its pod: its share of an order without the router."""
        return (self.order_ms - WEBHOOKS_AN_ORDER * self.webhook_ms) / MESSAGES_AN_ORDER


@dataclass(frozen=True)
class Size:
    """What a number of restaurants needs in the busiest minutes."""

    restaurants: int
    orders_a_second: float
    webhooks_a_second: float
    routers: int
    pools: int
    pods: int
    """Of each pool."""
    pod_mib: float
    database_cores: float
    """Of all pools together."""
    nodes: int
    hottest: float
    """Share of its core that the busiest pod uses."""
    wait_p99_ms: float
    """How long a message waits there for the turns before it."""


def measured(folder: Path = RESULTS) -> Costs:
    """Read the costs. Raises `KeyError` with a row's name when a results file lacks it."""

    def value(name: str, what: str) -> float:
        rows = {row["what"]: row["value"] for row in json.loads((folder / f"{name}.json").read_text())["rows"]}
        return float(rows[what])

    return Costs(
        order_ms=value("path", "processor time an order, router and pods"),
        webhook_ms=value("router", "processor time a webhook, 8 pods") / 1000,
        tenant_pod_kb=value("pod", "memory per idle tenant, 10,000 loaded"),
        tenant_router_kb=value("router", "memory (RSS) a tenant"),
    )


def size(restaurants: int, demand: Demand, costs: Costs, cores_a_node: float) -> Size:
    """Work out what so many restaurants need, and how it would go with them."""
    orders = demand.orders_a_second(restaurants)
    router_cores = orders * WEBHOOKS_AN_ORDER * costs.webhook_ms / 1000
    routers = max(LEAST_ROUTERS, math.ceil(router_cores / BUSY) + 1)
    pools = math.ceil(restaurants / POOL_TENANTS)
    tenants, turns = math.ceil(restaurants / pools), orders * MESSAGES_AN_ORDER / pools
    pods = max(LEAST_PODS, math.ceil(turns * costs.turn_ms / 1000 / BUSY))
    hottest, waits = _busiest_pod(tenants, pods, turns, costs.turn_ms)
    while hottest > BUSY * 1.25:  # some restaurants are much busier than others, and so are their pods
        pods += max(1, pods // 10)
        hottest, waits = _busiest_pod(tenants, pods, turns, costs.turn_ms)
    database = orders * SERVER_MS_AN_ORDER / 1000 / BUSY
    used = router_cores / BUSY + pools * turns * costs.turn_ms / 1000 / BUSY + database
    return Size(
        restaurants=restaurants,
        orders_a_second=orders,
        webhooks_a_second=orders * WEBHOOKS_AN_ORDER,
        routers=routers,
        pools=pools,
        pods=pods,
        pod_mib=POD_MIB + tenants * costs.tenant_pod_kb / 1024,  # each pod knows all tenants of its group
        database_cores=database,
        nodes=max(LEAST_NODES, math.ceil(used / cores_a_node) + 1),  # one may be lost
        hottest=hottest,
        wait_p99_ms=percentile(waits, 99),
    )


def _busiest_pod(tenants: int, pods: int, turns: float, turn_ms: float) -> tuple[float, Sequence[float]]:
    """Place restaurants of very different size; return the busiest pod's use of its core, and the waits there in ms."""
    chance = random.Random(tenants)
    numbers = [str(chance.randrange(10**14, 10**15)) for _ in range(tenants)]
    custom = {number: chance.lognormvariate(0.0, 1.0) for number in numbers}
    load: dict[str, float] = {}
    for number, pod in place_all(numbers, [f"pool-default-{index}" for index in range(pods)]).items():
        load[pod] = load.get(pod, 0.0) + custom[number]
    arriving = turns * max(load.values()) / sum(custom.values())
    return arriving * turn_ms / 1000, list(waits_of(arriving, turn_ms, 20_000, chance))


def waits_of(a_second: float, turn_ms: float, messages: int, chance: random.Random) -> Sequence[float]:
    """Return how long each message waits, in ms, at a pod that takes one turn at a time; they come by chance."""
    waits, free, now = [], 0.0, 0.0
    for _ in range(messages):
        now += chance.expovariate(a_second) * 1000
        waits.append(max(0.0, free - now))
        free = max(free, now) + turn_ms
    return waits


def table(sizes: Sequence[Size]) -> str:
    """Return sizes as a table of Markdown."""
    columns = "restaurants | orders/s | webhooks/s | routers | pools | pods of each, memory | PostgreSQL, cores | nodes"
    lines = [f"| {columns} | busiest pod | wait there, p99 |"]
    lines += ["|" + "---|" * 10]
    lines += [
        f"| {each.restaurants:,} | {each.orders_a_second:.1f} | {each.webhooks_a_second:,.0f} | {each.routers} "
        f"| {each.pools} | {each.pods}, {each.pod_mib:,.0f} MiB | {each.database_cores:.1f} | {each.nodes} "
        f"| {100 * each.hottest:.0f} % of a core | {each.wait_p99_ms:.0f} ms |"
        for each in sizes
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    usual = Demand()
    parser = argparse.ArgumentParser(prog="bench/cluster/sizing.py", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("restaurants", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument(
        "--orders-a-day", type=float, default=usual.orders_a_day, help="of one restaurant (%(default)s)"
    )
    parser.add_argument("--busiest-hour", type=float, default=usual.busiest_hour, help="its share (%(default)s)")
    parser.add_argument("--burst", type=float, default=usual.burst, help="busiest minutes over that (%(default)s)")
    parser.add_argument("--cores", type=float, default=3.5, help="of a node, left for pods (%(default)s)")
    given = parser.parse_args()
    demand, costs = Demand(given.orders_a_day, given.busiest_hour, given.burst), measured()
    print(table([size(each, demand, costs, given.cores) for each in given.restaurants]))


if __name__ == "__main__":
    main()
