"""The objects of a group besides its pods, and all of them together."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from comanda_contract.names import (
    DELIVERIES_PORT,
    LABEL_COMPONENT,
    LABEL_PART_OF,
    METRICS_PORT,
)
from comanda_contract.resources.pool import Autoscaling
from comanda_kube.resources import (
    AUTOSCALERS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    Json,
    Resource,
)
from comanda_operator.manifests.names import (
    ANNOTATION_PLANNED,
    DELIVERIES,
    GROUP_KEY,
    METRICS,
    OPERATOR_COMPONENT,
    PART_OF,
    ROUTER_COMPONENT,
    Site,
    key_secret,
    metadata,
    selector,
)
from comanda_operator.manifests.pods import stateful_set
from comanda_operator.plan import GroupPlan

KINDS: Mapping[str, Resource] = {
    resource.kind: resource
    for resource in (
        SERVICE_ACCOUNTS,
        SECRETS,
        SERVICES,
        NETWORK_POLICIES,
        POD_DISRUPTION_BUDGETS,
        STATEFUL_SETS,
        AUTOSCALERS,
    )
}
"""What a group is made of, in the order in which it is made: pods come when all that they need is there."""


@dataclass(frozen=True)
class Wanted:
    """One object as it should be."""

    resource: Resource
    body: Json

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])


def group_objects(group: GroupPlan, site: Site, key: str, autoscaling: Autoscaling | None = None) -> list[Wanted]:
    """Return the objects of a group, its shards aside; `key` is what authenticates the router to its pods."""
    found = [
        Wanted(SERVICE_ACCOUNTS, _service_account(group)),
        Wanted(SECRETS, _key(group, key)),
        Wanted(SERVICES, _service(group)),
        Wanted(NETWORK_POLICIES, _network_policy(group, site)),
        Wanted(POD_DISRUPTION_BUDGETS, _disruption_budget(group)),
        Wanted(STATEFUL_SETS, stateful_set(group, site)),
    ]
    if autoscaling is not None:
        found.append(Wanted(AUTOSCALERS, _autoscaler(group, autoscaling)))
    return [stamped(each) for each in found]


def stamped(wanted: Wanted) -> Wanted:
    """Note the digest of the plan on an object, so that a field which is planned no more shows."""
    digest = hashlib.sha256(msgspec.json.encode(wanted.body, order="deterministic")).hexdigest()[:16]
    described = wanted.body["metadata"]
    annotations = {**described.get("annotations", {}), ANNOTATION_PLANNED: digest}
    return Wanted(wanted.resource, {**wanted.body, "metadata": {**described, "annotations": annotations}})


def _service_account(group: GroupPlan) -> Json:
    return {"metadata": metadata(group, group.name), "automountServiceAccountToken": False}


def _key(group: GroupPlan, key: str) -> Json:
    data = {GROUP_KEY: base64.b64encode(key.encode()).decode()}
    return {"metadata": metadata(group, key_secret(group)), "type": "Opaque", "data": data}


def _service(group: GroupPlan) -> Json:
    """Return the headless Service: names for the pods, and EndpointSlices, from which routers know them."""
    return {
        "metadata": metadata(group, group.name),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": selector(group),
            "ports": [
                {"name": DELIVERIES_PORT, "port": DELIVERIES, "targetPort": DELIVERIES_PORT, "protocol": "TCP"},
                {"name": METRICS_PORT, "port": METRICS, "targetPort": METRICS_PORT, "protocol": "TCP"},
            ],
        },
    }


def _disruption_budget(group: GroupPlan) -> Json:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": selector(group)}}
    return {"metadata": metadata(group, group.name), "spec": spec}


def _network_policy(group: GroupPlan, site: Site) -> Json:
    """Return who may reach the pods: router and operator, and anybody their metrics, which name no customer."""
    home = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}}}
    ours = [
        {**home, "podSelector": {"matchLabels": {LABEL_PART_OF: PART_OF, LABEL_COMPONENT: component}}}
        for component in (ROUTER_COMPONENT, OPERATOR_COMPONENT)
    ]
    return {
        "metadata": metadata(group, group.name),
        "spec": {
            "podSelector": {"matchLabels": selector(group)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": ours, "ports": [_tcp(DELIVERIES_PORT)]},
                {"ports": [_tcp(METRICS_PORT)]},
            ],
            "egress": [
                {"ports": [{"port": 53, "protocol": "UDP"}, _tcp(53)]},
                {"ports": [_tcp(port) for port in dict.fromkeys((443, 80, *site.database_ports, site.graph_port))]},
            ],
        },
    }


def _tcp(port: int | str) -> dict[str, Any]:
    return {"port": port, "protocol": "TCP"}


def _autoscaler(group: GroupPlan, bounds: Autoscaling) -> Json:
    """Return an autoscaler of the BotPool, whose number of pods is copied to the StatefulSet: nobody fights over it."""
    target = {
        "apiVersion": "comanda.dev/v1alpha1",
        "kind": "BotPool",
        "name": group.name.removeprefix("pool-"),
    }
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": bounds.target_cpu_percent}},
    }
    return {
        "metadata": metadata(group, group.name),
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": bounds.min_replicas,
            "maxReplicas": bounds.max_replicas,
            "metrics": [metric],
        },
    }
