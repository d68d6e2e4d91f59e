"""What pods are told of the tenants of a shard: what their sources say or, where those are broken, what was told last.

Pure; what was told last is in the shard, and is only read when it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from comanda_contract.errors import InvalidInputError
from comanda_contract.resources.tenant import FLOW_KEY, RESTAURANT_KEY
from comanda_contract.tenancy import TenantSettings, decode_credentials, decode_tenants
from comanda_operator.documents import read_documents
from comanda_operator.manifests.pods import CREDENTIALS_FILE, TENANTS_FILE
from comanda_operator.manifests.shards import Leaving, Notes
from comanda_operator.plan import plan_tenant
from comanda_operator.records import TenantRecord
from comanda_operator.state import State

PROBLEM_CHARACTERS = 200
"""Of each tenant's on a shard, whose annotations hold 256 KiB at most."""


class Told(NamedTuple):
    """What a shard says: settings by tenant, tokens by number."""

    settings: Mapping[str, TenantSettings]
    tokens: Mapping[str, str]


NOTHING = Told({}, {})


def read_told(files: Mapping[str, bytes]) -> Told:
    """Read what a shard's files say; nothing of those that somebody else wrote."""
    try:
        tenants = decode_tenants(files.get(TENANTS_FILE, b"{}")).tenants
        return Told(
            {each.tenant: each for each in tenants},
            decode_credentials(files.get(CREDENTIALS_FILE, b"{}")).access_tokens,
        )
    except msgspec.DecodeError:
        return NOTHING


class _Part(NamedTuple):
    tenant: TenantRecord
    settings: TenantSettings | None
    token: str


@dataclass(frozen=True)
class Contents:
    """What goes into a shard."""

    settings: Sequence[TenantSettings]
    tokens: Mapping[str, str]
    notes: Notes


@dataclass(frozen=True)
class Going:
    """Tenants that a shard does not serve any more.

    `erasing` are no more, and their data are to be erased; `moved` are elsewhere now, and their data here are to be
    erased; both with their numbers. `leaving` are on their way.
    """

    erasing: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    leaving: Mapping[str, Leaving] = field(default_factory=dict)

    @property
    def to_erase(self) -> Mapping[str, str]:
        """All whose data are to be erased."""
        return {**self.erasing, **self.moved}


@dataclass
class Gathering:
    """The tenants of a shard with what their sources say.

    `going` are those that are not served here any more; `has_lost` tells that some that pods were told of may be no
    more.
    """

    state: State
    going: Going
    has_lost: bool = False
    parts: list[_Part] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    """Tenants whose sources are meant for the group that they are to move to: here they stay as they were told last."""
    broken: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State, tenants: Sequence[TenantRecord], going: Going, *, has_lost: bool) -> Gathering:
        """Read the sources of tenants."""
        made = cls(state, going, has_lost)
        made.parts = [_Part(tenant, made._settings_of(tenant), state.token(tenant)) for tenant in tenants]
        made.waiting = {tenant.key for tenant in tenants if state.waits(tenant)}
        return made

    @property
    def held(self) -> frozenset[str]:
        """Tenants that are no more, and whose deletion is doubted: wherever they are, they stay."""
        return frozenset(self.state.deletions.held - self.state.world.tenants.keys())

    @property
    def needs_last(self) -> bool:
        """Whether what was told last is needed."""
        return (
            self.has_lost
            or bool(self.held or self.waiting)
            or any(part.settings is None or not part.token for part in self.parts)
        )

    def finish(self, last: Told) -> Contents:
        """Return the contents, with what was told last where the sources do not say it."""
        settings = [last.settings[name] for name in sorted(self.held & last.settings.keys())]
        tokens = {each.phone_number_id: last.tokens.get(each.phone_number_id, "") for each in settings}
        left_out: list[str] = []
        for tenant, found, token in self.parts:
            number = tenant.spec.phone_number_id
            before = last.settings.get(tenant.key)
            known = (before if tenant.key in self.waiting else None) or found or self._with_documents_of(before, tenant)
            known_token = token or last.tokens.get(number, "")
            if known is None or not known_token:
                left_out.append(tenant.key)
                continue
            settings.append(known)
            tokens[number] = known_token
        return Contents(
            settings, tokens, Notes(self.broken, tuple(left_out), self._erasing(last), dict(self.going.leaving))
        )

    def _erasing(self, last: Told) -> dict[str, str]:
        """Return whose data are to be erased: those of before, and who is no more and wanted it; none that is back."""
        known = self.state.world.tenants.keys() | self.held
        wanted = {
            name: each.phone_number_id for name, each in last.settings.items() if each.deletion_policy == "Delete"
        }
        erasing = {**self.going.erasing, **wanted}
        gone = {
            name: number for name, number in erasing.items() if name not in known and name not in self.going.leaving
        }
        return dict(sorted({**gone, **self.going.moved}.items()))

    def _settings_of(self, tenant: TenantRecord) -> TenantSettings | None:
        """Return what a tenant's sources say; None while they cannot be used."""
        world = self.state.world
        record = world.documents.get(tenant.documents) if tenant.documents is not None else None
        if world.app(tenant.spec.app_ref) is None or (record is None and tenant.documents is not None):
            return None  # its conditions say so
        try:
            documents = read_documents(record.texts) if record is not None else {}
        except InvalidInputError as error:
            self.broken[tenant.key] = f"ConfigMap {tenant.documents}: {error.message}"[:PROBLEM_CHARACTERS]
            return None
        return plan_tenant(world, tenant, documents).settings

    def _with_documents_of(self, before: TenantSettings | None, tenant: TenantRecord) -> TenantSettings | None:
        """Return a tenant's settings with the flow and menu that its pods have; without its app all as they have it."""
        if before is None or self.state.world.app(tenant.spec.app_ref) is None:
            return before
        documents = {FLOW_KEY: before.flow, RESTAURANT_KEY: before.restaurant}
        return plan_tenant(self.state.world, tenant, documents).settings
