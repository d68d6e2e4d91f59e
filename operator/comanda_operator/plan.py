"""Resources → what should be: groups of pods, the tenants each serves, the apps, and a verdict on every resource.

Pure and level-triggered: the same world gives the same answers, in whatever order it was learnt. A bot group is the one
thing that is built: a pool is a group with many tenants, an enterprise tenant is a group with one. In a cluster one
resource is judged at a time; local mode asks for the `plan` of all.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from pydantic import ValidationError

from comanda_contract.names import DEFAULT_APP, LABEL_SOURCE, SHARDS_PER_POOL, group_name, pod_name
from comanda_contract.resources import BotPool, Condition, Handler, WhatsAppApp
from comanda_contract.resources.app import APP_SECRET_KEY, VERIFY_TOKEN_KEY
from comanda_contract.resources.quantities import Resources
from comanda_contract.resources.scheduling import Scheduling
from comanda_contract.resources.tenant import ACCESS_TOKEN_KEY, FLOW_KEY, RESTAURANT_KEY, Enterprise
from comanda_contract.tenancy import HandlerSettings, TenantSettings
from comanda_operator.observed import Observed
from comanda_operator.records import LimitsRecord, TenantRecord, record_of
from comanda_operator.world import DocumentRecord, SecretRecord, World, pool_of

Resource = TenantRecord | BotPool | WhatsAppApp

LONGEST_SECRET = 4096
"""Characters of a secret value; Meta's tokens have some hundred."""
_UNSEEN = "unseen"
"""Local mode names the keys of Secrets and looks at no value here."""
MESSAGE_CHARACTERS = 1024
"""More does not fit into a condition."""


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
    limits: LimitsRecord
    """What the router takes in for it."""


@dataclass(frozen=True)
class GroupPlan:
    """A set of identical pods and the tenants that they serve."""

    namespace: str
    name: str
    uid: str
    replicas: int
    image: str | None
    """None: the image that the installation has for all."""
    handler: Handler
    database: str | None
    """`namespace/name` of the Secret with the address of its PostgreSQL, if it has one."""
    resources: Resources
    scheduling: Scheduling
    runtime_class: str = ""
    shards: int = 1
    """Secrets over which its tenants are spread."""
    tenant: str = ""
    """`namespace/name` of the enterprise tenant that it is for; empty for a pool."""
    erases_volumes: bool = False
    """Whether its volumes go with it: the data of a tenant that wants them erased."""
    tenants: tuple[TenantPlan, ...] = ()

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
    """`namespace/name`."""

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
    world = world_of(observed)
    verdicts = [judge_app(world, app) for app in world.apps.values()]
    verdicts += [judge_pool(world, pool) for pool in world.pools.values()]
    served: dict[str, list[TenantPlan]] = defaultdict(list)
    for tenant in world.tenants.values():
        verdict = judge_tenant(world, tenant)
        verdicts.append(verdict)
        if verdict.group:
            served[verdict.group].append(plan_tenant(world, tenant))
    groups = [plan_pool(pool) for pool in world.pools.values() if world.pool(pool.metadata.name) is pool]
    groups += [
        plan_own(tenant)
        for tenant in world.tenants.values()
        if tenant.spec.plan == "enterprise" and own_group_key(tenant) in served
    ]
    return Plan(
        apps=tuple(sorted(plan_apps(world), key=lambda app: app.name)),
        groups=tuple(
            replace(group, tenants=tuple(sorted(served[group.key], key=lambda each: each.settings.phone_number_id)))
            for group in sorted(groups, key=lambda group: group.key)
        ),
        verdicts=tuple(sorted(verdicts, key=lambda verdict: (verdict.kind, verdict.key))),
    )


def world_of(observed: Observed) -> World:
    """Return the world that was observed as a whole."""
    world = World()
    for app in observed.apps:
        world.put_app(app.metadata.key, app)
    for pool in observed.pools:
        world.put_pool(pool.metadata.key, pool)
    for key, names in observed.secret_keys.items():
        world.put_secret(key, SecretRecord("", dict.fromkeys(names, _UNSEEN)))
    for key, documents in observed.documents.items():
        world.put_document(key, DocumentRecord("", documents))
    for tenant in map(record_of, observed.tenants):
        world.put_tenant(tenant.key, tenant)
    return world


def judge_tenant(world: World, tenant: TenantRecord, *, served: bool = False) -> Verdict:
    """Say whether a tenant is accepted, has credentials, and has a place: in its pool, or pods of its own.

    One that is `served` already keeps its place while its Secret or ConfigMap is broken: pods go on with the last good
    ones, and what is wrong is said of this tenant alone.
    """
    owner = world.owner_of(tenant.spec.phone_number_id)
    if owner is not tenant:
        message = f"an older tenant ({owner.key}) has this already; remove one of the two."
        return _verdict(tenant, (_fails("Accepted", tenant, "PhoneNumberConflict", message),))
    refused = _spec_problem(tenant)
    if refused is not None:
        return _verdict(tenant, (refused,))
    accepted = _holds("Accepted", tenant)
    problem = _credentials_problem(world, tenant)
    if problem is not None and not served:
        return _verdict(tenant, (accepted, problem))
    scheduled, group = _schedule(world, tenant, served=served)
    return _verdict(tenant, (accepted, problem or _holds("CredentialsReady", tenant), scheduled), group)


def judge_pool(world: World, pool: BotPool) -> Verdict:
    """Say whether a pool is the one of its name."""
    winner = world.pool(pool.metadata.name)
    if winner is not None and winner is not pool:
        return _verdict(pool, (_conflict(pool, winner, "PoolNameConflict", "another BotPool"),))
    return _verdict(pool, (_holds("Accepted", pool),))


def judge_app(world: World, app: WhatsAppApp) -> Verdict:
    """Say whether an app is the one of its name, and has its secrets."""
    winner = world.app(app.metadata.name)
    if winner is not None and winner is not app:
        return _verdict(app, (_conflict(app, winner, "AppNameConflict", "another WhatsAppApp"),))
    problem = _app_secret_problem(world, app)
    return _verdict(app, (_holds("Accepted", app), problem or _holds("CredentialsReady", app)))


def plan_apps(world: World) -> list[AppPlan]:
    """Return the apps that the router answers for."""
    return [
        AppPlan(app.metadata.name, _ref(app, app.spec.secret_ref.name), app.spec.graph_version)
        for app in world.apps.values()
        if world.app(app.metadata.name) is app and _app_secret_problem(world, app) is None
    ]


def plan_pool(pool: BotPool) -> GroupPlan:
    """Return a pool's group, there even without tenants, so that it is warm when the first one comes."""
    return GroupPlan(
        namespace=pool.metadata.namespace,
        name=group_name("pool", pool.metadata.name),
        uid=uid_of(pool),
        replicas=pool.spec.replicas,
        image=pool.spec.image,
        handler=Handler(),
        database=_ref(pool, pool.spec.database.name) if pool.spec.database else None,
        resources=pool.spec.resources,
        scheduling=pool.spec.scheduling,
        shards=SHARDS_PER_POOL,
    )


def plan_own(tenant: TenantRecord) -> GroupPlan:
    """Return the group of an enterprise tenant."""
    enterprise = tenant.enterprise
    return GroupPlan(
        namespace=tenant.metadata.namespace,
        name=group_name("tenant", tenant.metadata.name),
        uid=uid_of(tenant),
        replicas=enterprise.replicas,
        image=enterprise.image,
        handler=enterprise.handler,
        database=_ref(tenant, enterprise.database.name) if enterprise.database else None,
        resources=enterprise.resources,
        scheduling=enterprise.scheduling,
        runtime_class=enterprise.runtime_class_name,
        tenant=tenant.key,
        erases_volumes=tenant.spec.deletion_policy == "Delete",
    )


def own_group_key(tenant: TenantRecord) -> str:
    """Return the `namespace/name` of an enterprise tenant's group."""
    return f"{tenant.metadata.namespace}/{group_name('tenant', tenant.metadata.name)}"


def plan_tenant(world: World, tenant: TenantRecord, documents: Mapping[str, Any] | None = None) -> TenantPlan:
    """Return what the pods of its group are told of a tenant that `judge_tenant` gave a group.

    `documents` are its parsed flow and menu; without them they are taken as they stand in the world.
    """
    spec = tenant.spec
    app = world.app(spec.app_ref)
    assert app is not None, "only a tenant whose app is there has a group"  # noqa: S101
    if documents is None:
        documents = world.documents[tenant.documents].texts if tenant.documents else {}
    settings = TenantSettings(
        tenant=tenant.key,
        phone_number_id=spec.phone_number_id,
        waba_id=spec.waba_id,
        display_name=spec.display_name,
        app=spec.app_ref,
        app_id=app.spec.app_id,
        plan=spec.plan,
        locale=spec.locale,
        timezone=spec.timezone,
        currency=spec.currency,
        graph_version=app.spec.graph_version,
        suspended=spec.suspended,
        outbound_per_second=spec.limits.outbound_per_second,
        flow=documents.get(FLOW_KEY),
        restaurant=dict(documents.get(RESTAURANT_KEY) or {}),
        handler=_handler_settings(tenant.enterprise.handler) if spec.enterprise is not None else HandlerSettings(),
        deletion_policy=spec.deletion_policy,
        generation=tenant.metadata.generation,
    )
    return TenantPlan(settings=settings, secret=tenant.secret, limits=spec.limits)


def webhook_path(app: str) -> str:
    """Return the path that Meta must be told for an app: `/webhook` for the one named default."""
    return "/webhook" if app == DEFAULT_APP else f"/webhook/{app}"


def uid_of(resource: Resource) -> str:
    """Return the API server's uid, or one derived from kind and key where there is none (local mode)."""
    if resource.metadata.uid:
        return resource.metadata.uid
    return hashlib.sha256(f"{kind_of(resource)}/{resource.metadata.key}".encode()).hexdigest()[:32]


def kind_of(resource: Resource) -> str:
    """Return the kind, as the API names it."""
    return "WhatsAppTenant" if isinstance(resource, TenantRecord) else resource.kind


def _spec_problem(tenant: TenantRecord) -> Condition | None:
    """Return what no schema can say, or said only after the tenant was made; None when nothing is wrong."""
    if tenant.spec.timezone not in _time_zones():
        message = f"timezone {tenant.spec.timezone} is none that the IANA names; use one such as America/Santiago."
        return _fails("Accepted", tenant, "TimeZoneUnknown", message)
    if tenant.spec.enterprise is None:
        return None
    try:
        _ = tenant.enterprise
    except ValidationError as error:
        fields = ", ".join(sorted({f"spec.enterprise.{'.'.join(map(str, each['loc']))}" for each in error.errors()}))
        message = f"{fields} breaks a rule that came after it was written; kubectl apply says which."
        return _fails("Accepted", tenant, "SpecInvalid", message)
    return None


_time_zones = lru_cache(1)(available_timezones)


def _credentials_problem(world: World, tenant: TenantRecord) -> Condition | None:
    name, secret = tenant.spec.app_ref, tenant.secret
    app = world.app(name)
    if app is None or _app_secret_problem(world, app) is not None:
        message = f"WhatsAppApp {name} is missing or has no usable Secret; create it or change appRef."
        return _fails("CredentialsReady", tenant, "AppNotReady", message)
    return _missing(world, tenant, secret, {ACCESS_TOKEN_KEY})


def _schedule(world: World, tenant: TenantRecord, *, served: bool) -> tuple[Condition, str]:
    source = tenant.documents
    if source is None or source in world.documents:
        return _place(world, tenant)
    message = f"ConfigMap {source} {_absence(world)}, or remove spec.flow."
    return _fails("Scheduled", tenant, "ConfigMapMissing", message), _place(world, tenant)[1] if served else ""


def _place(world: World, tenant: TenantRecord) -> tuple[Condition, str]:
    name = pool_of(tenant)
    if name is None:
        return _schedule_own(tenant, tenant.enterprise)
    pool = world.pool(name)
    if pool is None:
        return _fails("Scheduled", tenant, "PoolMissing", f"BotPool {name} does not exist; create it."), ""
    if not world.has_room(pool, tenant):
        message = f"BotPool {name} holds its {pool.spec.max_tenants} tenants; raise maxTenants or use another pool."
        return _fails("Scheduled", tenant, "PoolFull", message), ""
    return _holds("Scheduled", tenant), f"{pool.metadata.namespace}/{group_name('pool', name)}"


def _schedule_own(tenant: TenantRecord, enterprise: Enterprise) -> tuple[Condition, str]:
    if enterprise.handler.type == "bridge":
        message = "handler type bridge is not run by this version; the tenant is not served."
        return _fails("Scheduled", tenant, "HandlerNotRun", message), ""
    return _holds("Scheduled", tenant), own_group_key(tenant)


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


def _app_secret_problem(world: World, app: WhatsAppApp) -> Condition | None:
    return _missing(world, app, _ref(app, app.spec.secret_ref.name), {APP_SECRET_KEY, VERIFY_TOKEN_KEY})


def _missing(world: World, resource: TenantRecord | WhatsAppApp, secret: str, keys: set[str]) -> Condition | None:
    """Return what is wrong with a Secret that must have some keys; None when nothing is."""
    known = world.secrets.get(secret)
    if known is None:
        message = f"Secret {secret} {_absence(world)}."
        return _fails("CredentialsReady", resource, "SecretMissing", message)
    missing = sorted(keys - known.keys)
    if missing:
        message = f"Secret {secret} has no key {' and no key '.join(missing)}; add it."
        return _fails("CredentialsReady", resource, "SecretKeyMissing", message)
    wrong = sorted(key for key in keys if not _holds_value(key, known.values[key]))
    if wrong:
        message = f"key {' and key '.join(wrong)} of Secret {secret} is empty, or too long, or no plain text; mend it."
        return _fails("CredentialsReady", resource, "SecretValueInvalid", message)
    return None


def is_usable(value: str) -> bool:
    """Tell whether a secret value is what Meta gives out: printable ASCII without spaces, and not long.

    Anything else could not be sent in a header, and would only take room from other tenants.
    """
    return 0 < len(value) <= LONGEST_SECRET and value.isascii() and value.isprintable() and " " not in value


def _holds_value(key: str, value: str) -> bool:
    """Tell whether a key of a Secret can be used; verify tokens may be several, and hold spaces."""
    value = value.strip()
    if key == VERIFY_TOKEN_KEY:
        value = "".join(value.split())
    return is_usable(value)


def _absence(world: World) -> str:
    """Say why a Secret or ConfigMap is not there, and what to do."""
    if world.sources_are_labelled:
        return f"does not exist or lacks the label {LABEL_SOURCE}; create or label it"
    return "does not exist; create it"


def _ref(resource: BotPool | WhatsAppApp | TenantRecord, name: str) -> str:
    return f"{resource.metadata.namespace}/{name}"


def _conflict(resource: BotPool | WhatsAppApp, winner: BotPool | WhatsAppApp, reason: str, owner: str) -> Condition:
    message = f"{owner} ({winner.metadata.key}) has this already; remove one of the two."
    return _fails("Accepted", resource, reason, message)


def _holds(type_: str, resource: Resource) -> Condition:
    return Condition(type=type_, status="True", reason=type_, observed_generation=resource.metadata.generation)


def _fails(type_: str, resource: Resource, reason: str, message: str) -> Condition:
    generation, fitting = resource.metadata.generation, message[:MESSAGE_CHARACTERS]
    return Condition(type=type_, status="False", reason=reason, message=fitting, observed_generation=generation)


def _verdict(resource: Resource, conditions: tuple[Condition, ...], group: str = "") -> Verdict:
    return Verdict(kind=kind_of(resource), key=resource.metadata.key, conditions=conditions, group=group)
