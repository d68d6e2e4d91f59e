"""The pod as a whole: what it is made of, what it does in the background, how it starts and how it ends."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from pathlib import Path
from time import monotonic

import aiohttp
import structlog

from comanda_botpod import metrics
from comanda_botpod.handlers.dispatch import Handlers
from comanda_botpod.handlers.flow import FlowHandler
from comanda_botpod.handlers.sdk.media import LIMITS
from comanda_botpod.inbox import Inbox, InboxLimits
from comanda_botpod.media import MediaClient
from comanda_botpod.moves import Moves
from comanda_botpod.outbox import Outbox
from comanda_botpod.read import Reader
from comanda_botpod.receipts import ReadReceipts
from comanda_botpod.sender import Sender
from comanda_botpod.settings import BotPodSettings
from comanda_botpod.tags import Tags
from comanda_botpod.tenants import Documents, Tenant, Tenants
from comanda_botpod.turn import Turns
from comanda_contract.cloud.pricing import STANDARD_RATES_RESOURCE, RateTable, parse_rates
from comanda_contract.errors import ComandaError, InvalidInputError
from comanda_contract.tenancy import Departure
from comanda_store import Claim, DatabaseNotReadyError, OrderRecord, PublishedTenant, Store, TenantScope, Timing

_log = structlog.get_logger()

HEARTBEAT_SECONDS = 1.0
DATABASE_PAUSE_SECONDS = 0.5
BACKLOG_SECONDS = 5.0
PURGE_SECONDS = 5.0
"""How often a slice of what is old is thrown away: 500 rows each 5 s keep up with 8 million a day."""
Work = Callable[[], Coroutine[None, None, None]]


class Pod:
    """One running bot pod."""

    def __init__(
        self,
        settings: BotPodSettings,
        store: Store,
        session: aiohttp.ClientSession,
        media: MediaClient,
        tenants: Tenants,
    ) -> None:
        self._settings = settings
        self._store = store
        self.tenants = tenants
        tags = Tags(bytes.fromhex(settings.group_key.get_secret_value()))
        sender = Sender(
            session,
            str(settings.graph_url),
            tags,
            at_once=settings.sends_at_once,
            timeout_seconds=settings.send_timeout_seconds,
        )
        self._outbox = Outbox(store, sender, tenants)
        self._receipts = ReadReceipts(session, str(settings.graph_url))
        self.handlers = Handlers(FlowHandler(store), self._recent_orders, media)
        self._turns = Turns(store, tenants, self.handlers, self._outbox, self._receipts, at_once=settings.turns_at_once)
        self.inbox = Inbox(
            store,
            tenants,
            self._turns,
            Reader(load_rates(settings.rates_file), tags, int(settings.stale_after_seconds * 1000)),
            InboxLimits(settings.free_bytes, settings.pending_per_tenant),
        )
        self.moves = Moves(store, tenants)
        store.on_commit(_count_commit)
        self.failing: set[str] = set()
        """Background work whose last run failed."""
        self._kept = ""
        """What was loaded when the handlers were last told which tenants there are."""
        self._empty: set[TenantScope] = set()
        """Tenants to be erased of which nothing was left at the last look."""
        self._batches: dict[Departure, set[object]] = {}
        """By tenant that leaves: the batches that were being stored when that was seen, and still are."""
        self._changed: set[str] = set()
        """Numbers of tenants that changed since then: a database that is away does not make them unchanged."""

    @property
    def ready(self) -> bool:
        """Whether deliveries are welcome."""
        return not self.failing and not self.inbox.draining

    async def refresh_tenants(self) -> None:
        """Read changed files, publish new versions, let waiting conversations go on."""
        self._changed.update(tenant.number for tenant in self.tenants.refresh())
        if self.tenants.loaded == self._kept:
            return
        changed = [tenant for tenant in map(self.tenants.get, self._changed) if tenant is not None]
        await self._store.publish(
            [_published(tenant, tenant.documents) for tenant in changed if tenant.documents], "configuration"
        )
        await self.handlers.keep(self.tenants.all())
        for tenant in changed:
            if tenant.documents is not None:
                self._turns.wake_number(tenant.scope)
        plans = Counter(tenant.settings.plan for tenant in self.tenants.all())
        for plan in metrics.PLANS:
            metrics.TENANTS.labels(plan=plan).set(plans[plan])
        self._kept = self.tenants.loaded
        self._changed.clear()
        # Tenants live long: ten thousand of them, looked through by a collection, are a pause of 0.2 s for everybody.
        gc.collect()
        gc.freeze()

    async def take_over(self) -> None:
        """Show that this pod lives, and take what dead ones left."""
        await self._store.heartbeat()
        left = await self._store.take_over()
        for waiting in (*left.conversations, *await self._store.fire_timers()):
            self._turns.wake(waiting.scope, waiting.customer_id)
        self._outbox.enqueue(left.sends)
        self.inbox.look_for_room()

    async def show_backlog(self) -> None:
        """Set the metrics of what waits, in this pod and in its group."""
        self._turns.show_backlog()
        backlog = await self._store.backlog()
        metrics.PENDING.set(backlog.pending)
        metrics.OLDEST_SECONDS.set(backlog.oldest_ms / 1000)
        metrics.PARKED.set(backlog.parked)
        metrics.UNKNOWN.set(backlog.unknown)

    async def purge(self) -> None:
        """Throw away one slice of what is older than its keeping time."""
        await self._store.purge(statuses_days=self._settings.statuses_days, messages_days=self._settings.messages_days)

    async def erase(self) -> None:
        """Erase one slice of each tenant whose data are to go; done is one of which nothing was left, twice in a row.

        A turn that was under way when its tenant went may write once more; by the next look it is over.
        """
        for scope in self.tenants.to_erase:
            count = await self._store.erase(scope)
            if count == 0 and scope in self._empty and not self._turns.is_busy(scope):
                self.tenants.erased(scope)
                _log.info("tenant_erased", tenant=scope.tenant)
            elif count == 0:
                self._empty.add(scope)
            else:
                self._empty.discard(scope)
        self._empty &= self.tenants.to_erase

    async def let_go(self) -> None:
        """Note of tenants that leave that nothing is under way for them any more.

        Their turns and sends under way end; none begins, since they are not served. Deliveries are refused.
        """
        waiting = self.tenants.to_let_go
        # A batch that was taken while the tenant was served is acknowledged, so it is in the database before that.
        self._batches = {each: self._batches.get(each, self.inbox.under_way) & self.inbox.under_way for each in waiting}
        for departure in waiting:
            scope = TenantScope(departure.tenant, departure.phone_number_id)
            if self._batches[departure] or self._turns.is_busy(scope) or self._outbox.is_busy(scope.phone_number_id):
                continue
            await self._store.note_leaving(scope, departure.move)
            self.tenants.let_go(departure)
            _log.info("tenant_let_go", tenant=scope.tenant)

    async def drain(self) -> None:
        """Refuse new deliveries, finish turns, then sends; what does not end in time stays in the database."""
        self.inbox.draining = True
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._turns.drain()
                await self._outbox.drain()
        except TimeoutError:
            _log.warning("drain_incomplete", seconds=self._settings.drain_seconds)
        await self.handlers.close()
        await self._receipts.close()

    async def _recent_orders(self, claim: Claim) -> list[OrderRecord]:
        return await self._store.list_orders(claim.scope, claim.customer_id)


def load_rates(path: Path | None) -> RateTable:
    """Return Meta's prices from a file, or from the table that comes with this version.

    Raises `RateTableError` with the lines that are wrong, or `InvalidInputError` when the file cannot be read.
    """
    if path is None:
        package, name = STANDARD_RATES_RESOURCE
        return parse_rates(resources.files(package).joinpath(name).read_text(encoding="utf-8"))
    try:
        return parse_rates(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("rates_file", f"{path} cannot be read ({type(error).__name__}).") from None


def _published(tenant: Tenant, documents: Documents) -> PublishedTenant:
    return PublishedTenant(
        tenant=tenant.name,
        phone_number_id=tenant.number,
        waba_id=tenant.settings.waba_id,
        display_name=tenant.settings.display_name,
        plan=tenant.settings.plan,
        flow_version=documents.flow_version,
        flow=documents.flow,
        menu_version=documents.menu_version,
        menu=documents.menu,
    )


def _count_commit(rows: int, seconds: float) -> None:
    metrics.COMMIT_ROWS.observe(rows)
    metrics.COMMIT_SECONDS.observe(seconds)


@asynccontextmanager
async def running_pod(settings: BotPodSettings) -> AsyncIterator[Pod]:
    """Start a pod and, at the end, drain it. Raises `ComandaError` when the database cannot be used."""
    incarnation = f"{settings.pod}:{uuid.uuid4().hex[:12]}"
    timing = Timing(lease_ms=int(settings.lease_seconds * 1000), unknown_ms=int(settings.unknown_seconds * 1000))
    store = await _opened(settings, incarnation, timing)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        yield await stack.enter_async_context(_working_pod(settings, store))


async def _opened(settings: BotPodSettings, incarnation: str, timing: Timing) -> Store:
    """Open the database, and wait for one that comes up or is migrated at the same time as this pod."""
    began, said = monotonic(), ""
    while True:
        try:
            return await Store.open(settings.database_url, pod=settings.pod, incarnation=incarnation, timing=timing)
        except DatabaseNotReadyError as error:
            if monotonic() - began >= settings.database_wait_seconds:
                raise
            if error.message != said:
                _log.warning("database_awaited", **error.to_dict())
                said = error.message
            await asyncio.sleep(DATABASE_PAUSE_SECONDS)


@asynccontextmanager
async def _working_pod(settings: BotPodSettings, store: Store) -> AsyncIterator[Pod]:
    connector = aiohttp.TCPConnector(limit=settings.sends_at_once, keepalive_timeout=60)
    cookies = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=cookies) as session, AsyncExitStack() as stack:
        graph_url, seconds = str(settings.graph_url), settings.send_timeout_seconds
        media = MediaClient(session, graph_url, limits=LIMITS, timeout_seconds=seconds)
        stack.push_async_callback(media.close)
        key = bytes.fromhex(settings.group_key.get_secret_value())
        tenants = Tenants(settings.tenants_dir, settings.credentials_dir, key)
        pod = Pod(settings, store, session, media, tenants)
        await pod.refresh_tenants()
        await pod.take_over()
        background = [
            asyncio.create_task(_every(HEARTBEAT_SECONDS, pod, pod.take_over), name="take-over"),
            asyncio.create_task(_every(PURGE_SECONDS, pod, pod.purge), name="purge"),
            asyncio.create_task(_every(BACKLOG_SECONDS, pod, pod.show_backlog), name="show-backlog"),
            asyncio.create_task(_every(settings.reload_seconds, pod, pod.refresh_tenants), name="refresh-tenants"),
            asyncio.create_task(_every(settings.reload_seconds, pod, pod.erase), name="erase"),
            asyncio.create_task(_every(settings.reload_seconds, pod, pod.let_go), name="let-go"),
        ]
        _log.info("pod_started", pod=settings.pod, tenants=len(list(tenants.all())))
        try:
            yield pod
        finally:
            await pod.drain()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            _log.info("pod_stopped", pod=settings.pod)


async def _every(seconds: float, pod: Pod, work: Work) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except (ComandaError, OSError) as error:
            # A database or folder that is away for a moment must not end the loop; readiness tells the router.
            pod.failing.add(work.__name__)
            _log.error("background_work_failed", work=work.__name__, error=str(error))
        except Exception:  # noqa: BLE001 - a pod whose heartbeat has ended would be dead to the others, and work on
            pod.failing.add(work.__name__)
            _log.exception("background_work_broken", work=work.__name__)
        else:
            pod.failing.discard(work.__name__)
