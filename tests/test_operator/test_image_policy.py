"""Which images may run: those of allowed beginnings, and the platform's own, wherever it comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from comanda_contract.resources import WhatsAppApp
from comanda_contract.resources.app import APP_SECRET_KEY, VERIFY_TOKEN_KEY
from comanda_contract.resources.tenant import ACCESS_TOKEN_KEY
from comanda_operator.manifests.group import group_objects
from comanda_operator.manifests.names import Site
from comanda_operator.plan import plan_own
from comanda_operator.state import State, within_one_volume
from comanda_operator.world import SecretRecord
from tests.test_operator.plans import KEY, tenant

SITE = Site("comanda", bot_image="elsewhere.example.com/bot:1", allowed_images=("registry.example.com/team/",))


def state(**enterprise: Any) -> State:
    """Return what the operator knows of one enterprise tenant that has all that it needs."""
    made = State(SITE, bytes.fromhex(KEY))
    record = tenant(plan="enterprise", enterprise=enterprise)
    app = {
        "metadata": {"namespace": "comanda", "name": "default", "uid": "1"},
        "spec": {"appId": "1029384756", "secretRef": {"name": "app"}},
    }
    made.world.put_app("comanda/default", WhatsAppApp.model_validate(app))
    made.world.put_secret("comanda/app", SecretRecord("1", {APP_SECRET_KEY: "a" * 32, VERIFY_TOKEN_KEY: "b" * 16}))
    made.world.put_secret(record.secret, SecretRecord("1", {ACCESS_TOKEN_KEY: "token"}))
    made.world.put_tenant(record.key, record)
    return made


@pytest.mark.parametrize(
    ("enterprise", "allowed"),
    [
        ({"image": "registry.example.com/team/bot:1"}, True),
        ({"image": "registry.example.com/other/bot:1"}, False),
        ({"image": "elsewhere.example.com/bot:2"}, False),
        ({}, True),
    ],
)
def test_an_image_runs_by_its_beginning_and_the_platforms_own_always(
    enterprise: dict[str, Any], *, allowed: bool
) -> None:
    made = state(**enterprise)
    (record,) = made.world.tenants.values()
    verdict = made.verdict(record)
    reason = verdict.refused.reason if verdict.refused is not None else ""
    assert (reason, bool(verdict.group)) == (("", True) if allowed else ("ImageNotAllowed", False))


@pytest.mark.parametrize(("enterprise", "image"), [({}, SITE.bot_image), ({"image": "napoli/bot:1"}, "napoli/bot:1")])
def test_pods_that_name_no_image_have_the_one_of_the_installation(enterprise: dict[str, Any], image: str) -> None:
    group = within_one_volume(plan_own(tenant(plan="enterprise", enterprise=enterprise)))
    (stateful,) = (each.body for each in group_objects(group, SITE, KEY) if each.resource.kind == "StatefulSet")
    assert stateful["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_images_are_pulled_with_the_secrets_of_the_installation() -> None:
    group = within_one_volume(plan_own(tenant(plan="enterprise", enterprise={})))

    def pull_secrets(site: Site) -> Any:
        (stateful,) = (each.body for each in group_objects(group, site, KEY) if each.resource.kind == "StatefulSet")
        return stateful["spec"]["template"]["spec"].get("imagePullSecrets")

    assert pull_secrets(SITE) is None
    assert pull_secrets(replace(SITE, bot_pull_secrets=("registry",))) == [{"name": "registry"}]
