"""Names that several rooms must spell the same way: API group, labels, ports, paths, headers, group and pod names."""

from __future__ import annotations

import hashlib
import hmac
import re

API_GROUP = "comanda.dev"
API_VERSION = "v1alpha1"
API_GROUP_VERSION = f"{API_GROUP}/{API_VERSION}"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_PART_OF = "app.kubernetes.io/part-of"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_GROUP = f"{API_GROUP}/group"
LABEL_GROUP_UID = f"{API_GROUP}/group-uid"
"""On a group's Service, whose labels Kubernetes copies to its EndpointSlices (annotations it does not)."""
LABEL_TENANT = f"{API_GROUP}/tenant"

LABEL_SOURCE = f"{API_GROUP}/source"
"""On each Secret and ConfigMap that a resource names: the operator sees those alone, and no other of the cluster."""

DELIVERIES_PORT = "deliveries"
"""Name of the port on which pods take deliveries."""

DEFAULT_APP = "default"
"""The WhatsAppApp that `/webhook` without a name stands for."""

DELIVERIES_PATH = "/v1/deliveries"
HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"

METRICS_PORT = "metrics"
"""Name of the port with a pod's metrics alone."""

SHARDS_PER_POOL = 16
"""Credential shards of a pool: fixed, so that a new tenant never changes the pod template."""

_DNS_LABEL = re.compile(r"[^a-z0-9-]+")
_MAX_GROUP_NAME = 52
"""A StatefulSet's pods carry a revision label of name + 11 characters, which must fit into 63."""


def group_name(kind: str, name: str) -> str:
    """Return the name of the bot group of a pool or an enterprise tenant, a DNS label of at most 52 characters.

    `kind` is `pool` or `tenant`. A name too long to fit keeps a readable head and gets a digest as its tail, so two
    long names never meet.
    """
    label = _DNS_LABEL.sub("-", f"{kind}-{name}".lower()).strip("-")
    if len(label) <= _MAX_GROUP_NAME:
        return label
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{label[: _MAX_GROUP_NAME - 9].rstrip('-')}-{digest}"


def pod_name(group: str, ordinal: int) -> str:
    """Return the stable name of a group's pod, as a StatefulSet gives it."""
    return f"{group}-{ordinal}"


def app_file(app: str, key: str) -> str:
    """Return the name of the file with one of a Meta app's secrets: all apps' files are in one folder.

    A Secret has no folders, and one that is mounted whole takes a new app in without any change of a pod.
    """
    return f"{app}.{key}"


def shard_name(group: str, shard: int) -> str:
    """Return the name of the Secret with the settings and credentials of one of a group's shards."""
    return f"{group}-shard-{shard:02}"


def shard_of(phone_number_id: str, shards: int = SHARDS_PER_POOL) -> int:
    """Return the credential shard of a number: a stable hash, so that a tenant never moves between shards."""
    return int.from_bytes(hashlib.sha256(phone_number_id.encode()).digest()[:4], "big") % shards


def group_key(master_key: bytes, group: str, uid: str) -> str:
    """Derive the key that authenticates the router to the pods of one group (`namespace/name`), as lower-case hex.

    A pod that leaks its key cannot speak to another group: the master key stays with router and operator. The uid
    alone would not do: the router reads it from a label in the group's namespace, where another group's can be written.
    """
    return hmac.digest(master_key, f"comanda/group-key/v1:{group}:{uid}".encode(), "sha256").hex()


def redacted(identifier: str) -> str:
    """Return a form of a phone number, customer id or wamid that may be logged: a short digest, the same each time."""
    return "#" + hashlib.sha256(b"comanda/log/v1:" + identifier.encode()).hexdigest()[:10]
