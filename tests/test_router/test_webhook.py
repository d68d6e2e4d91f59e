from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from comanda_contract.cloud.limits import WEBHOOK_BYTES
from comanda_contract.deliveries import DRAINING, MALFORMED, OVERLOADED, STORAGE
from comanda_contract.directory import Directory
from comanda_router.places import Places, Plan
from tests.harness import APP_SECRET, PREVIOUS_SECRET, VERIFY_TOKEN, change, sign, text_message, until, webhook
from tests.test_router.conftest import RouterUnderTest, write_app


def one(number: str = "11", wamid: str = "w1") -> dict[str, Any]:
    return webhook(change(number, messages=[text_message(wamid)]))


class TestChallenge:
    async def ask(self, router: RouterUnderTest, path: str, **query: str) -> tuple[int, str, str]:
        params = {key.replace("_", ".", 1): value for key, value in query.items()}
        async with router.session.get(router.url + path, params=params) as response:
            return response.status, await response.text(), response.headers["content-type"]

    async def test_the_right_token_gets_the_challenge_as_plain_text(self, router: RouterUnderTest) -> None:
        answer = await self.ask(
            router, "/webhook", hub_mode="subscribe", hub_verify_token=VERIFY_TOKEN, hub_challenge="007"
        )
        assert answer == (200, "007", "text/plain; charset=utf-8")

    async def test_each_app_has_its_tokens(self, router: RouterUnderTest) -> None:
        for token in ("brand-token", f"{VERIFY_TOKEN}-2"):
            status, text, _ = await self.ask(
                router, "/webhook/brand", hub_mode="subscribe", hub_verify_token=token, hub_challenge="<b>"
            )
            assert (status, text) == (200, "<b>")

    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("/webhook", {"hub_mode": "subscribe", "hub_verify_token": "wrong", "hub_challenge": "1"}),
            ("/webhook", {"hub_mode": "subscribe", "hub_verify_token": "é", "hub_challenge": "1"}),
            ("/webhook", {"hub_mode": "subscribe", "hub_challenge": "1"}),
            ("/webhook", {"hub_mode": "unsubscribe", "hub_verify_token": VERIFY_TOKEN, "hub_challenge": "1"}),
            ("/webhook", {}),
            ("/webhook/brand", {"hub_mode": "subscribe", "hub_verify_token": VERIFY_TOKEN, "hub_challenge": "1"}),
            ("/webhook/nobody", {"hub_mode": "subscribe", "hub_verify_token": VERIFY_TOKEN, "hub_challenge": "1"}),
        ],
    )
    async def test_anything_else_gets_403(self, router: RouterUnderTest, path: str, query: dict[str, str]) -> None:
        assert (await self.ask(router, path, **query))[0] == 403


class TestSignature:
    async def test_current_and_previous_secret_are_taken(self, router: RouterUnderTest) -> None:
        assert await router.post(one(wamid="w1"), secret=APP_SECRET) == 200
        assert await router.post(one(wamid="w2"), secret=PREVIOUS_SECRET) == 200

    @pytest.mark.parametrize("header", ["", "sha256=", "sha256=" + "0" * 64, "sha1=" + "0" * 40, "no"])
    async def test_forged_missing_and_malformed_ones_get_401_and_store_nothing(
        self, router: RouterUnderTest, header: str
    ) -> None:
        body = msgspec.json.encode(one())
        async with router.session.post(
            router.url + "/webhook", data=body, headers={"X-Hub-Signature-256": header}
        ) as r:
            assert r.status == 401
        assert router.pods["pod-0"].stored == router.pods["pod-1"].stored == []

    async def test_the_secret_of_another_app_gets_401(self, router: RouterUnderTest) -> None:
        assert await router.post(one(), secret="brand-secret") == 401

    async def test_a_rotated_secret_is_taken_without_restart(self, router: RouterUnderTest) -> None:
        write_app(router.folder, "default", appSecret="fresh", previousAppSecret=APP_SECRET)

        async def fresh_is_taken() -> bool:
            return await router.post(one(), secret="fresh") == 200

        await until(fresh_is_taken)
        assert await router.post(one(), secret=APP_SECRET) == 200
        assert await router.post(one(), secret=PREVIOUS_SECRET) == 401

    async def test_the_signature_covers_the_raw_bytes(self, router: RouterUnderTest) -> None:
        text = "🍕 piñata \u200fمرحبا\u200f é/@"
        document = webhook(change("11", messages=[text_message("w1", text=text)]))
        spaced = msgspec.json.format(msgspec.json.encode(document), indent=4)
        assert await router.post(spaced) == 200
        stored = router.pods["pod-0"].stored + router.pods["pod-1"].stored
        assert msgspec.json.decode(stored[0].item)["text"]["body"] == text


class TestBody:
    async def test_three_megabytes_are_read(self, router: RouterUnderTest) -> None:
        head, tail = b'{"entry":[],"pad":"', b'"}'
        body = head + b"x" * (WEBHOOK_BYTES - len(head) - len(tail)) + tail
        assert len(body) == WEBHOOK_BYTES
        assert await router.post(body) == 200

    async def test_one_byte_more_gets_413(self, router: RouterUnderTest) -> None:
        assert await router.post(b"x" * (WEBHOOK_BYTES + 1)) == 413

    async def test_a_body_without_declared_length_is_cut_off_as_well(self, router: RouterUnderTest) -> None:
        async def chunks() -> Any:
            for _ in range(WEBHOOK_BYTES // 65536 + 2):
                yield b"x" * 65536

        try:
            headers = {"X-Hub-Signature-256": sign(b"")}
            async with router.session.post(router.url + "/webhook", data=chunks(), headers=headers) as response:
                assert response.status == 413
        except OSError:
            pass  # the router may close the connection while the client still writes
        assert await router.post(one()) == 200

    async def test_signed_words_that_are_no_json_get_400(self, router: RouterUnderTest) -> None:
        assert await router.post(b"hello") == 400
        assert await router.post(b"") == 400

    @pytest.mark.parametrize("text", [b"\xff\xfe", b"\\ud800", b"\\u0000"], ids=["no UTF-8", "half a pair", "NUL"])
    async def test_odd_text_inside_an_item_is_never_asked_for_again(self, router: RouterUnderTest, text: bytes) -> None:
        body = msgspec.json.encode(one()).replace(b'"hola"', b'"' + text + b'"')
        assert await router.post(body) == 200

    @pytest.mark.parametrize("document", [{}, {"entry": []}, {"object": "whatsapp_business_account"}])
    async def test_empty_webhooks_get_200(self, router: RouterUnderTest, document: Any) -> None:
        assert await router.post(document) == 200
        assert router.dead_letters() == []

    async def test_an_unknown_app_gets_404(self, router: RouterUnderTest) -> None:
        assert await router.post(one(), path="/webhook/nobody") == 404
        assert await router.post(one(), path="/elsewhere") == 404


class TestDeadLetters:
    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            (one("99"), "unknown_number"),
            (one("123456123"), "unknown_number"),
            (one("33"), "wrong_app"),
            (webhook({"field": "account_update", "value": {"event": "PARTNER_ADDED"}}), "no_number"),
            (webhook({"field": "messages", "value": {"messages": [text_message("w")]}}), "no_number"),
            (webhook({"field": "something_new", "value": 7}), "no_number"),
        ],
    )
    async def test_what_belongs_to_no_tenant_is_kept_and_gets_200(
        self, router: RouterUnderTest, document: Any, reason: str
    ) -> None:
        assert await router.post(document) == 200
        assert [letter["reason"] for letter in router.dead_letters()] == [reason]
        assert all(not pod.stored for pod in router.pods.values())

    async def test_a_number_is_served_through_its_own_app(self, router: RouterUnderTest) -> None:
        assert await router.post(one("33"), path="/webhook/brand", secret="brand-secret") == 200
        assert router.pods["own-0"].keys == ["w1"]

    async def test_what_a_pod_calls_malformed_is_kept(self, router: RouterUnderTest) -> None:
        for pod in router.pods.values():
            pod.refuse = MALFORMED
        assert await router.post(one()) == 200
        assert [letter["reason"] for letter in router.dead_letters()] == ["malformed"]


class TestDelivery:
    async def test_a_number_always_goes_to_the_same_pod(self, router: RouterUnderTest) -> None:
        for index in range(10):
            assert await router.post(one("11", f"w{index}")) == 200
        lengths = sorted(len(router.pods[name].stored) for name in ("pod-0", "pod-1"))
        assert lengths == [0, 10]

    async def test_a_duplicate_gets_200(self, router: RouterUnderTest) -> None:
        assert [await router.post(one()) for _ in range(2)] == [200, 200]
        assert router.pods["pod-0"].keys + router.pods["pod-1"].keys == ["w1"]

    async def test_a_thousand_items_in_one_webhook_are_all_stored(self, router: RouterUnderTest) -> None:
        items = [text_message(f"w{index}") for index in range(1000)]
        assert (
            await router.post(webhook(*(change("11", messages=items[i : i + 100]) for i in range(0, 1000, 100)))) == 200
        )
        assert router.pods["pod-0"].keys + router.pods["pod-1"].keys == [item["id"] for item in items]

    async def test_items_of_several_tenants_go_to_several_groups(self, router: RouterUnderTest) -> None:
        write_app(router.folder, "default", appSecret=APP_SECRET)
        document = webhook(change("11", messages=[text_message("a")]), change("22", messages=[text_message("b")]))
        assert await router.post(document) == 200
        stored = router.pods["pod-0"].stored + router.pods["pod-1"].stored
        assert {(each.phone_number_id, each.key) for each in stored} == {("11", "a"), ("22", "b")}

    @pytest.mark.parametrize("refusal", [STORAGE, OVERLOADED, DRAINING], ids=lambda answer: answer.reason)
    async def test_what_could_not_be_stored_gets_503(self, router: RouterUnderTest, refusal: Any) -> None:
        for pod in router.pods.values():
            pod.refuse = refusal
        assert await router.post(one()) == 503

    async def test_a_dead_pods_deliveries_go_to_the_next_one(self, router: RouterUnderTest) -> None:
        assert await router.post(one("11", "w0")) == 200
        home = next(pod for pod in router.pods.values() if pod.stored)
        other = router.pods["pod-1" if home.name == "pod-0" else "pod-0"]
        home.url = "http://127.0.0.1:9"
        router.publish()

        attempts = iter(range(1, 1000))

        async def moved() -> bool:
            assert await router.post(one("11", f"w{next(attempts)}")) == 200
            return len(other.stored) > 0

        await until(moved)
        assert len(home.stored) + len(other.stored) == next(attempts)

    async def test_no_ready_pod_gets_503_and_the_retry_stores_the_rest_once(self, router: RouterUnderTest) -> None:
        document = webhook(change("11", messages=[text_message("a")]), change("33", messages=[text_message("b")]))
        # Both numbers speak through one app here, so that one webhook may hold both.
        write_app(router.folder, "brand", appSecret=APP_SECRET)
        router.publish(pod_0=False, pod_1=False)

        async def refused() -> bool:
            return await router.post(one("11", "probe")) == 503

        await until(refused)
        assert await router.post(document) == 503
        router.publish()

        async def taken() -> bool:
            return await router.post(document) == 200

        await until(taken)
        assert await router.post(document) == 200
        stored = router.pods["pod-0"].keys + router.pods["pod-1"].keys
        assert stored.count("a") == 1

    async def test_a_frozen_pod_gets_503_within_the_deadline(self, router: RouterUnderTest) -> None:
        thawed = asyncio.Event()
        for pod in router.pods.values():
            pod.thawed = thawed
        async with asyncio.timeout(45):
            assert await asyncio.gather(*(router.post(one("11", f"w{index}")) for index in range(5))) == [503] * 5
        thawed.set()

    async def test_waiting_deliveries_share_a_request(self, router: RouterUnderTest) -> None:
        answers = await asyncio.gather(*(router.post(one("11", f"w{index}")) for index in range(60)))
        assert set(answers) == {200}
        batches = router.pods["pod-0"].batches + router.pods["pod-1"].batches
        assert sum(batches) == 60
        assert len(batches) < 60

    async def test_a_broken_directory_keeps_the_last_good_one(self, router: RouterUnderTest) -> None:
        assert await router.post(one("11", "w0")) == 200
        (router.folder / "directory.json").write_text('{"numbers": [')
        for index in range(20):
            assert await router.post(one("11", f"x{index}")) == 200

    async def test_readiness_and_metrics_name_no_number(self, router: RouterUnderTest) -> None:
        await router.post(one("11", "w0"))
        async with router.session.get(router.url + "/readyz") as response:
            assert (response.status, (await response.json())["ready"]) == (200, True)
        async with router.session.get(router.url + "/metrics") as response:
            text = await response.text()
        assert 'comanda_router_webhooks_total{status="200"}' in text
        assert "56911112222" not in text


def test_the_harness_signs_as_meta_does() -> None:
    # A published example: HMAC-SHA256("key", "The quick brown fox jumps over the lazy dog").
    expected = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    assert sign(b"The quick brown fox jumps over the lazy dog", "key") == f"sha256={expected}"


async def test_webhooks_go_on_while_another_directory_is_worked_out(
    router: RouterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate, plan = threading.Event(), threading.Event(), Places.plan

    def waiting(places: Places, directory: Directory) -> Plan:
        begun.set()
        assert gate.wait(30)
        return plan(places, directory)

    monkeypatch.setattr(Places, "plan", waiting)
    router.publish(pod_0=False)
    try:
        await until(begun.is_set)
        assert await router.post(one("11", "meanwhile")) == 200
        assert await pods_of(router) == 3, "it is not in force yet"
    finally:
        gate.set()

    async def in_force() -> bool:
        return await pods_of(router) == 2

    await until(in_force)


async def pods_of(router: RouterUnderTest) -> int:
    async with router.session.get(f"{router.url}/readyz") as response:
        pods: int = (await response.json())["pods"]
        return pods
