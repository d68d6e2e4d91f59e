"""All that the operator knows of the resources, with the indexes that tell whom a change concerns. Pure: no I/O.

A tenant's judgement depends on its app, its pool, its Secret, its ConfigMap, and on older tenants that want the same
number or a place in the same pool. Whatever changes any of these returns the tenants to be judged again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from comanda_contract.resources import BotPool, WhatsAppApp
from comanda_operator.records import TenantRecord

DEFAULT_POOL = "default"

Seniority = tuple[str, str]
"""When it was made, then its key: what decides between two that want the same."""


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """A Secret that a resource names: which version it is, and its values, which nothing may show."""

    version: str
    values: Mapping[str, str] = field(repr=False)

    @property
    def keys(self) -> AbstractSet[str]:
        """The names of its values."""
        return self.values.keys()


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A ConfigMap with flow and menu: which version it is, and its texts or, in local mode, its parsed documents."""

    version: str
    texts: Mapping[str, Any] = field(repr=False)


class World:
    """Everything that is. Keys are `namespace/name`; apps and pools are named without their namespace by tenants."""

    def __init__(self, *, sources_are_labelled: bool = False) -> None:
        self.sources_are_labelled = sources_are_labelled
        """Whether Secrets and ConfigMaps without our label are not seen, as in a cluster."""
        self.tenants: dict[str, TenantRecord] = {}
        self.pools: dict[str, BotPool] = {}
        self.apps: dict[str, WhatsAppApp] = {}
        self.secrets: dict[str, SecretRecord] = {}
        self.documents: dict[str, DocumentRecord] = {}
        self._by_number: dict[str, list[Seniority]] = defaultdict(list)
        self._by_pool: dict[str, list[Seniority]] = defaultdict(list)
        self._by_app: dict[str, set[str]] = defaultdict(set)
        self._by_source: dict[str, set[str]] = defaultdict(set)
        """Tenants by what they read: `secret:…` or `document:…`."""

    # Who has what

    def owner_of(self, phone_number_id: str) -> TenantRecord:
        """Return the tenant that has a number: of all that name it the oldest."""
        return self.tenants[self._by_number[phone_number_id][0][1]]

    def served_by(self, phone_number_id: str) -> TenantRecord | None:
        """Return the tenant that a number belongs to; None when nobody has it."""
        return self.owner_of(phone_number_id) if phone_number_id in self._by_number else None

    def app(self, name: str) -> WhatsAppApp | None:
        """Return the app of a name: of several the oldest."""
        return min((app for app in self.apps.values() if app.metadata.name == name), key=_seniority, default=None)

    def pool(self, name: str) -> BotPool | None:
        """Return the pool of a name: of several the oldest."""
        return min((pool for pool in self.pools.values() if pool.metadata.name == name), key=_seniority, default=None)

    def has_room(self, pool: BotPool, tenant: TenantRecord) -> bool:
        """Tell whether a tenant is among those that a pool takes, the oldest ones."""
        return bisect_left(self._by_pool[pool.metadata.name], tenant.seniority) < pool.spec.max_tenants

    def members(self, pool: str) -> Iterable[str]:
        """Give the tenants that have a place in a pool, or wait for one."""
        return (key for _, key in self._by_pool[pool])

    # What changes, and whom that concerns

    def put_tenant(self, key: str, tenant: TenantRecord | None) -> set[str]:
        """Learn a tenant, or that it is gone; returns the tenants to be judged again, itself among them."""
        before = self.tenants.get(key)
        concerned = {key}
        if before is not None:
            concerned |= self._leave(before)
        if tenant is not None:
            self.tenants[key] = tenant
            concerned |= self._join(tenant)
        else:
            self.tenants.pop(key, None)
        return concerned

    def put_pool(self, key: str, pool: BotPool | None) -> set[str]:
        """Learn a pool, or that it is gone."""
        before = _put(self.pools, key, pool)
        name = (pool or before).metadata.name if pool or before else ""
        facts = [each and (each.metadata.uid, each.spec.max_tenants) for each in (before, pool)]
        return set(self.members(name)) if facts[0] != facts[1] else set()

    def put_app(self, key: str, app: WhatsAppApp | None) -> set[str]:
        """Learn an app, or that it is gone."""
        before = _put(self.apps, key, app)
        if before is not None and app is not None and before.spec == app.spec:
            return set()
        return {key for each in (before, app) if each is not None for key in self._by_app[each.metadata.name]}

    def put_secret(self, key: str, secret: SecretRecord | None) -> set[str]:
        """Learn a Secret, or that it is gone."""
        _put(self.secrets, key, secret)
        return self._of_source(f"secret:{key}") | {
            tenant for app in self.apps_with(key) for tenant in self._by_app[app.metadata.name]
        }

    def put_document(self, key: str, document: DocumentRecord | None) -> set[str]:
        """Learn a ConfigMap, or that it is gone."""
        _put(self.documents, key, document)
        return self._of_source(f"document:{key}")

    def apps_with(self, secret: str) -> list[WhatsAppApp]:
        """Return the apps that name a Secret."""
        return [app for app in self.apps.values() if f"{app.metadata.namespace}/{app.spec.secret_ref.name}" == secret]

    def _of_source(self, source: str) -> set[str]:
        return set(self._by_source.get(source, ()))

    def _join(self, tenant: TenantRecord) -> set[str]:
        spec = tenant.spec
        self._by_app[spec.app_ref].add(tenant.key)
        for source in _sources(tenant):
            self._by_source[source].add(tenant.key)
        owners = self._by_number[spec.phone_number_id]
        insort(owners, tenant.seniority)
        return _told(owners, tenant) | self._recount(owners, tenant, joins=True)

    def _leave(self, tenant: TenantRecord) -> set[str]:
        spec = tenant.spec
        self._by_app[spec.app_ref].discard(tenant.key)
        for source in _sources(tenant):
            self._by_source[source].discard(tenant.key)
        owners = self._by_number[spec.phone_number_id]
        concerned = _told(owners, tenant) | self._recount(owners, tenant, joins=False)
        owners.remove(tenant.seniority)
        if not owners:
            del self._by_number[spec.phone_number_id]
        return concerned

    def _recount(self, owners: list[Seniority], tenant: TenantRecord, *, joins: bool) -> set[str]:
        """Let the owner of a number have its place in its pool, and nobody else; returns those whose place changed."""
        if owners[0] != tenant.seniority:
            return set()
        concerned: set[str] = set()
        heir = self.tenants[owners[1][1]] if len(owners) > 1 else None
        for each, comes in ((tenant, joins), (heir, not joins)):
            name = pool_of(each) if each is not None else None
            if each is None or name is None:
                continue
            members, pool = self._by_pool[name], self.pool(name)
            if comes:
                insort(members, each.seniority)
            else:
                members.remove(each.seniority)
            if pool is not None:
                # The one that the pool's limit now leaves out, or lets in.
                edge = pool.spec.max_tenants - (0 if comes else 1)
                concerned |= {key for _, key in members[max(0, edge) : edge + 1]}
        return concerned


def pool_of(tenant: TenantRecord) -> str | None:
    """Return the name of the pool that a standard tenant belongs to; None for an enterprise one."""
    return (tenant.spec.pool_ref or DEFAULT_POOL) if tenant.spec.plan == "standard" else None


def _told(owners: list[Seniority], tenant: TenantRecord) -> set[str]:
    """Return whom it concerns that one of those that want a number comes or goes: all of them if it has the number."""
    return {key for _, key in owners} if owners[0] == tenant.seniority else {tenant.key}


def _sources(tenant: TenantRecord) -> list[str]:
    return [f"secret:{tenant.secret}", *([f"document:{tenant.documents}"] if tenant.documents else [])]


def _seniority(resource: BotPool | WhatsAppApp) -> Seniority:
    return resource.metadata.creation_timestamp, resource.metadata.key


def _put(known: dict[str, Any], key: str, value: Any) -> Any:
    before = known.get(key)
    if value is not None:
        known[key] = value
    else:
        known.pop(key, None)
    return before
