"""From rounds to rows: the median of each figure, beside its target and its peer's."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from bench.common.results import Row, Target
from bench.common.stats import median
from bench.path.rounds import AT_ONCE, MEMORY_ORDERS, OPEN_SHARE, Round

PEER = "BuilderBot"
Figure = Callable[[Round], float]


def make_rows(rounds: Sequence[Round]) -> list[Row]:
    """Return every row."""
    ours = [each for each in rounds if each.system == "comanda"]
    peers = [each for each in rounds if each.system == "builderbot"]

    def row(what: str, unit: str, figure: Figure, target: Target | None = None, peer: Figure | None = None) -> Row:
        value, peer_value = _median(ours, figure), _median(peers, peer) if peer and peers else None
        return Row(what, value, unit, target, PEER if peer_value is not None else "", peer_value)

    return [
        *_load_rows(row),
        row("cold start: spawn → first accepted webhook", "ms", lambda r: r.cold_start_ms, None, _cold_start),
        row("cold start: spawn → first reply", "ms", lambda r: r.first_reply_ms, None, lambda r: r.first_reply_ms),
        *_memory_rows(row, sorted(ours[0].idle_mib)),
        *_health_rows(row),
    ]


def make_notes(rounds: Sequence[Round], arguments: argparse.Namespace) -> list[str]:
    """Say what a reader must know to read the rows."""
    ours = [each for each in rounds if each.system == "comanda"]
    peers = [each for each in rounds if each.system == "builderbot"]
    generator = _median(ours, lambda r: r.phase("closed").cores["generator"])
    others = [each.phase("closed").cores["others"] for each in ours]
    statuses = "none" if arguments.no_statuses else "two a reply (sent, delivered), each a signed webhook of its own"
    notes = [
        f"Medians of {len(ours)} rounds, each on a fresh system and empty database: 10 restaurants, 2 pods, SQLite.",
        f"Statuses: {statuses}.",
        f"`comanda up` itself, which a cluster has not: {_median(ours, lambda r: r.supervisor_mib):.0f} MiB.",
        f"Cores used (closed loop): router and pods {_median(ours, _used_cores):.2f}, generator {generator:.2f}.",
        f"All else on the machine meanwhile: {median(others):.2f} cores, {max(others):.2f} in the worst round.",
    ]
    if peers:
        reached = [each.used_orders for each in peers]
        notes += [
            f"{PEER}: one bot, one number; it checks no signature and keeps orders in memory.",
            f"{PEER}: closed loop of {arguments.peer_seconds:g} s; orders/s are replies/s ÷ 4: an order takes so long.",
            f"{PEER}: memory under load after {min(reached)} to {max(reached)} orders; 1,000 would take 15 minutes.",
        ]
    return notes


def _load_rows(row: Callable[..., Row]) -> Iterable[Row]:
    yield row(
        f"whole orders, {AT_ONCE} customers at once (closed loop)",
        "orders/s",
        lambda r: r.phase("closed").orders_per_second,
        Target(">=", 30),
        lambda r: r.phase("closed").replies_per_second / 4,
    )
    limits = {"p50": Target("<=", 50), "p95": None, "p99": Target("<=", 300)}
    for name, target in limits.items():
        figure = _reply("closed", name)
        yield row(f"reply time {name}, {AT_ONCE} customers at once (closed loop)", "ms", figure, target, figure)
    yield row(
        f"open loop: orders begun, {OPEN_SHARE:.0%} of the closed loop's",
        "orders/s",
        lambda r: r.phase("closed").orders_per_second * OPEN_SHARE,
        None,
        lambda r: r.phase("closed").replies_per_second / 4 * OPEN_SHARE,
    )
    for name in limits:
        figure = _reply("open", name)
        yield row(f"reply time {name} at that rate (open loop)", "ms", figure, None, figure)
    yield row("processor time an order, router and pods", "ms", _cpu_an_order, None, _cpu_an_order)


def _memory_rows(row: Callable[..., Row], processes: Sequence[str]) -> Iterable[Row]:
    yield row("memory (RSS) idle, router and pods", "MiB", _idle_mib, None, _idle_mib)
    for name in processes:
        yield row(f"memory (RSS) idle, {name}", "MiB", lambda r, name=name: r.idle_mib[name])
    after = f"memory (RSS) after {MEMORY_ORDERS:,} orders"
    yield row(f"{after}, router and pods", "MiB", _used_mib, None, _used_mib)
    for name in processes:
        yield row(f"{after}, {name}", "MiB", lambda r, name=name: r.used_mib[name])


def _health_rows(row: Callable[..., Row]) -> Iterable[Row]:
    none = Target("<=", 0)
    yield row("orders placed and checked in the database, a round", "orders", lambda r: r.placed)
    yield row("orders missing, doubled or with a wrong total", "orders", lambda r: r.wrong, none)
    yield row("webhooks not answered 200 at once", "webhooks", lambda r: sum(r.refused.values()), none)
    yield row("load generator: processor use", "cores", lambda r: r.phase("closed").cores["generator"])
    yield row("load generator: lag of its clock, p99", "ms", lambda r: r.phase("closed").generator_lag_p99_ms)


def _idle_mib(each: Round) -> float:
    return sum(each.idle_mib.values())


def _used_mib(each: Round) -> float:
    return sum(each.used_mib.values())


def _cold_start(each: Round) -> float:
    return each.cold_start_ms


def _reply(load: str, name: str) -> Figure:
    return lambda each: float(getattr(each.phase(load), f"{name}_ms"))


def _used_cores(each: Round) -> float:
    return sum(each.phase("closed").cores.get(name, 0.0) for name in each.idle_mib)


def _cpu_an_order(each: Round) -> float:
    return _used_cores(each) / (each.phase("closed").replies_per_second / 4) * 1000


def _median(rounds: Iterable[Round], figure: Figure) -> float:
    return median([figure(each) for each in rounds])
