"""An operator with the rights that the chart gives it by namespace: it serves where it may write, and there alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from comanda_kube.resources import SERVICE_ACCOUNTS, STATEFUL_SETS, Json
from comanda_operator.reconcile import TENANTS
from tests.harness import until
from tests.test_charts.chart import objects
from tests.test_operator.cluster import HOME, ROLE_BINDINGS, ROLES, Cluster, Nodes, cluster
from tests.test_router.directory_cluster import BINDINGS, CLUSTER_ROLES

KINDS = {each.kind: each for each in (SERVICE_ACCOUNTS, CLUSTER_ROLES, BINDINGS, ROLES, ROLE_BINDINGS)}


async def operators_token(site: Cluster, values: Json) -> str:
    """Apply what the chart makes of the operator's rights; return a token of its ServiceAccount."""
    for each in objects(values):
        if each["kind"] in KINDS and each["metadata"]["name"].startswith("comanda-operator"):
            await site.admin.apply(KINDS[each["kind"]], each)
    metadata = {"namespace": HOME, "name": "comanda-operator"}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": metadata, "spec": {}}
    made = await site.admin.create(SERVICE_ACCOUNTS, request, subresource="token")
    return str(made["status"]["token"])


@pytest.mark.timeout(240)
async def test_by_namespace_the_operator_serves_where_it_may_write_and_touches_nothing_elsewhere(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path) as site, Nodes(site).running():
        for namespace in ("shop", "elsewhere"):
            await site.namespace(namespace)
        values = {"operator": {"rbac": {"scope": "namespaces", "namespaces": ["shop"]}}}
        token = await operators_token(site, values)
        await site.app()
        await site.pool()
        for namespace in ("elsewhere", "shop"):
            await site.tenant(namespace, "parrilla", plan="enterprise", enterprise={})
            await site.tenant(namespace, "napoli", poolRef="default")
        async with site.operator(token=token):
            for name in ("parrilla", "napoli"):
                await site.becomes(TENANTS, "shop", name, "Acknowledged", seconds=60)

            async def is_refused() -> bool:
                return any(
                    entry["responseStatus"]["code"] == 403 and entry["objectRef"].get("namespace") == "elsewhere"
                    for entry in site.server.audit()
                    if entry["user"]["username"] == f"system:serviceaccount:{HOME}:comanda-operator"
                )

            await until(is_refused, 60, "the operator was refused elsewhere")
        assert await site.all(STATEFUL_SETS, "elsewhere") == []
        assert await site.condition(TENANTS, "elsewhere", "parrilla") == ("", "")
