"""What the operator knows at this moment: the world, the objects in the cluster, who has which place. No I/O.

Everything here can be had again from the API: a new leader begins with nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from comanda_contract.names import group_key, shard_of
from comanda_contract.resources import BotPool, Condition
from comanda_contract.resources.tenant import ACCESS_TOKEN_KEY
from comanda_operator.checks import Finding
from comanda_operator.deletions import Deletions
from comanda_operator.live import Described, LiveObject, PodRecord
from comanda_operator.manifests.names import Site
from comanda_operator.manifests.shards import Notes, Source, token_digest
from comanda_operator.plan import GroupPlan, Verdict, is_usable, judge_tenant, plan_own, plan_pool
from comanda_operator.records import TenantRecord
from comanda_operator.status import Stamp, acknowledged_before
from comanda_operator.world import World


class Key(NamedTuple):
    """One thing to look at: a resource, a group's objects, a shard, a group's pods, or the apps' Secret."""

    kind: str
    name: str
    """`namespace/name`."""
    shard: int = -1


class ShardKey(NamedTuple):
    """A group (`namespace/name`) and the number of one of its shards."""

    group: str
    number: int


@dataclass(frozen=True)
class Settled:
    """A shard as it was last seen to be current: its content's digest, what it was made from, what pods get by it."""

    content: str
    sources: Mapping[str, Source]
    stamps: Mapping[str, Stamp]
    notes: Notes


@dataclass
class State:
    """Indexes over what is. `objects` are the informers' stores, by kind; `shards` knows metadata alone."""

    site: Site
    master_key: bytes = field(repr=False)
    world: World = field(default_factory=lambda: World(sources_are_labelled=True))
    objects: Mapping[str, Mapping[str, LiveObject]] = field(default_factory=dict)
    shards: Mapping[str, Described] = field(default_factory=dict)
    pods: Mapping[str, PodRecord] = field(default_factory=dict)
    groups: dict[str, GroupPlan] = field(default_factory=dict)
    placed: dict[str, ShardKey] = field(default_factory=dict)
    members: dict[ShardKey, set[str]] = field(default_factory=lambda: defaultdict(set))
    settled: dict[ShardKey, Settled] = field(default_factory=dict)
    acknowledged: dict[str, Stamp] = field(default_factory=dict)
    deletions: Deletions = field(default_factory=Deletions)
    erased: dict[ShardKey, str] = field(default_factory=dict)
    """Contents of shards of which all pods have erased what they were to erase."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """What Meta said of tenants, until it is in their status."""
    heard: dict[str, int] = field(default_factory=dict)
    """When tenants' last message came, in unix seconds, until it is in their status."""

    def verdict(self, tenant: TenantRecord) -> Verdict:
        """Judge a tenant."""
        served = bool(tenant.status.group) or tenant.key in self.placed
        verdict = judge_tenant(self.world, tenant, served=served)
        refused = verdict.refused
        if refused is not None and refused.reason == "PoolMissing":
            # Who deletes a pool must not take its tenants off the air: its pods stay until they have another place.
            place = self.placed.get(tenant.key)
            verdict = replace(verdict, group=place.group if place is not None else tenant.status.group)
        verdict = self._with_documents(tenant, verdict)
        return self._within_policy(tenant, verdict) if self.site.allowed_images else verdict

    def place(self, key: str) -> set[Key]:
        """Give a tenant its place by what is known now, or take it away; returns what is to be looked at for that."""
        tenant = self.world.tenants.get(key)
        group = self.verdict(tenant).group if tenant is not None else ""
        place = self._place_in(group, tenant) if tenant is not None and group else None
        before = self.placed.get(key)
        concerned = {Key("tenant", key)}
        if tenant is not None and place is not None and tenant.spec.plan == "enterprise":
            concerned |= self.put_group(plan_own(tenant))
        if place != before:
            concerned |= self._change_place(key, before, place)
        if tenant is None:
            self.acknowledged.pop(key, None)
            self.findings.pop(key, None)
            self.heard.pop(key, None)
        elif place is not None:
            self.acknowledged.setdefault(key, acknowledged_before(tenant) or _NOTHING)
            settled = self.settled.get(place)
            if settled is None or settled.sources.get(key) != self.source(tenant):
                concerned.add(Key("shard", *place))
        return concerned

    def put_pools(self) -> set[Key]:
        """Plan the groups of pools anew; returns those that changed."""
        world = self.world
        planned = [plan_pool(pool) for pool in world.pools.values() if world.pool(pool.metadata.name) is pool]
        concerned = {key for group in planned for key in self.put_group(group)}
        named = {group.key for group in planned}
        for key, group in list(self.groups.items()):
            if not group.tenant and key not in named:
                concerned |= self.drop_group(key)
        return concerned

    def put_group(self, group: GroupPlan) -> set[Key]:
        """Note a group as it should be; returns it when that differs from before."""
        group = within_one_volume(group)
        if self.groups.get(group.key) == group:
            return set()
        self.groups[group.key] = group
        return {Key("group", group.key)}

    def drop_group(self, key: str) -> set[Key]:
        """Note that a group is wanted no more; it goes once no tenant has a place in it."""
        shards = [ShardKey(key, number) for number in range(self.groups[key].shards)]
        if any(self.members.get(shard) or self._is_erasing(shard) for shard in shards):
            return set()
        del self.groups[key]
        return {Key("group", key)}

    def _is_erasing(self, shard: ShardKey) -> bool:
        settled = self.settled.get(shard)
        return settled is not None and bool(settled.notes.erasing)

    def pool_of(self, group: GroupPlan) -> BotPool | None:
        """Return the pool that a group was made for."""
        return next((pool for pool in self.world.pools.values() if pool.metadata.uid == group.uid), None)

    def source(self, tenant: TenantRecord) -> Source:
        """Return which edition of everything a tenant's part of a shard is made from."""
        secret = self.world.secrets.get(tenant.secret)
        documents = self.world.documents.get(tenant.documents) if tenant.documents is not None else None
        app = self.world.app(tenant.spec.app_ref)
        versions = (
            str(tenant.metadata.generation),
            secret.version if secret is not None and self.token(tenant) else "",
            documents.version if documents is not None else "",
            f"{app.metadata.uid}:{app.metadata.generation}" if app is not None else "",
        )
        return Source(tenant.key, tenant.metadata.uid, versions)

    def token(self, tenant: TenantRecord) -> str:
        """Return a tenant's access token; "" while its Secret has none that can be used."""
        secret = self.world.secrets.get(tenant.secret)
        token = secret.values.get(ACCESS_TOKEN_KEY, "").strip() if secret is not None else ""
        return token if is_usable(token) else ""

    def stamp(self, tenant: TenantRecord, group: str) -> Stamp:
        """Return what pods should have of a tenant. With a broken Secret they keep the token that they have."""
        token = self.token(tenant)
        if token:
            digest = token_digest(self.master_key, tenant.metadata.uid, token)
        else:
            digest = self.acknowledged.get(tenant.key, _NOTHING).credentials
        return Stamp(group, tenant.metadata.generation, digest)

    def key_of(self, group: str) -> str:
        """Return the key with which a group's pods are spoken to; "" for a group that is not planned."""
        plan = self.groups.get(group)
        return group_key(self.master_key, group, plan.uid) if plan is not None else ""

    def pods_of(self, group: str) -> list[PodRecord]:
        """Return the pods of a group that are not about to end."""
        return [pod for pod in self.pods.values() if pod.group == group and not pod.is_ending]

    def children_of(self, group: str) -> Iterable[tuple[str, LiveObject]]:
        """Give the objects of a group with their kinds."""
        namespace, _, name = group.partition("/")
        for kind, objects in self.objects.items():
            for live in objects.values():
                if live.metadata.namespace == namespace and group_label(live.metadata) == name:
                    yield kind, live

    def shards_of(self, group: str) -> list[Described]:
        """Return the shards of a group that there are."""
        namespace, _, name = group.partition("/")
        return [each for each in self.shards.values() if each.namespace == namespace and group_label(each) == name]

    def _place_in(self, group: str, tenant: TenantRecord) -> ShardKey:
        return ShardKey(group, shard_of(tenant.spec.phone_number_id) if tenant.spec.plan == "standard" else 0)

    def _change_place(self, key: str, before: ShardKey | None, place: ShardKey | None) -> set[Key]:
        concerned: set[Key] = set()
        if before is not None:
            self.members[before].discard(key)
            concerned |= {Key("shard", *before), Key("group", before.group)}
            group = self.groups.get(before.group)
            if group is not None and (group.tenant or self.pool_of(group) is None):
                concerned |= self.drop_group(before.group)
        if place is None:
            self.placed.pop(key, None)
        else:
            self.placed[key] = place
            self.members[place].add(key)
            concerned |= {Key("shard", *place), Key("group", place.group)}
        return concerned

    def _with_documents(self, tenant: TenantRecord, verdict: Verdict) -> Verdict:
        """Say of a tenant that its flow or menu is wrong, which is found when its shard is made."""
        place = self.placed.get(tenant.key)
        settled = self.settled.get(place) if place is not None else None
        # A new leader has not looked at the shard yet: what was said before holds.
        problem = settled.notes.broken.get(tenant.key, "") if settled is not None else said_of_documents(tenant)
        scheduled = verdict.condition("Scheduled")
        if not problem or scheduled is None or scheduled.status != "True":
            return verdict
        return _refuse(verdict, scheduled, CONFIG_MAP_INVALID, problem)

    def _within_policy(self, tenant: TenantRecord, verdict: Verdict) -> Verdict:
        if tenant.spec.plan != "enterprise" or not verdict.group or self.allows(tenant.enterprise.image):
            return verdict
        allowed = ", ".join(self.site.allowed_images)
        scheduled = verdict.condition("Scheduled")
        assert scheduled is not None, "what has a group was scheduled"  # noqa: S101
        message = f"image {tenant.enterprise.image} may not run here; allowed are those that begin with {allowed}."
        return replace(_refuse(verdict, scheduled, "ImageNotAllowed", message), group="")

    def allows(self, image: str) -> bool:
        """Tell whether an image may run here."""
        return not self.site.allowed_images or image.startswith(self.site.allowed_images)


CONFIG_MAP_INVALID = "ConfigMapInvalid"
_NOTHING = Stamp("", 0, "")


def said_of_documents(tenant: TenantRecord) -> str:
    """Return what a tenant's status says of a flow or menu that cannot be used; "" when it says nothing."""
    scheduled = tenant.status.condition("Scheduled")
    return scheduled.message if scheduled is not None and scheduled.reason == CONFIG_MAP_INVALID else ""


def _refuse(verdict: Verdict, condition: Condition, reason: str, message: str) -> Verdict:
    """Return a verdict with one of its conditions failed."""
    failed = condition.model_copy(update={"status": "False", "reason": reason, "message": message})
    return replace(verdict, conditions=tuple(failed if each is condition else each for each in verdict.conditions))


def group_label(described: Described) -> str:
    """Return the name of the group that an object belongs to, by its label."""
    return described.labels.get("comanda.dev/group", "")


def within_one_volume(group: GroupPlan) -> GroupPlan:
    """Return the group as it can run: with an embedded database there is one pod, since a volume is one pod's."""
    return replace(group, replicas=min(1, group.replicas)) if group.database is None else group
