"""Resources → what should be: groups of pods, the tenants each serves, the apps, and a verdict on every resource.

Pure and level-triggered: the same resources give the same plan, in whatever order they are listed. A bot group is the
one thing that is built: a pool is a group with many tenants, an enterprise tenant is a group with one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from comanda_contract.names import DEFAULT_APP, group_name, pod_name
from comanda_contract.resources import BotPool, Condition, Handler, WhatsAppApp, WhatsAppTenant
from comanda_contract.resources.app import APP_SECRET_KEY, VERIFY_TOKEN_KEY
from comanda_contract.resources.tenant import ACCESS_TOKEN_KEY, FLOW_KEY, RESTAURANT_KEY, Limits
from comanda_contract.tenancy import HandlerSettings, TenantSettings
from comanda_operator.observed import Observed

DEFAULT_POOL = "default"

_R = TypeVar("_R", WhatsAppTenant, BotPool, WhatsAppApp)


@dataclass(frozen=True)
class AppPlan:
    """A Meta app that the router answers for; `secret` is the `namespace/name` of its Secret."""

    name: str
    secret: str
    graph_version: str


@dataclass(frozen=True)
class TenantPlan:
    """One tenant inside a group; `secret` is the `namespace/name` of the Secret with its access token."""

    settings: TenantSettings
    secret: str
    limits: Limits
    """What the router takes in for it."""


@dataclass(frozen=True)
class GroupPlan:
    """A set of identical pods and the tenants that they serve."""

    namespace: str
    name: str
    uid: str
    replicas: int
    image: str
    handler: Handler
    database: str | None
    tenants: tuple[TenantPlan, ...]

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def pods(self) -> tuple[str, ...]:
        """The stable names of the group's pods."""
        return tuple(pod_name(self.name, ordinal) for ordinal in range(self.replicas))


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one resource: `kind` and `namespace/name`, its conditions, and its group if it has one."""

    kind: str
    key: str
    conditions: tuple[Condition, ...]
    group: str = ""

    def condition(self, type_: str) -> Condition | None:
        """Return the condition of a type, or None."""
        return next((condition for condition in self.conditions if condition.type == type_), None)

    @property
    def refused(self) -> Condition | None:
        """The first condition that does not hold, or None when all do."""
        return next((condition for condition in self.conditions if condition.status != "True"), None)


@dataclass(frozen=True)
class Plan:
    """All that should be. Groups, apps and verdicts are sorted by key."""

    apps: tuple[AppPlan, ...]
    groups: tuple[GroupPlan, ...]
    verdicts: tuple[Verdict, ...]


def plan(observed: Observed) -> Plan:
    """Decide what should run for these resources. Never raises: what cannot be served says so in its verdict."""
    apps, app_verdicts = _unique(observed.apps, lambda app: app.metadata.name, "AppNameConflict", "another WhatsAppApp")
    pools, pool_verdicts = _unique(
        observed.pools, lambda pool: pool.metadata.name, "PoolNameConflict", "another BotPool"
    )
    numbers, tenant_verdicts = _unique(
        observed.tenants, lambda tenant: tenant.spec.phone_number_id, "PhoneNumberConflict", "an older tenant"
    )
    ready_apps = {app.metadata.name: app for app in apps.values() if _app_secret_problem(app, observed) is None}
    scheduler = _Scheduler(observed, ready_apps, pools)
    for tenant in sorted(numbers.values(), key=_seniority):
        scheduler.add(tenant)
    verdicts = [*app_verdicts, *pool_verdicts, *tenant_verdicts, *scheduler.verdicts]
    verdicts += [_app_verdict(app, observed) for app in apps.values()]
    verdicts += [_verdict(pool, (_holds("Accepted", pool),)) for pool in pools.values()]
    return Plan(
        apps=tuple(
            AppPlan(name, _ref(app, app.spec.secret_ref.name), app.spec.graph_version)
            for name, app in sorted(ready_apps.items())
        ),
        groups=tuple(sorted(scheduler.groups(), key=lambda group: group.key)),
        verdicts=tuple(sorted(verdicts, key=lambda verdict: (verdict.kind, verdict.key))),
    )


class _Scheduler:
    """Gives tenants, oldest first, a place in their pool or a group of their own."""

    def __init__(self, observed: Observed, apps: Mapping[str, WhatsAppApp], pools: Mapping[str, BotPool]) -> None:
        self._observed = observed
        self._apps = apps
        self._pools = pools
        self._pooled: dict[str, list[TenantPlan]] = {name: [] for name in pools}
        self._own: list[GroupPlan] = []
        self.verdicts: list[Verdict] = []

    def add(self, tenant: WhatsAppTenant) -> None:
        """Place one tenant and say what came of it."""
        accepted = _holds("Accepted", tenant)
        problem = self._credentials_problem(tenant)
        if problem is not None:
            self.verdicts.append(_verdict(tenant, (accepted, problem)))
            return
        credentials = _holds("CredentialsReady", tenant)
        scheduled, group = self._schedule(tenant)
        self.verdicts.append(_verdict(tenant, (accepted, credentials, scheduled), group))

    def groups(self) -> Iterable[GroupPlan]:
        """Return every group: pools without tenants too, so that they are warm when the first one comes."""
        yield from self._own
        for name, pool in self._pools.items():
            yield GroupPlan(
                namespace=pool.metadata.namespace,
                name=group_name("pool", name),
                uid=_uid(pool),
                replicas=pool.spec.replicas,
                image=pool.spec.image,
                handler=Handler(),
                database=_ref(pool, pool.spec.database.name) if pool.spec.database else None,
                tenants=tuple(sorted(self._pooled[name], key=lambda tenant: tenant.settings.phone_number_id)),
            )

    def _credentials_problem(self, tenant: WhatsAppTenant) -> Condition | None:
        if tenant.spec.app_ref not in self._apps:
            return _fails(
                "CredentialsReady",
                tenant,
                "AppNotReady",
                f"WhatsAppApp {tenant.spec.app_ref} is missing or has no usable Secret; create it or change appRef.",
            )
        secret = _ref(tenant, tenant.spec.credentials.secret_ref.name)
        keys = self._observed.secret_keys.get(secret)
        if keys is None:
            return _fails("CredentialsReady", tenant, "SecretMissing", f"Secret {secret} does not exist; create it.")
        if ACCESS_TOKEN_KEY not in keys:
            return _fails(
                "CredentialsReady",
                tenant,
                "SecretKeyMissing",
                f"Secret {secret} has no key {ACCESS_TOKEN_KEY}; add it.",
            )
        return None

    def _schedule(self, tenant: WhatsAppTenant) -> tuple[Condition, str]:
        source = tenant.spec.flow.config_map_ref.name if tenant.spec.flow else None
        if source is not None and _ref(tenant, source) not in self._observed.documents:
            message = f"ConfigMap {_ref(tenant, source)} does not exist; create it or remove spec.flow."
            return _fails("Scheduled", tenant, "ConfigMapMissing", message), ""
        return self._schedule_own(tenant) if tenant.spec.plan == "enterprise" else self._schedule_pooled(tenant)

    def _schedule_pooled(self, tenant: WhatsAppTenant) -> tuple[Condition, str]:
        name = tenant.spec.pool_ref or DEFAULT_POOL
        pool = self._pools.get(name)
        if pool is None:
            return _fails("Scheduled", tenant, "PoolMissing", f"BotPool {name} does not exist; create it."), ""
        if len(self._pooled[name]) >= pool.spec.max_tenants:
            message = f"BotPool {name} holds its {pool.spec.max_tenants} tenants; raise maxTenants or use another pool."
            return _fails("Scheduled", tenant, "PoolFull", message), ""
        self._pooled[name].append(self._tenant_plan(tenant))
        return _holds("Scheduled", tenant), group_name("pool", name)

    def _schedule_own(self, tenant: WhatsAppTenant) -> tuple[Condition, str]:
        enterprise = tenant.spec.enterprise
        assert enterprise is not None, "the model refuses plan enterprise without its section"  # noqa: S101
        if enterprise.handler.type == "bridge":
            message = "handler type bridge is not run by this version; the tenant is not served."
            return _fails("Scheduled", tenant, "HandlerNotRun", message), ""
        group = GroupPlan(
            namespace=tenant.metadata.namespace,
            name=group_name("tenant", tenant.metadata.name),
            uid=_uid(tenant),
            replicas=enterprise.replicas,
            image=enterprise.image,
            handler=enterprise.handler,
            database=_ref(tenant, enterprise.database.name) if enterprise.database else None,
            tenants=(self._tenant_plan(tenant),),
        )
        self._own.append(group)
        return _holds("Scheduled", tenant), group.name

    def _tenant_plan(self, tenant: WhatsAppTenant) -> TenantPlan:
        spec = tenant.spec
        source = _ref(tenant, spec.flow.config_map_ref.name) if spec.flow else None
        documents: Mapping[str, Any] = self._observed.documents.get(source, {}) if source else {}
        settings = TenantSettings(
            tenant=tenant.metadata.key,
            phone_number_id=spec.phone_number_id,
            waba_id=spec.waba_id,
            display_name=spec.display_name,
            app=spec.app_ref,
            app_id=self._apps[spec.app_ref].spec.app_id,
            plan=spec.plan,
            locale=spec.locale,
            timezone=spec.timezone,
            currency=spec.currency,
            graph_version=self._apps[spec.app_ref].spec.graph_version,
            suspended=spec.suspended,
            outbound_per_second=spec.limits.outbound_per_second,
            flow=documents.get(FLOW_KEY),
            restaurant=dict(documents.get(RESTAURANT_KEY) or {}),
            handler=_handler_settings(spec.enterprise.handler) if spec.enterprise else HandlerSettings(),
            generation=tenant.metadata.generation,
        )
        secret = _ref(tenant, spec.credentials.secret_ref.name)
        return TenantPlan(settings=settings, secret=secret, limits=spec.limits)


def webhook_path(app: str) -> str:
    """Return the path that Meta must be told for an app: `/webhook` for the one named default."""
    return "/webhook" if app == DEFAULT_APP else f"/webhook/{app}"


def _handler_settings(handler: Handler) -> HandlerSettings:
    if handler.type != "python":
        return HandlerSettings()
    return HandlerSettings(
        type="python",
        entry_point=handler.entry_point or "",
        timeout_seconds=handler.timeout_seconds,
        memory_mib=handler.memory_mib,
        env=tuple(handler.env),
    )


def _app_secret_problem(app: WhatsAppApp, observed: Observed) -> Condition | None:
    secret = _ref(app, app.spec.secret_ref.name)
    keys = observed.secret_keys.get(secret)
    if keys is None:
        return _fails("CredentialsReady", app, "SecretMissing", f"Secret {secret} does not exist; create it.")
    missing = sorted({APP_SECRET_KEY, VERIFY_TOKEN_KEY} - keys)
    if missing:
        message = f"Secret {secret} has no key {' and no key '.join(missing)}; add it."
        return _fails("CredentialsReady", app, "SecretKeyMissing", message)
    return None


def _app_verdict(app: WhatsAppApp, observed: Observed) -> Verdict:
    problem = _app_secret_problem(app, observed)
    return _verdict(app, (_holds("Accepted", app), problem or _holds("CredentialsReady", app)))


def _unique(
    resources: Iterable[_R], key: Callable[[_R], str], reason: str, owner: str
) -> tuple[dict[str, _R], list[Verdict]]:
    """Let the oldest resource have a contested key; the others get a verdict and are looked at again when it goes."""
    winners: dict[str, _R] = {}
    verdicts: list[Verdict] = []
    for resource in sorted(resources, key=_seniority):
        winner = winners.setdefault(key(resource), resource)
        if winner is not resource:
            message = f"{owner} ({winner.metadata.key}) has this already; remove one of the two."
            verdicts.append(_verdict(resource, (_fails("Accepted", resource, reason, message),)))
    return winners, verdicts


def _seniority(resource: WhatsAppTenant | BotPool | WhatsAppApp) -> tuple[str, str]:
    # A resource without a creation time (a file in local mode) is as old as the others; its key decides.
    return resource.metadata.creation_timestamp, resource.metadata.key


def _uid(resource: WhatsAppTenant | BotPool) -> str:
    """Return the API server's uid, or one derived from kind and key where there is none (local mode)."""
    if resource.metadata.uid:
        return resource.metadata.uid
    return hashlib.sha256(f"{resource.kind}/{resource.metadata.key}".encode()).hexdigest()[:32]


def _ref(resource: WhatsAppTenant | BotPool | WhatsAppApp, name: str) -> str:
    return f"{resource.metadata.namespace}/{name}"


def _holds(type_: str, resource: WhatsAppTenant | BotPool | WhatsAppApp) -> Condition:
    return Condition(type=type_, status="True", reason=type_, observed_generation=resource.metadata.generation)


def _fails(type_: str, resource: WhatsAppTenant | BotPool | WhatsAppApp, reason: str, message: str) -> Condition:
    generation = resource.metadata.generation
    return Condition(type=type_, status="False", reason=reason, message=message, observed_generation=generation)


def _verdict(
    resource: WhatsAppTenant | BotPool | WhatsAppApp, conditions: tuple[Condition, ...], group: str = ""
) -> Verdict:
    return Verdict(kind=resource.kind, key=resource.metadata.key, conditions=conditions, group=group)
