"""A story in which the operator does all that it ever does, for tests that look at what it did."""

from __future__ import annotations

from comanda_kube.resources import CONFIG_MAPS
from comanda_operator.reconcile import APPS, POOLS, TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, SOURCE, Cluster, OperatorProcess


async def tell(site: Cluster, operator: OperatorProcess, tokens: tuple[str, str]) -> None:
    """Live through apps, pools and tenants that come, change, break and go; namespace `shop` must be there."""
    await site.app()
    await site.pool(autoscaling={"minReplicas": 2, "maxReplicas": 4})
    menu = {"metadata": {"namespace": "shop", "name": "menu", "labels": SOURCE}, "data": {"restaurant.yaml": "{}"}}
    await site.admin.apply(CONFIG_MAPS, menu)
    await site.tenant("shop", "napoli", token=tokens[0], flow={"configMapRef": {"name": "menu"}})
    await site.tenant("shop", "farol", token=tokens[0], plan="enterprise", enterprise={})
    for name in ("napoli", "farol"):
        await site.becomes(TENANTS, "shop", name, "Acknowledged")
    await rotate(site, tokens)
    await site.pool()
    await until(operator.is_settled)
    for name in ("napoli", "farol"):
        await site.admin.delete(TENANTS, "shop", name)
    await site.admin.delete(POOLS, HOME, "default")

    async def is_over() -> bool:
        left = [*await site.objects_of(f"{HOME}/pool-default"), *await site.objects_of("shop/tenant-farol")]
        return not left and await operator.is_idle()

    await until(is_over, what="all that was made is gone")


async def rotate(site: Cluster, tokens: tuple[str, str]) -> None:
    """Give both tenants another token, then Secrets that are broken in several ways, then good ones again."""
    for name in ("napoli", "farol"):
        before = (await site.get(TENANTS, "shop", name))["status"]["credentialsHash"]
        await site.secret("shop", f"{name}-token", accessToken=tokens[1])

        async def is_rotated(name: str = name, before: str = before) -> bool:
            return bool((await site.get(TENANTS, "shop", name))["status"].get("credentialsHash") != before)

        await until(is_rotated, what="another token is acknowledged")
        await site.secret("shop", f"{name}-token", wrongKey=tokens[1])
        await site.becomes(TENANTS, "shop", name, "SecretKeyMissing", "CredentialsReady")
        await site.secret("shop", f"{name}-token", accessToken=f"{tokens[1]}\n")
        await site.becomes(TENANTS, "shop", name, "Acknowledged")
    await site.secret(HOME, "app-default", appSecret="canary-app-secret", wrongKey="canary-verify-token")
    await site.becomes(APPS, HOME, "default", "SecretKeyMissing")
    await site.app()
    await site.becomes(APPS, HOME, "default", "Answered")
