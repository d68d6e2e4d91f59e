"""The StatefulSet of a group: its pods, as the PodSecurity level `restricted` demands, whatever a resource says."""

from __future__ import annotations

from typing import Any

from comanda_contract.names import DELIVERIES_PORT, HEALTH_PATH, METRICS_PORT, READY_PATH, shard_name
from comanda_contract.resources.quantities import Resources
from comanda_kube.resources import Json
from comanda_operator.manifests.names import (
    DATABASE_AUTHORITY,
    DATABASE_URL,
    DELIVERIES,
    GROUP_KEY,
    METRICS,
    Site,
    key_secret,
    metadata,
    selector,
)
from comanda_operator.plan import GroupPlan

USER = 10_001
"""Above 10000, so that it is nobody's on the node."""

DATA_GIB = 10
PRE_STOP_SECONDS = 5
"""Between the end of a pod's readiness and its SIGTERM: so long routers may still send to it."""

TENANTS_FILE, CREDENTIALS_FILE = "tenants.json", "credentials.json"
_CONFIG, _DATA = "/etc/comanda", "/var/lib/comanda"


def stateful_set(group: GroupPlan, site: Site) -> Json:
    """Return the pods of a group. A new tenant or credential never changes them: it only fills a Secret."""
    spec: dict[str, Any] = {
        "serviceName": group.name,
        "replicas": group.replicas,
        "podManagementPolicy": "Parallel",
        "revisionHistoryLimit": 3,
        "updateStrategy": {"type": "RollingUpdate"},
        "selector": {"matchLabels": selector(group)},
        "template": {"metadata": {"labels": metadata(group, "")["labels"]}, "spec": _pod(group, site)},
    }
    if group.database is None:
        spec["volumeClaimTemplates"] = [_claim()]
        spec["persistentVolumeClaimRetentionPolicy"] = {
            "whenDeleted": "Delete" if group.erases_volumes else "Retain",
            "whenScaled": "Retain",
        }
    return {"metadata": metadata(group, group.name), "spec": spec}


def _pod(group: GroupPlan, site: Site) -> Json:
    scheduling = group.scheduling
    pod: dict[str, Any] = {
        "serviceAccountName": group.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": PRE_STOP_SECONDS + site.drain_seconds + 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",  # else each start goes through the whole volume
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": scheduling.topology_key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(group)},
            }
        ],
        "containers": [_container(group, site)],
        "volumes": [
            _projected(group, "tenants", TENANTS_FILE),
            _projected(group, "credentials", CREDENTIALS_FILE),
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        ],
    }
    if group.database is not None:
        pod["volumes"].append(_authority(group.database))
    if site.bot_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in site.bot_pull_secrets]
    if scheduling.node_selector:
        pod["nodeSelector"] = dict(scheduling.node_selector)
    if scheduling.priority_class_name:
        pod["priorityClassName"] = scheduling.priority_class_name
    if group.runtime_class:
        pod["runtimeClassName"] = group.runtime_class
    return pod


def _container(group: GroupPlan, site: Site) -> Json:
    mounts = [
        {"name": "tenants", "mountPath": f"{_CONFIG}/tenants", "readOnly": True},
        {"name": "credentials", "mountPath": f"{_CONFIG}/credentials", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a mount of the pod's own
    ]
    if group.database is None:
        mounts.append({"name": "data", "mountPath": _DATA})
    else:
        mounts.append({"name": "database", "mountPath": f"{_CONFIG}/database", "readOnly": True})
    return {
        "name": "bot",
        "image": group.image or site.bot_image,
        "ports": [
            {"name": DELIVERIES_PORT, "containerPort": DELIVERIES, "protocol": "TCP"},
            {"name": METRICS_PORT, "containerPort": METRICS, "protocol": "TCP"},
        ],
        "env": _environment(group, site),
        "resources": _resources(group.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        # It has a minute to start; then a loop that does not turn for half a minute is ended. Readiness says whether
        # deliveries are welcome, and depends on the database: no reason to start the process again.
        "startupProbe": {**_probe(HEALTH_PATH), "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {**_probe(HEALTH_PATH), "periodSeconds": 10, "failureThreshold": 3},
        "readinessProbe": {**_probe(READY_PATH), "periodSeconds": 2, "failureThreshold": 2},
    }


def _probe(path: str) -> Json:
    return {"httpGet": {"path": path, "port": DELIVERIES_PORT}, "timeoutSeconds": 3}


def _environment(group: GroupPlan, site: Site) -> list[Json]:
    fixed = {
        "HOST": "0.0.0.0",  # noqa: S104 - a pod's own network
        "PORT": str(DELIVERIES),
        "METRICS_PORT": str(METRICS),
        "TENANTS_DIR": f"{_CONFIG}/tenants",
        "CREDENTIALS_DIR": f"{_CONFIG}/credentials",
        "GRAPH_URL": site.graph_url,
        "DRAIN_SECONDS": str(site.drain_seconds),
    }
    sources: dict[str, Json] = {
        "POD": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
        "GROUP_KEY": {"secretKeyRef": {"name": key_secret(group), "key": GROUP_KEY}},
    }
    if group.database is None:
        fixed["DATABASE_URL"] = f"sqlite+pysqlite:///{_DATA}/comanda.db"
    else:
        sources["DATABASE_URL"] = {"secretKeyRef": {"name": group.database.split("/")[1], "key": DATABASE_URL}}
    named: list[Json] = [{"name": name, "value": value} for name, value in fixed.items()]
    named += [{"name": name, "valueFrom": source} for name, source in sources.items()]
    return [{**each, "name": f"COMANDA_BOTPOD_{each['name']}"} for each in named]


def _resources(resources: Resources) -> Json:
    found: Json = resources.model_dump(by_alias=True, exclude_none=True)
    return found


def _projected(group: GroupPlan, name: str, key: str) -> Json:
    """Return a volume over all shards that a group may ever have: those that are not there yet are optional."""
    sources = [
        {
            "secret": {
                "name": shard_name(group.name, shard),
                "optional": True,
                "items": [{"key": key, "path": f"shard-{shard:02}.json"}],
            }
        }
        for shard in range(group.shards)
    ]
    return {"name": name, "projected": {"defaultMode": 0o440, "sources": sources}}


def _authority(database: str) -> Json:
    """Return the volume with what a database's certificate is checked by, if its Secret has that; never the URL."""
    items = [{"key": DATABASE_AUTHORITY, "path": DATABASE_AUTHORITY}]
    sources = [{"secret": {"name": database.split("/")[1], "optional": True, "items": items}}]
    return {"name": "database", "projected": {"defaultMode": 0o440, "sources": sources}}


def _claim() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": f"{DATA_GIB}Gi"}},
        },
    }
