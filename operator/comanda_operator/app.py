"""The operator as a whole: what it is made of, how it comes to lead, works, and ends.

Both replicas watch. The one that holds the Lease gives every tenant its place, then works; one that loses the Lease
ends, since another leads by then. Any part that breaks ends the process: a half-dead operator looks healthy.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

import structlog

from comanda_contract.errors import InvalidInputError
from comanda_kube.client import Client
from comanda_kube.config import ClusterConfig
from comanda_kube.errors import ApiError, NotFoundError, ObjectConflictError
from comanda_kube.events import Recorder
from comanda_kube.lease import Elector, LeasePace
from comanda_operator.activity import ActivityReader
from comanda_operator.apply import URGENT, NotLeadingError, Writer
from comanda_operator.checking import Checker
from comanda_operator.checks import CONNECTED
from comanda_operator.graph import GraphReader
from comanda_operator.manifests.names import MANAGER, Site
from comanda_operator.metrics import LEADING, QUEUE_DEPTH, QUEUE_SECONDS, RECONCILE_SECONDS, RECONCILES, TENANTS
from comanda_operator.mover import Mover
from comanda_operator.queue import KeyedQueue, Priority
from comanda_operator.reconcile import Reconciler
from comanda_operator.settings import OperatorSettings
from comanda_operator.shard_secrets import ShardSecrets, ShardTooLargeError
from comanda_operator.state import Key, State
from comanda_operator.status import READY
from comanda_operator.watch import Watches

_log = structlog.get_logger()

LEASE = "comanda-operator"
_MEASURE_SECONDS = 15.0
_RENEW_SECONDS = 3.0
"""A renewal that has not been answered by then is tried again."""


class Operator:
    """One replica."""

    def __init__(self, settings: OperatorSettings, client: Client, electing: Client) -> None:
        self._settings = settings
        identity = settings.identity or socket.gethostname()
        pace = LeasePace(
            settings.lease_seconds, settings.lease_seconds * 2 / 3, max(0.2, settings.lease_seconds * 2 / 15)
        )
        self.elector = Elector(electing, settings.namespace, LEASE, identity, pace=pace)
        client.fence(lambda: self.elector.may_write)
        self.queue: KeyedQueue[Key] = KeyedQueue()
        self.recorder = Recorder(client, "comanda.dev/operator", identity)
        site = Site(
            settings.namespace,
            graph_url=str(settings.graph_url).rstrip("/"),
            graph_port=settings.graph_url.port or 443,
            bot_image=settings.bot_image,
            bot_pull_secrets=settings.bot_pull_secrets,
            database_ports=settings.database_ports,
            allowed_images=settings.allowed_images,
        )
        self.state = State(site, read_master_key(settings))
        self._pace = pace
        writer = Writer(client, self._seconds_left, settings.writes_per_second)
        self.checker = _checker(settings, self.state, self.queue)
        self.mover = Mover(self.state, self._look_at_tenant, port=settings.pod_port)
        shards = ShardSecrets(self.state, client, writer)
        self.reconciler = Reconciler(
            self.state,
            shards,
            writer,
            self.queue,
            self.recorder,
            pod_port=settings.pod_port,
            checker=self.checker,
            mover=self.mover,
        )
        self.watches = Watches(client, self.state, self.reconciler)
        self.tasks: list[asyncio.Task[Any]] = []
        self.supervisor: asyncio.Task[Any] | None = None
        """Ends when any part has ended."""

    def _look_at_tenant(self, key: str) -> None:
        self.queue.add(Key("tenant", key), Priority.RESYNC)

    def _seconds_left(self) -> float:
        """Return for how long the Lease is surely held."""
        return self.elector.renewed_at + self._pace.deadline - monotonic() if self.elector.may_write else 0.0

    @property
    def is_synced(self) -> bool:
        """Whether everything is known that the API has."""
        return all(informer.synced.is_set() for informer in self.watches.informers.values())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[Any]]:
        """Run meanwhile. Gives the supervisor, a task that ends, with an exception, as soon as any part has ended."""
        async with AsyncExitStack() as stack:
            election = await stack.enter_async_context(self.elector.campaigning())
            await stack.enter_async_context(self.reconciler.acknowledger)
            await stack.enter_async_context(self.mover)
            watching = await stack.enter_async_context(self.watches.running())
            parts: list[Coroutine[Any, Any, None]] = [
                self.recorder.run(),
                self._lead(),
                self._measure(),
                *([self._check(self.checker)] if self.checker is not None else []),
                *([self._read_activity()] if self._settings.activity_seconds else []),
                *(self._work() for _ in range(self._settings.workers)),
            ]
            own = [asyncio.create_task(part, name=getattr(part, "__qualname__", "part")) for part in parts]
            self.tasks = [election, *watching, *own]
            supervisor = self.supervisor = asyncio.create_task(_until_one_ends(self.tasks), name="supervisor")
            stack.push_async_callback(_cancel, [supervisor, *own])
            yield supervisor

    async def _lead(self) -> None:
        """Wait for the Lease, then look at everything, and again every so often."""
        await self.elector.leading.wait()
        began = monotonic()
        await self.watches.synced()
        _log.info("leading", tenants=len(self.state.world.tenants), seconds=round(monotonic() - began, 2))
        while True:
            await asyncio.sleep(self._settings.sweep_seconds)
            self.reconciler.enqueue(self.watches.all_keys(), Priority.RESYNC)

    async def _check(self, checker: Checker) -> None:
        await self.elector.leading.wait()
        await checker.run()

    async def _read_activity(self) -> None:
        settings = self._settings
        reader = ActivityReader(
            self.state,
            self._look_at_tenant,
            seconds=settings.activity_seconds,
            port=settings.pod_port,
        )
        await self.elector.leading.wait()
        await reader.run()

    async def _work(self) -> None:
        await self.elector.leading.wait()
        while True:
            key, waited = await self.queue.get()
            QUEUE_SECONDS.observe(waited)
            URGENT.set(self.queue.is_urgent(key))
            began = monotonic()
            outcome = await self._work_on(key)
            RECONCILES.labels(kind=key.kind, outcome=outcome).inc()
            RECONCILE_SECONDS.labels(kind=key.kind).observe(monotonic() - began)
            await asyncio.sleep(0)  # keys that need no call must not keep the loop from everything else

    async def _work_on(self, key: Key) -> str:
        try:
            await self.reconciler.reconcile(key)
        except NotLeadingError:
            self.queue.failed(key)  # a Lease that nobody else took may yet be renewed
            return "not_leading"
        except ApiError as error:
            again = self.queue.failed(key, error.retry_after_seconds)
            # An object that went, or changed, between our look and our write is everyday life.
            if not isinstance(error, NotFoundError | ObjectConflictError):
                _log.warning("reconcile_failed", key=key.kind, call=error.call, code=error.code, again=round(again, 1))
            return error.code
        except ShardTooLargeError:
            self.queue.failed(key, 60.0)
            return "too_large"
        except Exception:  # noqa: BLE001 - one object that breaks us must not stop the work on all others
            self.queue.failed(key)
            _log.exception("reconcile_broken", kind=key.kind)
            return "broken"
        self.queue.done(key)
        return "done"

    async def _measure(self) -> None:
        while True:
            QUEUE_DEPTH.set(len(self.queue))
            LEADING.set(self.elector.may_write)
            self._count_tenants()
            self.watches.measure()
            await asyncio.sleep(_MEASURE_SECONDS)

    def _count_tenants(self) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for tenant in self.state.world.tenants.values():
            for type_ in (READY, CONNECTED):
                condition = tenant.status.condition(type_)
                counts[type_, condition.reason if condition is not None else "None"] += 1
        TENANTS.clear()
        for (type_, reason), count in counts.items():
            TENANTS.labels(condition=type_, reason=reason).set(count)


@asynccontextmanager
async def operator(settings: OperatorSettings, config: ClusterConfig) -> AsyncIterator[Operator]:
    """Give an operator for a cluster; it does nothing before it is `running`."""
    async with (
        Client(config, MANAGER, concurrency=settings.workers + 8) as client,
        Client(config, MANAGER, concurrency=1, timeout_seconds=_RENEW_SECONDS) as electing,
    ):
        yield Operator(settings, client, electing)


def _checker(settings: OperatorSettings, state: State, queue: KeyedQueue[Key]) -> Checker | None:
    """Return what asks Meta of tenants; None when it is not to be asked."""
    if not settings.meta_check_hours:
        return None
    return Checker(
        state,
        GraphReader(state.site.graph_url),
        lambda tenant: queue.add(Key("tenant", tenant), Priority.RESYNC),
        every=timedelta(hours=settings.meta_check_hours),
        per_second=settings.meta_checks_per_second,
    )


def read_master_key(settings: OperatorSettings) -> bytes:
    """Return the master key. Raises `InvalidInputError` when its file cannot be used."""
    field, path = "COMANDA_OPERATOR_MASTER_KEY_FILE", settings.master_key_file
    hint = "It must hold 64 hexadecimal digits, the same as the router's; openssl rand -hex 32 makes some."
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise InvalidInputError(field, f"{path} cannot be used ({type(error).__name__}).", hint=hint) from None
    if len(key) != 32:
        raise InvalidInputError(field, f"{path} holds a key of {len(key)} bytes, not 32.", hint=hint)
    return key


async def _until_one_ends(tasks: list[asyncio.Task[Any]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        error = task.exception() if not task.cancelled() else None
        _log.critical("part_ended", part=task.get_name(), error=type(error).__name__ if error else "")
        if error is not None:
            raise error


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
