"""What all objects of a group carry: labels, ports, and the names that tie them together."""

from __future__ import annotations

from dataclasses import dataclass

from comanda_contract.names import (
    API_GROUP,
    LABEL_COMPONENT,
    LABEL_GROUP,
    LABEL_GROUP_UID,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_PART_OF,
)
from comanda_kube.resources import Json
from comanda_operator.plan import GroupPlan

MANAGER = "comanda-operator"
PART_OF = "comanda"
BOT_COMPONENT, ROUTER_COMPONENT, OPERATOR_COMPONENT = "bot-pod", "router", "operator"

LABEL_SHARD = f"{API_GROUP}/shard"
ANNOTATION_OWNER = f"{API_GROUP}/owner"
"""`kind/namespace/name` of the resource that an object was made for. It has no ownerReference: whoever deletes the
CRDs by mistake must not lose the pods and Secrets of every tenant with them."""
ANNOTATION_PLANNED = f"{API_GROUP}/planned"
"""Digest of the object as it was planned: a field that is planned no more shows in it."""
ANNOTATION_SOURCES = f"{API_GROUP}/sources"
"""Digest of the versions of all that a shard was made from."""
ANNOTATION_CONTENT = f"{API_GROUP}/content"
"""Keyed digest of what a shard holds; pods report the same once they have loaded it."""
ANNOTATION_NOTES = f"{API_GROUP}/notes"
"""What a shard does not say itself of its tenants, as the JSON of `Notes`; empty when there is nothing to say."""
ANNOTATION_TOUCHED = f"{API_GROUP}/touched"
"""On a pod: what makes its node look at the pod's Secrets now, and not within a minute."""

DELIVERIES, METRICS = 8081, 9091
GROUP_KEY = "groupKey"
DATABASE_URL = "url"
DATABASE_AUTHORITY = "ca.crt"


@dataclass(frozen=True)
class Site:
    """What is the same for every group of an installation."""

    namespace: str
    """Where operator and router run: from there alone pods are reached."""
    graph_url: str = "https://graph.facebook.com"
    graph_port: int = 443
    bot_image: str = "comanda-botpod:0.1.0"
    """Image of pods whose pool or tenant names none."""
    bot_pull_secrets: tuple[str, ...] = ()
    """Secrets with a registry's credentials, in the namespaces of the pods."""
    database_ports: tuple[int, ...] = (5432,)
    allowed_images: tuple[str, ...] = ()
    """Beginnings of images that may run; none: any."""
    drain_seconds: int = 20


def selector(group: GroupPlan) -> dict[str, str]:
    """Return the labels that name the pods of a group and no others. They never change."""
    return {LABEL_NAME: "comanda-bot-pod", LABEL_GROUP: group.name}


def metadata(group: GroupPlan, name: str, **annotations: str) -> Json:
    """Return the metadata of an object of a group."""
    return {
        "namespace": group.namespace,
        "name": name,
        "labels": {
            **selector(group),
            LABEL_GROUP_UID: group.uid,
            LABEL_COMPONENT: BOT_COMPONENT,
            LABEL_PART_OF: PART_OF,
            LABEL_MANAGED_BY: MANAGER,
        },
        "annotations": {ANNOTATION_OWNER: owner_of(group), **annotations},
    }


def owner_of(group: GroupPlan) -> str:
    """Return what a group was made for, as `kind/namespace/name`."""
    if group.tenant:
        return f"WhatsAppTenant/{group.tenant}"
    return f"BotPool/{group.namespace}/{group.name.removeprefix('pool-')}"


def key_secret(group: GroupPlan) -> str:
    """Return the name of the Secret with the group's key."""
    return f"{group.name}-key"
