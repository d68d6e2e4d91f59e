"""What the operator knows at this moment: the world, the objects in the cluster, who has which place. No I/O.

Everything here can be had again from the API: a new leader begins with nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from comanda_contract.names import LABEL_GROUP_UID, group_key, group_name, shard_of
from comanda_contract.resources import BotPool, Condition, Handler
from comanda_contract.resources.quantities import Resources
from comanda_contract.resources.scheduling import Scheduling
from comanda_contract.resources.tenant import ACCESS_TOKEN_KEY
from comanda_operator.checks import Finding
from comanda_operator.deletions import Deletions
from comanda_operator.live import Described, LiveObject, PodRecord
from comanda_operator.manifests.names import ANNOTATION_OWNER, LABEL_SHARD, Site
from comanda_operator.manifests.shards import Leaving, Notes, Source, token_digest
from comanda_operator.moves import AT_ONCE, Facts, Move, destination_of, move_of, must_move, place_during
from comanda_operator.plan import GroupPlan, Verdict, is_usable, judge_tenant, own_group_key, plan_own, plan_pool
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
    is_doubted: bool
    """Whether tenants whose deletion is doubted may be in it."""


class Departing(NamedTuple):
    """A tenant that moves away; `leaving` is what its shard says of that, None once its data there are to be erased."""

    phone_number_id: str
    leaving: Leaving | None


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
    departures: dict[ShardKey, dict[str, Departing]] = field(default_factory=lambda: defaultdict(dict))
    """Tenants that move away, by the shard that they leave."""
    moving: set[str] = field(default_factory=set)
    """Tenants that move, or wait to."""
    left: set[tuple[str, str]] = field(default_factory=set)
    """Tenant and move: the pods of the group that it leaves have let go of it."""
    looked_at: set[tuple[str, str]] = field(default_factory=set)
    """Tenant and move: pods of both groups know of it what they should."""
    copied: set[tuple[str, str]] = field(default_factory=set)
    """Tenant and move: its data have arrived."""
    moved_out: set[tuple[str, str]] = field(default_factory=set)
    """Tenant and the group that it left: that group's pods have erased its data."""
    stranded: dict[ShardKey, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Tenants, with their numbers, that were deleted while their data were being copied to a shard's group."""
    sharing: set[frozenset[str]] = field(default_factory=set)
    """Pairs of groups that were found to work on one database."""
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
        wanted = self.verdict(tenant).group if tenant is not None else ""
        group = self._group_now(tenant, wanted) if tenant is not None else ""
        place = self._place_in(group, tenant) if tenant is not None and group else None
        before = self.placed.get(key)
        concerned = {Key("tenant", key)}
        if tenant is not None and wanted and tenant.spec.plan == "enterprise":
            concerned |= self.put_group(plan_own(tenant))
        concerned |= self._note_move(key, tenant, wanted)
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

    def _group_now(self, tenant: TenantRecord, wanted: str) -> str:
        """Return the group whose shard serves a tenant that is to have `wanted`."""
        move = move_of(tenant)
        if move.phase:
            return place_during(move)
        return move.group if must_move(tenant, wanted) and self.group_of(move.group) is not None else wanted

    def waits(self, tenant: TenantRecord) -> bool:
        """Tell whether a tenant is served where it was, and is to move."""
        place = self.placed.get(tenant.key)
        return tenant.key in self.moving and not move_of(tenant).phase and place is not None

    def _note_move(self, key: str, tenant: TenantRecord | None, wanted: str) -> set[Key]:
        """Note what a tenant's status says of its move; returns what is to be looked at for that."""
        move = move_of(tenant) if tenant is not None else Move("")
        departing: Departing | None = None
        origin: ShardKey | None = None
        if tenant is not None and move.phase:
            number = tenant.spec.phone_number_id
            origin = ShardKey(move.origin, 0 if move.origin == own_group_key(tenant) else shard_of(number))
            leaving = Leaving(number, move.name, tenant.spec.deletion_policy) if move.phase != "Erasing" else None
            departing = Departing(number, leaving)
        is_moving = departing is not None or (
            tenant is not None and must_move(tenant, wanted) and self.group_of(move.group) is not None
        )
        concerned: set[Key] = set()
        if key in self.moving or is_moving:
            concerned |= self._put_departing(key, origin, departing)
        if is_moving:
            self.moving.add(key)
        elif key in self.moving:
            self._forget_move(key)
            concerned |= {Key("tenant", each) for each in self.moving}  # one that waits may begin
            namespace, _, name = key.partition("/")
            own = f"{namespace}/{group_name('tenant', name)}"
            if own in self.groups and own not in {wanted, move.group}:
                concerned |= self.drop_group(own)  # made for a move that was called back
        return concerned

    def _put_departing(self, key: str, origin: ShardKey | None, departing: Departing | None) -> set[Key]:
        concerned: set[Key] = set()
        for shard in [shard for shard, each in self.departures.items() if key in each and shard != origin]:
            del self.departures[shard][key]
            concerned |= {Key("shard", *shard), Key("group", shard.group)}
            group = self.groups.get(shard.group)
            if group is not None and (group.tenant or self.pool_of(group) is None):
                concerned |= self.drop_group(shard.group)
        if origin is not None and departing is not None and self.departures[origin].get(key) != departing:
            self.departures[origin][key] = departing
            concerned.add(Key("shard", *origin))
        return concerned

    def strand(self, key: str, leaving: Leaving) -> set[Key]:
        """Note that a tenant was deleted in the middle of a move: what has arrived already is to be erased too."""
        namespace, _, name = key.partition("/")
        group = destination_of(leaving.move)
        is_own = group == f"{namespace}/{group_name('tenant', name)}"
        if is_own or group not in self.groups:
            return set()  # its volumes go with it
        shard = ShardKey(group, shard_of(leaving.phone_number_id))
        self.stranded[shard][key] = leaving.phone_number_id
        return {Key("shard", *shard)}

    def _forget_move(self, key: str) -> None:
        self.moving.discard(key)
        for known in (self.left, self.looked_at, self.copied, self.moved_out):
            known -= {each for each in known if each[0] == key}

    def facts(self, tenant: TenantRecord, wanted: str) -> Facts:
        """Return what is known of a tenant's move to the group that it is to have."""
        move, key = move_of(tenant), tenant.key
        origin, destination = (move.origin, move.group) if move.phase else (move.group, wanted)
        under_way = sum(each.leaving is not None for shard in self.departures.values() for each in shard.values())
        acknowledged = self.acknowledged.get(key)
        return Facts(
            origin_exists=self.group_of(origin) is not None,
            can_begin=self.has_ready_pods(origin) and self._stands(destination) and under_way < AT_ONCE,
            shares_database=self.share_database(origin, destination),
            left=(key, move.name) in self.left,
            both_answer=(key, move.name) in self.looked_at,
            copied=(key, move.name) in self.copied,
            loaded=acknowledged is not None and acknowledged.group == destination,
            erased=(key, origin) in self.moved_out,
        )

    def _stands(self, group: str) -> bool:
        """Tell whether a group has pods that will stay: those of one that was just removed are ready to the last."""
        live = self.objects.get("StatefulSet", {}).get(group)
        is_staying = live is not None and not live.metadata.deletion_timestamp and live.status.ready_replicas > 0
        return is_staying and self.has_ready_pods(group)

    def share_database(self, group: str, other: str) -> bool:
        """Tell whether two groups were found to work on one database."""
        return frozenset({group, other}) in self.sharing

    def has_ready_pods(self, group: str) -> bool:
        """Tell whether any pod of a group is ready."""
        return any(pod.is_ready for pod in self.pods_of(group))

    def group_of(self, key: str) -> GroupPlan | None:
        """Return a group that is planned or, for what is left of one that is not any more, what is known of it."""
        planned = self.groups.get(key)
        if planned is not None:
            return planned
        described = [*self.shards_of(key), *(live.metadata for _, live in self.children_of(key))]
        uids = [each.labels[LABEL_GROUP_UID] for each in described if each.labels.get(LABEL_GROUP_UID)]
        return former_group(described[0], uids[0]) if uids else None

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
        """Note that a group is wanted no more; it is planned until no tenant has a place in it."""
        group = self.groups.get(key)
        if group is not None:
            shards = [ShardKey(key, number) for number in range(group.shards)]
            if any(self.members.get(each) or self.departures.get(each) for each in shards):
                return set()
            del self.groups[key]
        return {Key("group", key)}

    def is_cleared(self, shard: ShardKey) -> bool:
        """Tell whether pods are told of no tenant by a shard any more, and have erased whom they were to erase."""
        settled = self.settled.get(shard)
        return settled is not None and not (settled.sources or settled.is_doubted or settled.notes.erasing)

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
        plan = self.group_of(group)
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

    def allows(self, image: str | None) -> bool:
        """Tell whether an image may run here: the platform's own always may."""
        return image is None or not self.site.allowed_images or image.startswith(self.site.allowed_images)


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


def shard_key(described: Described) -> ShardKey | None:
    """Return which shard a Secret is, by its labels; None for any other."""
    number = described.labels.get(LABEL_SHARD, "")
    return ShardKey(f"{described.namespace}/{group_label(described)}", int(number)) if number.isdecimal() else None


def former_group(described: Described, uid: str) -> GroupPlan:
    """Return a group that is planned no more, as far as its objects tell of it: enough to write its shards."""
    kind, _, owner = described.annotations.get(ANNOTATION_OWNER, "").partition("/")
    return GroupPlan(
        namespace=described.namespace,
        name=group_label(described),
        uid=uid,
        replicas=1,
        image=None,
        handler=Handler(),
        database=None,
        resources=Resources(),
        scheduling=Scheduling(),
        tenant=owner if kind == "WhatsAppTenant" else "",
    )


def within_one_volume(group: GroupPlan) -> GroupPlan:
    """Return the group as it can run: with an embedded database there is one pod, since a volume is one pod's."""
    return replace(group, replicas=min(1, group.replicas)) if group.database is None else group
