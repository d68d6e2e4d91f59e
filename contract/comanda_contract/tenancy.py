"""Operator → pod: which tenants a group serves, with which settings and credentials, as mounted files.

    <tenants dir>/<any name>.json       TenantShard: settings, flow and menu; no secret
    <credentials dir>/<any name>.json   CredentialShard: access tokens by number

A pod reads every file of both folders, re-reads what changed, and reports what it has loaded. Shards keep each
object below Kubernetes' size limit; a group with one tenant has one shard.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Any, Literal

import msgspec


class HandlerSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which bot answers, and for a tenant's own code what it may use."""

    type: Literal["flow", "python"] = "flow"
    entry_point: str = ""
    """Name, or `module:object`, of an entry point of the group `comanda.handlers`; for type python alone."""
    timeout_seconds: Annotated[int, msgspec.Meta(ge=1, le=60)] = 10
    """How long one turn may take."""
    memory_mib: Annotated[int, msgspec.Meta(ge=64, le=65_536)] = 192
    """How much memory the process that runs the code may hold, in MiB."""
    env: tuple[str, ...] = ()
    """Names of the pod's environment variables that the code may see; none that begins with `COMANDA_`."""


class TenantSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that a pod must know of a tenant, credentials aside."""

    tenant: str
    """`namespace/name` of the WhatsAppTenant; the key of all its data."""
    phone_number_id: str
    waba_id: str
    display_name: str
    app: str
    app_id: str = ""
    """Meta's id of that app: who has a conversation is told by it."""
    plan: Literal["standard", "enterprise"] = "standard"
    locale: str = "es"
    timezone: str = "UTC"
    currency: str = "USD"
    graph_version: str = "v26.0"
    suspended: bool = False
    outbound_per_second: int = 80
    flow: dict[str, Any] | None = None
    """The flow document; None for the standard flow."""
    restaurant: dict[str, Any] = msgspec.field(default_factory=dict)
    """Menu, opening hours, zones and texts: the document that the flow room reads as a `Restaurant`."""
    handler: HandlerSettings = HandlerSettings()
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    """What becomes of its data when it is deleted; the operator reads it here when the resource is gone."""
    generation: int = 1


class Erasure(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A tenant that is no more, and whose data are to be erased."""

    tenant: str
    phone_number_id: str


class Departure(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A tenant that moves to another group: pods let go of it, and hand its data over when they are asked."""

    tenant: str
    phone_number_id: str
    move: str
    """Which move it is: `comanda_contract.moves.move_name`."""


class TenantShard(msgspec.Struct, frozen=True, kw_only=True):
    """One mounted file of settings."""

    tenants: tuple[TenantSettings, ...] = ()
    erase: tuple[Erasure, ...] = ()
    """A pod says that it has loaded the shard when it has erased these."""
    leaving: tuple[Departure, ...] = ()
    """And when nothing is under way for these any more."""


class CredentialShard(msgspec.Struct, frozen=True, kw_only=True):
    """One mounted file of credentials: access token by phone number id."""

    access_tokens: dict[str, str] = msgspec.field(default_factory=dict)


def shard_digest(key: bytes, tenants: bytes, credentials: bytes) -> str:
    """Return a keyed digest of a shard from the SHA-256 of its two files, as pods report it once they have loaded both.

    It can be shown: without the key it tells nothing of what the files hold.
    """
    return hmac.digest(key, tenants + credentials, "sha256").hex()[:32]


def decode_tenants(content: bytes) -> TenantShard:
    """Read one settings file. Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(content, type=TenantShard)


def decode_credentials(content: bytes) -> CredentialShard:
    """Read one credentials file. Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(content, type=CredentialShard)
