"""What the operator keeps of each resource in memory: small records, since there may be tens of thousands of tenants.

They are read from what the API server has accepted, so the schema's rules hold; local mode makes them of its models.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any, Literal

import msgspec

from comanda_contract.resources import WhatsAppTenant
from comanda_contract.resources.tenant import Enterprise

_STRINGS_KEPT = 4096


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """Which object it is, and which edition of its spec."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 1
    creation_timestamp: str = ""
    deletion_timestamp: str = ""

    @property
    def key(self) -> str:
        """`namespace/name`; many indexes have it, so there is one string of it."""
        return sys.intern(f"{self.namespace}/{self.name}")


class ConditionRecord(msgspec.Struct, frozen=True, rename="camel"):
    """A condition as it was read, or as it should be; see `comanda_contract.resources.status`."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""


class Named(msgspec.Struct, frozen=True):
    """A reference to an object in the same namespace."""

    name: str


class _Credentials(msgspec.Struct, frozen=True, rename="camel"):
    secret_ref: Named


class _FlowSource(msgspec.Struct, frozen=True, rename="camel"):
    config_map_ref: Named


class LimitsRecord(msgspec.Struct, frozen=True, rename="camel"):
    """What a tenant may use."""

    inbound_per_minute: int = 600
    inbound_burst: int = 300
    outbound_per_second: int = 80
    messages_per_day: int = 100_000
    monthly_budget: str | None = None


class TenantSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What a restaurant's bot is."""

    phone_number_id: str
    waba_id: str
    display_name: str
    credentials: _Credentials
    app_ref: str = "default"
    plan: Literal["standard", "enterprise"] = "standard"
    pool_ref: str | None = None
    locale: str = "es"
    timezone: str = "UTC"
    currency: str = "USD"
    flow: _FlowSource | None = None
    limits: LimitsRecord = LimitsRecord()
    suspended: bool = False
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    subscribe: bool = False
    enterprise: dict[str, Any] | None = None


class QualityRecord(msgspec.Struct, frozen=True):
    """What Meta thinks of a number, in its words; "" for what it did not say."""

    rating: str = ""
    limit: str = ""


class TenantStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What the operator wrote of it before."""

    observed_generation: int = 0
    group: str = ""
    pod: str = ""
    shard: int | None = None
    webhook_path: str = ""
    credentials_hash: str = ""
    quality: QualityRecord = QualityRecord()
    token_expires_at: str = ""
    last_message_time: str = ""
    moving_from: str = ""
    move_phase: Literal["", "Pausing", "Copying", "Loading", "Erasing"] = ""
    paused_since: str = ""
    conditions: tuple[ConditionRecord, ...] = ()

    def condition(self, type_: str) -> ConditionRecord | None:
        """Return the condition of a type, or None."""
        return next((each for each in self.conditions if each.type == type_), None)


class TenantRecord(msgspec.Struct, frozen=True):
    """A WhatsAppTenant."""

    metadata: Metadata
    spec: TenantSpec
    status: TenantStatus = TenantStatus()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return self.metadata.key

    @property
    def secret(self) -> str:
        """`namespace/name` of the Secret with its access token."""
        return f"{self.metadata.namespace}/{self.spec.credentials.secret_ref.name}"

    @property
    def documents(self) -> str | None:
        """`namespace/name` of the ConfigMap with its flow and menu, or None."""
        flow = self.spec.flow
        return f"{self.metadata.namespace}/{flow.config_map_ref.name}" if flow is not None else None

    @property
    def enterprise(self) -> Enterprise:
        """The section of plan enterprise, with all defaults."""
        return Enterprise.model_validate(self.spec.enterprise or {})

    @property
    def seniority(self) -> tuple[str, str]:
        """What decides between two that want the same: the older one, then the key."""
        return self.metadata.creation_timestamp, self.key


_decode = msgspec.json.Decoder(TenantRecord).decode


def read_tenant(content: bytes) -> TenantRecord:
    """Read a WhatsAppTenant's JSON; what many tenants share is kept once. Raises `msgspec.DecodeError`."""
    tenant = _decode(content)
    metadata, spec, status = tenant.metadata, tenant.spec, tenant.status
    return TenantRecord(
        metadata=msgspec.structs.replace(
            metadata,
            namespace=sys.intern(metadata.namespace),
            creation_timestamp=_text(metadata.creation_timestamp),
        ),
        spec=msgspec.structs.replace(
            spec,
            app_ref=sys.intern(spec.app_ref),
            pool_ref=sys.intern(spec.pool_ref) if spec.pool_ref is not None else None,
            locale=sys.intern(spec.locale),
            timezone=sys.intern(spec.timezone),
            currency=sys.intern(spec.currency),
            limits=_limits(spec.limits),
        ),
        status=msgspec.structs.replace(
            status,
            group=_text(status.group),
            pod=_text(status.pod),
            webhook_path=_text(status.webhook_path),
            quality=_quality(status.quality),
            conditions=tuple(map(_condition, status.conditions)),
        ),
    )


def record_of(tenant: WhatsAppTenant) -> TenantRecord:
    """Return the record of a model, as local mode has it."""
    return _decode(tenant.model_dump_json(by_alias=True, exclude_none=True).encode())


@lru_cache(_STRINGS_KEPT)
def _text(text: str) -> str:
    return text


@lru_cache(_STRINGS_KEPT)
def _limits(limits: LimitsRecord) -> LimitsRecord:
    return limits


@lru_cache(_STRINGS_KEPT)
def _quality(quality: QualityRecord) -> QualityRecord:
    return quality


@lru_cache(_STRINGS_KEPT)
def _condition(condition: ConditionRecord) -> ConditionRecord:
    return condition
