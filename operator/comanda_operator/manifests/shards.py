"""Shards: the Secrets with the settings and credentials of a group's tenants.

A shard says from which versions of which sources it was made, so that one sees without making it whether it is current,
and shows a keyed digest of what it holds, which pods report once they have loaded it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from comanda_contract.names import shard_name
from comanda_contract.tenancy import CredentialShard, Departure, Erasure, TenantSettings, TenantShard, shard_digest
from comanda_kube.resources import Json
from comanda_operator.manifests.names import (
    ANNOTATION_CONTENT,
    ANNOTATION_NOTES,
    ANNOTATION_SOURCES,
    LABEL_SHARD,
    metadata,
)
from comanda_operator.manifests.pods import CREDENTIALS_FILE, TENANTS_FILE
from comanda_operator.plan import GroupPlan

FORMAT = "1"
"""Changes when the same sources are to give another shard: then all are made again."""

TARGET_BYTES = 256 * 1024
STOP_BYTES = 700 * 1024
"""A Secret holds 1 MiB at most; a shard that would be larger than this is not written."""

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Source:
    """One tenant of a shard: which edition of everything that it is made from."""

    tenant: str
    uid: str
    versions: tuple[str, ...]
    """Generation, version of the Secret, version of the ConfigMap, generation of the app."""


class Leaving(msgspec.Struct, frozen=True):
    """A tenant that moves to another group: its number, the name of the move, and what a deletion would mean."""

    phone_number_id: str
    move: str
    deletion_policy: Literal["Retain", "Delete"] = "Retain"


class Notes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a shard's tenants, kept on the shard: a new leader knows it without reading all sources again."""

    broken: dict[str, str] = {}
    """Tenants whose flow or menu is wrong, with a sentence for each; pods have what was good before, if there was."""
    left_out: tuple[str, ...] = ()
    """Tenants that pods are told nothing of."""
    erasing: dict[str, str] = {}
    """Tenants that are no more and whose data pods are to erase, with their numbers."""
    leaving: dict[str, Leaving] = {}
    """Tenants that move to another group."""


def read_notes(annotation: str) -> Notes:
    """Read them from a shard's annotation; what somebody else wrote there counts for none."""
    try:
        return msgspec.json.decode(annotation, type=Notes) if annotation else Notes()
    except msgspec.DecodeError:
        return Notes()


@dataclass(frozen=True)
class Shard:
    """A shard as it should be. `files` are its contents by name."""

    sources: str
    content: str
    notes: Notes
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return sum(map(len, self.files.values()))


def sources_digest(
    group_uid: str,
    sources: Iterable[Source],
    held: Iterable[str] = (),
    erasing: Iterable[str] = (),
    leaving: Mapping[str, Leaving] | None = None,
) -> str:
    """Return the digest of all that a shard is made from; the order of its tenants does not matter.

    `held` are tenants whose deletion is doubted: they stay in their shards, and leave them when that is over. `erasing`
    are those whose data are to be erased, `leaving` those that move to another group.
    """
    rows = sorted((each.tenant, each.uid, *each.versions) for each in sources)
    known: list[Any] = [FORMAT, group_uid, rows, sorted(held), *([sorted(erasing)] if erasing else [])]
    if leaving:
        known.append(sorted((name, each.move) for name, each in leaving.items()))
    return hashlib.sha256(msgspec.json.encode(known)).hexdigest()[:32]


def make_shard(
    sources: str,
    key: bytes,
    tenants: Sequence[TenantSettings],
    tokens: Mapping[str, str],
    notes: Notes | None = None,
) -> Shard:
    """Return a shard of these tenants and tokens (by phone number id); `key` is the group's."""
    ordered = tuple(sorted(tenants, key=lambda each: each.phone_number_id))
    notes = notes or Notes()
    erase = tuple(Erasure(tenant=tenant, phone_number_id=number) for tenant, number in sorted(notes.erasing.items()))
    leaving = tuple(
        Departure(tenant=tenant, phone_number_id=each.phone_number_id, move=each.move)
        for tenant, each in sorted(notes.leaving.items())
    )
    files = {
        TENANTS_FILE: _encode(TenantShard(tenants=ordered, erase=erase, leaving=leaving)),
        CREDENTIALS_FILE: _encode(CredentialShard(access_tokens=dict(sorted(tokens.items())))),
    }
    return Shard(sources, content_digest(key, files), notes, files)


def content_digest(key: bytes, files: Mapping[str, bytes]) -> str:
    """Return the keyed digest of a shard's files; of one that is missing as if it were empty."""
    digests = [hashlib.sha256(files.get(name, b"")).digest() for name in (TENANTS_FILE, CREDENTIALS_FILE)]
    return shard_digest(key, *digests)


def shard_secret(group: GroupPlan, number: int, shard: Shard) -> Json:
    """Return a shard's Secret."""
    notes = _encode(shard.notes).decode() if shard.notes != Notes() else ""
    annotations = {
        ANNOTATION_SOURCES: shard.sources,
        ANNOTATION_CONTENT: shard.content,
        ANNOTATION_NOTES: notes,
    }
    described: dict[str, Any] = metadata(group, shard_name(group.name, number))
    described["labels"][LABEL_SHARD] = f"{number:02}"
    described["annotations"] |= annotations
    data = {name: base64.b64encode(content).decode() for name, content in shard.files.items()}
    return {"metadata": described, "type": "Opaque", "data": data}


def token_digest(master_key: bytes, tenant_uid: str, token: str) -> str:
    """Return what a status may show of a token: a keyed digest that tells whether it is the same, and nothing else."""
    return hmac.digest(master_key, f"comanda/token/v1:{tenant_uid}:{token}".encode(), "sha256").hex()[:32]
