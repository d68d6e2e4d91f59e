"""Objects as they are in the cluster, and whether they hold all that was planned. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from comanda_contract.resources.quantities import amount
from comanda_kube.resources import Json


class Described(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an object's metadata that we write or need."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str = ""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


class SetStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How many pods a StatefulSet has."""

    replicas: int = 0
    ready_replicas: int = 0


class LiveObject(msgspec.Struct, frozen=True):
    """An object of a group, without what others write into it."""

    metadata: Described
    content: dict[str, Any]
    status: SetStatus = SetStatus()


class PodRecord(msgspec.Struct, frozen=True):
    """A pod of a group: where it is, and whether it is ready."""

    key: str
    uid: str
    group: str
    """`namespace/name`."""
    address: str
    is_ready: bool
    is_ending: bool


class _Object(msgspec.Struct):
    metadata: Described


class _PodCondition(msgspec.Struct):
    type: str
    status: str


class _PodStatus(msgspec.Struct, frozen=True, rename={"pod_ip": "podIP"}):
    pod_ip: str = ""
    conditions: list[_PodCondition] = []


class _Pod(msgspec.Struct):
    metadata: Described
    status: _PodStatus = _PodStatus()


_describe = msgspec.json.Decoder(_Object).decode
_read_any = msgspec.json.Decoder(dict[str, Any]).decode
_read_pod = msgspec.json.Decoder(_Pod).decode
_OTHERS = {"apiVersion", "kind", "metadata", "status"}


def read_object(content: bytes) -> LiveObject:
    """Read an object of a group. Raises `msgspec.DecodeError`."""
    whole = _read_any(content)
    status = msgspec.convert(whole.get("status") or {}, SetStatus)
    return LiveObject(
        _describe(content).metadata, {name: value for name, value in whole.items() if name not in _OTHERS}, status
    )


def read_pod(content: bytes, group_label: str) -> PodRecord:
    """Read a pod of a group. Raises `msgspec.DecodeError`."""
    pod = _read_pod(content)
    metadata = pod.metadata
    return PodRecord(
        key=metadata.key,
        uid=metadata.uid,
        group=f"{metadata.namespace}/{metadata.labels.get(group_label, '')}",
        address=pod.status.pod_ip,
        is_ready=any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions),
        is_ending=bool(metadata.deletion_timestamp),
    )


def holds(live: LiveObject, wanted: Json) -> bool:
    """Tell whether an object has all that is wanted of it; what the server or others have added does not matter."""
    metadata, described = wanted["metadata"], live.metadata
    labels, annotations = metadata.get("labels", {}), metadata.get("annotations", {})
    return (
        labels.items() <= described.labels.items()
        and annotations.items() <= described.annotations.items()
        and all(_contains(live.content.get(name), wanted[name], name) for name in wanted if name not in _OTHERS)
    )


def is_fixed(live: LiveObject, wanted: Json) -> bool:
    """Tell whether an object cannot be changed into what is wanted: the API lets no volume claims come or go."""
    spec, wanted_spec = live.content.get("spec") or {}, wanted.get("spec") or {}
    return bool(spec.get(_CLAIMS)) != bool(wanted_spec.get(_CLAIMS))


_CLAIMS = "volumeClaimTemplates"


def _contains(live: Any, wanted: Any, name: str) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(_contains(live.get(key), wanted[key], key) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(live, list) and _contains_list(live, wanted, name)
    if isinstance(wanted, str) and isinstance(live, str) and name in {"cpu", "memory", "storage"}:
        return _same_amount(live, wanted)
    return bool(live == wanted)


def _contains_list(live: list[Any], wanted: list[Any], name: str) -> bool:
    if all(isinstance(each, Mapping) and "name" in each for each in wanted):
        # What the API merges by name may have more of them, from somebody else.
        named = {each.get("name"): each for each in live if isinstance(each, Mapping)}
        return all(_contains(named.get(each["name"]), each, name) for each in wanted)
    return len(live) == len(wanted) and all(_contains(a, b, name) for a, b in zip(live, wanted, strict=True))


def _same_amount(live: str, wanted: str) -> bool:
    """Compare quantities: the API writes 1500m where 1.5 was wanted."""
    try:
        return amount(live) == amount(wanted)
    except (ArithmeticError, KeyError):
        return live == wanted
