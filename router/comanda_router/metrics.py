"""Metrics of the router. Labels are bounded: no number, no tenant, no path as sent.

A webhook touches several of them, so the counters and histograms here are plain numbers that only this process' event
loop changes; Prometheus' own take a lock and look a label up each time, which costs more than checking a signature.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import REGISTRY, Gauge, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class Tally(Collector):
    """A counter with one label; the caller sees to it that the label has few values."""

    def __init__(self, name: str, text: str, label: str) -> None:
        self.counts: defaultdict[str | int, int] = defaultdict(int)
        self._name, self._text, self._label = name, text, label
        REGISTRY.register(self)

    def collect(self) -> Iterator[Metric]:
        """Give the counter as Prometheus wants it."""
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, count in self.counts.items():
            family.add_metric([str(value)], count)
        yield family

    def describe(self) -> list[Metric]:
        """Name the counter, so that its name is taken."""
        return [CounterMetricFamily(self._name, self._text, labels=[self._label])]


class Spread(Collector):
    """A histogram; `bounds` are the upper ends of its buckets, in the unit of its name."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._bounds = name, text, tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        REGISTRY.register(self)

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[Metric]:
        """Give the histogram as Prometheus wants it, its buckets added up."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        family = HistogramMetricFamily(self._name, self._text)
        family.add_metric([], buckets, sum_value=self._sum)
        yield family

    def describe(self) -> list[Metric]:
        """Name the histogram, so that its name is taken."""
        return [HistogramMetricFamily(self._name, self._text)]


class Gathered(Collector):
    """A gauge with one label whose values are asked for when they are wanted; the last one who `follow`s is asked."""

    def __init__(self, name: str, text: str, label: str) -> None:
        self._name, self._text, self._label = name, text, label
        self._read: Callable[[], Mapping[str, float]] = dict
        REGISTRY.register(self)

    def follow(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Ask `read` for the values from now on."""
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Give the gauge as Prometheus wants it."""
        family = GaugeMetricFamily(self._name, self._text, labels=[self._label])
        for value, number in sorted(self._read().items()):
            family.add_metric([value], number)
        yield family

    def describe(self) -> list[Metric]:
        """Name the gauge, so that its name is taken."""
        return [GaugeMetricFamily(self._name, self._text, labels=[self._label])]


SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

WEBHOOKS = Tally("comanda_router_webhooks", "Webhooks by HTTP answer", "status")
PLAIN = Tally("comanda_router_plain_webhooks", "Webhooks that were not read by the hot path, by kind", "kind")
SIGNATURES = Tally("comanda_router_signatures", "Signature checks by result", "result")
DELIVERIES = Tally("comanda_router_deliveries", "Deliveries by outcome", "outcome")
DEAD_LETTERS = Tally("comanda_router_dead_letters", "What belongs to no tenant, by reason", "reason")
BATCHES = Tally("comanda_router_batches", "Requests to pods by outcome", "outcome")
LIMITS = Tally("comanda_router_limit_hits", "What was refused or cut off, by limit", "limit")
MOVES = Tally("comanda_router_placement_moves", "Numbers whose pod changed, by cause", "cause")
BREAKS = Tally("comanda_router_breaker_opened", "Times that a pod was given a rest, by cause", "cause")
BATCH_SIZE = Spread(
    "comanda_router_batch_deliveries",
    "Deliveries in one request to a pod",
    (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
BATCH_SECONDS = Spread("comanda_router_batch_seconds", "From a request to a pod to its answer", SECONDS)
WEBHOOK_SECONDS = Spread("comanda_router_webhook_seconds", "From the whole body read to the answer", SECONDS)
PODS = Gathered("comanda_router_pods", "Pods by state", "state")
PODS_READY = Gauge("comanda_router_pods_ready", "Pods that may get deliveries")
NUMBERS = Gauge("comanda_router_numbers", "Numbers in the directory")
DIRECTORY_STATE = Gathered("comanda_router_directory", "How the directory's source fares, by fact", "fact")
DIRECTORY_AGE = Gathered("comanda_router_directory_seconds", "Age of the directory in force", "directory")
