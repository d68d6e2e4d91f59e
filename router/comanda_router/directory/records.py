"""Objects of the API → records: the little of each that routing needs. Pure.

A tenant's record is its entry in the directory, or None while its number is not to be routed; an app's is its name, or
None; an EndpointSlice's is the pods that it names. What is no such object raises, and the informer counts it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from comanda_contract.directory import NumberEntry, PodEndpoint
from comanda_contract.errors import InvalidInputError
from comanda_contract.names import DELIVERIES_PORT, LABEL_GROUP, LABEL_GROUP_UID
from comanda_contract.resources.tenant import Limits

NOT_LOADED_REASONS = frozenset({"NotLoaded"})
"""Reasons of `Ready` that say: no pod of the present group has loaded this tenant yet.

Any other reason says that something is wrong with a tenant that its pods know (a later generation is on its way, a
token was refused, pods restart), and then its webhooks are welcome: pods store what they cannot answer yet, and one
that does not know a number after all refuses it, which is a 503 as well.
"""


class SliceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One EndpointSlice of a group; `created` and `name` tell which of two is the newer."""

    group: str
    uid: str
    created: str
    name: str
    pods: tuple[PodEndpoint, ...] = ()


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str = ""
    labels: dict[str, str] = {}
    creation_timestamp: str = ""
    deletion_timestamp: str = ""


class _Condition(msgspec.Struct):
    type: str
    status: str
    reason: str = ""


class _Status(msgspec.Struct, frozen=True):
    group: str = ""
    conditions: list[_Condition] = []


class _Limits(msgspec.Struct, frozen=True, rename="camel"):
    inbound_per_minute: int = Limits().inbound_per_minute
    inbound_burst: int = Limits().inbound_burst


class _TenantSpec(msgspec.Struct, rename="camel"):
    phone_number_id: str
    waba_id: str
    app_ref: str = "default"
    limits: _Limits = _Limits()


class _Tenant(msgspec.Struct):
    metadata: _Metadata
    spec: _TenantSpec
    status: _Status = _Status()


class _App(msgspec.Struct):
    metadata: _Metadata
    status: _Status = _Status()


class _Port(msgspec.Struct):
    name: str | None = None
    port: int | None = None


class _TargetRef(msgspec.Struct):
    name: str = ""


class _EndpointConditions(msgspec.Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class _Endpoint(msgspec.Struct, rename="camel"):
    addresses: list[str]
    conditions: _EndpointConditions = _EndpointConditions()
    hostname: str | None = None
    target_ref: _TargetRef | None = None


class _EndpointSlice(msgspec.Struct):
    metadata: _Metadata
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


_same = lru_cache(maxsize=1024)(int)
"""What `sys.intern` is for strings."""

_decode_tenant = msgspec.json.Decoder(_Tenant).decode
_decode_app = msgspec.json.Decoder(_App).decode
_decode_slice = msgspec.json.Decoder(_EndpointSlice).decode


def read_tenant(content: bytes) -> NumberEntry | None:
    """Return a WhatsAppTenant's entry; None when it is refused, has no group, or is being deleted.

    One that the operator has not judged yet has an entry without a group: what comes for it is to come again. The entry
    is ready when `Ready` is True, or is not for a reason other than `NOT_LOADED_REASONS`. Raises `msgspec.DecodeError`.
    """
    tenant = _decode_tenant(content)
    metadata, spec, status = tenant.metadata, tenant.spec, tenant.status
    is_judged = bool(status.conditions)
    if (is_judged and not (_is_accepted(status) and status.group)) or metadata.deletion_timestamp:
        return None
    ready = _condition(status.conditions, "Ready")
    return NumberEntry(
        phone_number_id=spec.phone_number_id,
        tenant=f"{metadata.namespace}/{metadata.name}",
        # There may be 100,000 entries, with few apps, groups and limits between them.
        app=sys.intern(spec.app_ref),
        group=sys.intern(status.group) if is_judged else "",
        ready=ready is not None and (ready.status == "True" or ready.reason not in NOT_LOADED_REASONS),
        waba_id=spec.waba_id,
        inbound_per_minute=_same(spec.limits.inbound_per_minute),
        inbound_burst=_same(spec.limits.inbound_burst),
    )


def read_app(content: bytes) -> str | None:
    """Return the name of a WhatsAppApp; None unless it is accepted. Raises `msgspec.DecodeError`."""
    app = _decode_app(content)
    return app.metadata.name if _is_accepted(app.status) and not app.metadata.deletion_timestamp else None


def read_slice(content: bytes) -> SliceRecord | None:
    """Return the record of an EndpointSlice with the group's label; None for one of another Service of the group.

    Raises `msgspec.DecodeError`, and `InvalidInputError` for pods whose key nobody could derive.
    """
    found = _decode_slice(content)
    labels = found.metadata.labels
    uid = labels.get(LABEL_GROUP_UID, "")
    port = next((each.port for each in found.ports or () if each.name == DELIVERIES_PORT and each.port), None)
    if not uid and port is None:
        return None
    if not uid:
        hint = "Give the group's Service this label; Kubernetes copies it."
        raise InvalidInputError(f"metadata.labels.{LABEL_GROUP_UID}", "is missing.", hint=hint)
    return SliceRecord(
        group=f"{found.metadata.namespace}/{labels[LABEL_GROUP]}",
        uid=uid,
        created=found.metadata.creation_timestamp,
        name=found.metadata.name,
        # A Service without endpoints has a slice without ports.
        pods=tuple(_pods(found.endpoints or (), port)) if port is not None else (),
    )


def _pods(endpoints: Iterable[_Endpoint], port: int) -> Iterable[PodEndpoint]:
    for endpoint in endpoints:
        name = endpoint.target_ref.name if endpoint.target_ref is not None else endpoint.hostname
        if name and endpoint.addresses:
            address = endpoint.addresses[0]  # further ones have no meaning
            host = f"[{address}]" if ":" in address else address
            yield PodEndpoint(name=name, url=f"http://{host}:{port}", ready=_is_ready(endpoint.conditions))


def _is_ready(conditions: _EndpointConditions) -> bool:
    # `ready` alone is always true for a Service that publishes addresses which are not ready. Unknown means yes.
    return conditions.ready is not False and conditions.serving is not False and not conditions.terminating


def _is_accepted(status: _Status) -> bool:
    accepted = _condition(status.conditions, "Accepted")
    return accepted is not None and accepted.status == "True"


def _condition(conditions: list[_Condition], type_: str) -> _Condition | None:
    return next((condition for condition in conditions if condition.type == type_), None)
