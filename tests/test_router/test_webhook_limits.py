from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comanda_contract.deliveries import OVERLOADED
from tests.harness import APP_SECRET, change, sign, text_message, webhook
from tests.test_router.conftest import DETAILS, RouterUnderTest, router_under_test

BURST = 5
METERED = {"inbound_per_minute": 60, "inbound_burst": 2}


@pytest.fixture
async def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RouterUnderTest]:
    """A router whose number 11 may get two messages at once, and whose numbers 11 and 22 are of one account."""
    monkeypatch.setitem(DETAILS, "11", METERED | {"waba_id": "WABA1"})
    monkeypatch.setitem(DETAILS, "22", {"waba_id": "WABA1"})
    monkeypatch.setitem(DETAILS, "33", {"waba_id": "WABA1"})
    async with router_under_test(tmp_path, customer_burst=BURST, customer_per_minute=1) as made:
        yield made


def messages(number: str, *wamids: str, sender: str = "") -> dict[str, Any]:
    items = [text_message(wamid, sender=sender or f"569{index:08}") for index, wamid in enumerate(wamids)]
    return change(number, messages=items)


def stored(router: RouterUnderTest) -> list[tuple[str, str]]:
    return sorted((delivery.phone_number_id, delivery.key) for pod in router.pods.values() for delivery in pod.stored)


class TestTenantOverItsRate:
    async def test_is_told_to_come_again_and_nothing_of_it_is_taken(self, router: RouterUnderTest) -> None:
        assert await router.post(webhook(messages("11", "w1", "w2"))) == 200
        assert await router.post(webhook(messages("11", "w3"))) == 429
        assert stored(router) == [("11", "w1"), ("11", "w2")]

    async def test_delays_no_other_tenant_of_the_same_webhook(self, router: RouterUnderTest) -> None:
        await router.post(webhook(messages("11", "w1", "w2")))
        assert await router.post(webhook(messages("11", "w3"), messages("22", "w4"))) == 429
        assert ("22", "w4") in stored(router)
        assert ("11", "w3") not in stored(router)

    async def test_gets_a_webhook_taken_whole_however_much_it_holds(self, router: RouterUnderTest) -> None:
        assert await router.post(webhook(messages("11", *(f"w{index}" for index in range(50))))) == 200
        assert len(stored(router)) == 50
        assert await router.post(webhook(messages("11", "more"))) == 429

    async def test_still_gets_its_statuses(self, router: RouterUnderTest) -> None:
        await router.post(webhook(messages("11", "w1", "w2", "w3")))
        status = {"id": "out1", "status": "sent", "timestamp": "1", "recipient_id": "56"}
        assert await router.post(webhook(change("11", statuses=[status]))) == 200

    async def test_is_not_used_up_by_another_apps_bodies(self, router: RouterUnderTest) -> None:
        for index in range(5):
            document = webhook(messages("11", f"w{index}"))
            assert await router.post(document, path="/webhook/brand", secret="brand-secret") == 200
        assert [letter["reason"] for letter in router.dead_letters()] == ["wrong_app"] * 5
        assert await router.post(webhook(messages("11", "w"))) == 200


class TestCustomerWhoFloods:
    async def test_is_stored_without_a_turn_and_others_are_answered(self, router: RouterUnderTest) -> None:
        for index in range(BURST + 3):
            assert await router.post(webhook(messages("22", f"w{index}", sender="56911112222"))) == 200
        await router.post(webhook(messages("22", "other", sender="56900000000")))
        muted = {delivery.key: delivery.muted for pod in router.pods.values() for delivery in pod.stored}
        assert len(muted) == BURST + 4
        assert [key for key, is_muted in muted.items() if is_muted] == [f"w{BURST + index}" for index in range(3)]

    async def test_is_not_whom_another_app_speaks_of(self, router: RouterUnderTest) -> None:
        for index in range(2 * BURST):
            document = webhook(messages("22", f"x{index}", sender="56911112222"))
            assert await router.post(document, path="/webhook/brand", secret="brand-secret") == 200
        assert await router.post(webhook(messages("22", "w1", sender="56911112222"))) == 200
        (delivery,) = (delivery for pod in router.pods.values() for delivery in pod.stored)
        assert not delivery.muted

    async def test_is_not_who_only_had_to_come_again(self, router: RouterUnderTest) -> None:
        for pod in router.pods.values():
            pod.refuse = OVERLOADED
        for _ in range(3 * BURST):
            assert await router.post(webhook(messages("22", "w1", sender="56911112222"))) == 503
        for pod in router.pods.values():
            pod.refuse = None
        assert await router.post(webhook(messages("22", "w1", sender="56911112222"))) == 200
        (delivery,) = (delivery for pod in router.pods.values() for delivery in pod.stored)
        assert not delivery.muted

    async def test_is_counted_under_a_word_and_no_number(self, router: RouterUnderTest) -> None:
        await router.post(webhook(messages("22", *(f"w{index}" for index in range(BURST + 1)), sender="569")))
        async with router.session.get(f"{router.url}/metrics") as response:
            text = await response.text()
        assert 'comanda_router_limit_hits_total{limit="customer"}' in text


TEMPLATE = {
    "field": "message_template_status_update",
    "value": {"event": "APPROVED", "message_template_id": 1},
}


class TestAccountFields:
    async def test_reach_each_number_of_the_account_and_app_once(self, router: RouterUnderTest) -> None:
        assert await router.post(webhook(TEMPLATE)) == 200
        assert await router.post(webhook(TEMPLATE)) == 200
        found = [delivery for pod in router.pods.values() for delivery in pod.stored]
        # 33 has the same account by its directory, and another app.
        assert sorted(delivery.phone_number_id for delivery in found) == ["11", "22"]
        assert {(delivery.kind, delivery.field, delivery.waba_id) for delivery in found} == {
            ("change", "message_template_status_update", "WABA1")
        }
        assert router.dead_letters() == []

    async def test_of_an_unknown_account_are_kept(self, router: RouterUnderTest) -> None:
        assert await router.post(webhook(TEMPLATE, waba="OTHER")) == 200
        assert [letter["reason"] for letter in router.dead_letters()] == ["no_number"]

    async def test_a_message_without_its_number_is_nobodys(self, router: RouterUnderTest) -> None:
        document = webhook({"field": "messages", "value": {"messages": [text_message("w1")]}})
        assert await router.post(document) == 200
        assert [letter["reason"] for letter in router.dead_letters()] == ["no_number"]
        assert stored(router) == []


async def test_a_body_signed_in_its_escaped_form_is_taken_as_it_is(router: RouterUnderTest) -> None:
    body = msgspec.json.encode(webhook(change("22", messages=[text_message("w1", text="¡Olé! 🍕")])))
    escaped = body.decode().replace("¡", "\\u00a1").replace("é", "\\u00e9").replace("🍕", "\\ud83c\\udf55")
    headers = {"X-Hub-Signature-256": sign(escaped.encode(), APP_SECRET)}
    async with router.session.post(f"{router.url}/webhook", data=body, headers=headers) as response:
        assert response.status == 200
    (delivery,) = (delivery for pod in router.pods.values() for delivery in pod.stored)
    assert "¡Olé! 🍕".encode() in bytes(delivery.item)
