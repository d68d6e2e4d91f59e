"""Objects as the API has them: tenants and apps with the status that the operator gives, EndpointSlices as of pods."""

from __future__ import annotations

from typing import Any

from comanda_contract.names import API_GROUP_VERSION, LABEL_GROUP, LABEL_GROUP_UID
from comanda_kube.resources import ENDPOINT_SLICES, Json


def tenant(namespace: str, name: str, number: str, **spec: Any) -> Json:
    """Return a WhatsAppTenant without a status."""
    return {
        "apiVersion": API_GROUP_VERSION,
        "kind": "WhatsAppTenant",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "phoneNumberId": number,
            "wabaId": "102290129340398",
            "displayName": "Napoli",
            "credentials": {"secretRef": {"name": "token"}},
            **spec,
        },
    }


def app(namespace: str, name: str) -> Json:
    return {
        "apiVersion": API_GROUP_VERSION,
        "kind": "WhatsAppApp",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"appId": "1029384756", "secretRef": {"name": "meta-app"}},
    }


def condition(type_: str, status: str = "True", reason: str = "") -> Json:
    return {"type": type_, "status": status, "reason": reason or type_}


def status(group: str = "", *conditions: Json, accepted: str = "True") -> Json:
    """Return what the operator says of a tenant: accepted, in a group, and whatever else holds."""
    return {"group": group, "conditions": [condition("Accepted", accepted), *conditions]}


READY = condition("Ready")
NOT_LOADED = condition("Ready", "False", "NotLoaded")


def endpoint(pod: str, address: str, **conditions: bool) -> Json:
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False} | conditions,
        "hostname": pod,
        "targetRef": {"kind": "Pod", "name": pod},
    }


def endpoint_slice(
    namespace: str, group: str, *endpoints: Json, name: str = "", uid: str = "uid-1", family: str = "IPv4"
) -> Json:
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": name or f"{group}-abc12",
            "labels": {LABEL_GROUP: group, LABEL_GROUP_UID: uid, "kubernetes.io/service-name": group},
        },
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [{"name": "metrics", "port": 9090}, {"name": "deliveries", "port": 8080, "protocol": "TCP"}],
    }
