"""What several of these tests need: resources by hand, their groups, and the objects of those."""

from __future__ import annotations

from typing import Any

from comanda_contract.resources import BotPool, WhatsAppTenant
from comanda_operator.manifests.group import Wanted, group_objects
from comanda_operator.manifests.names import Site
from comanda_operator.plan import GroupPlan, plan_own, plan_pool
from comanda_operator.records import TenantRecord, record_of
from comanda_operator.state import within_one_volume

SITE = Site("comanda")
KEY = "00" * 32


def pool(name: str = "default", **spec: Any) -> BotPool:
    metadata = {"namespace": "comanda", "name": name, "uid": f"uid-of-{name}"}
    return BotPool.model_validate({"metadata": metadata, "spec": spec})


def tenant(name: str = "napoli", **spec: Any) -> TenantRecord:
    metadata = {"namespace": "shop", "name": name, "uid": f"uid-of-{name}"}
    body = {
        "phoneNumberId": "106540352242922",
        "wabaId": "102290129340398",
        "displayName": "Pizzería Napoli",
        "credentials": {"secretRef": {"name": "napoli-token"}},
        **spec,
    }
    return record_of(WhatsAppTenant.model_validate({"metadata": metadata, "spec": body}))


def pool_objects(site: Site = SITE, **spec: Any) -> list[Wanted]:
    made = pool(**spec)
    return group_objects(within_one_volume(plan_pool(made)), site, KEY, made.spec.autoscaling)


def own_group(enterprise: dict[str, Any]) -> GroupPlan:
    return within_one_volume(plan_own(tenant(plan="enterprise", enterprise=enterprise)))
