from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import pytest

from comanda_botpod.handlers.flow import FlowHandler
from comanda_contract.deliveries import MAX_BATCH, Delivery
from comanda_simulator.faults import Faults, GraphFault
from comanda_store import TenantScope
from tests.harness import NOW, text_message, until
from tests.test_botpod.conftest import GROUP_KEY, PHONE, PodUnderTest, tenant

NUMBER = "10000011"


def body_of(reply: dict[str, Any]) -> str:
    return str(reply.get("text", {}).get("body") or reply["interactive"]["body"]["text"])


class TestActivity:
    async def ask(self, pod: PodUnderTest, since: int = 0, key: str = GROUP_KEY) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {key}"}
        async with pod.session.get(f"{pod.url}/v1/activity?since={since}", headers=headers) as response:
            return response.status, await response.json()

    async def test_a_pod_says_when_the_last_message_of_a_number_came(self, pod: PodUnderTest) -> None:
        assert await self.ask(pod) == (200, {"last_messages": {}})
        await pod.write_items(text_message("w1"))
        _, said = await self.ask(pod)
        at = said["last_messages"][NUMBER]
        assert at >= NOW
        assert await self.ask(pod, at + 1) == (200, {"last_messages": {}})

    async def test_who_has_not_the_groups_key_is_told_nothing(self, pod: PodUnderTest) -> None:
        status, said = await self.ask(pod, key="00" * 32)
        assert (status, said["code"]) == (401, "unauthorized")


class TestEndpoint:
    async def post(self, pod: PodUnderTest, body: bytes, key: str = GROUP_KEY) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with pod.session.post(f"{pod.url}/v1/deliveries", data=body, headers=headers) as response:
            return response.status, await response.json()

    @pytest.mark.parametrize("key", ["", "00" * 32, "é"])
    async def test_another_groups_key_is_refused(self, pod: PodUnderTest, key: str) -> None:
        status, answer = await self.post(pod, b'{"deliveries":[]}', key.encode().decode("latin-1"))
        assert (status, answer["code"]) == (401, "unauthorized")

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"deliveries":[{}]}', b'{"deliveries":7}'])
    async def test_what_is_no_batch_is_refused(self, pod: PodUnderTest, body: bytes) -> None:
        assert (await self.post(pod, body))[0] == 400

    async def test_a_batch_above_the_limit_is_refused(self, pod: PodUnderTest) -> None:
        one = msgspec.json.encode(
            Delivery(kind="message", phone_number_id="1", key="k", app="a", item=msgspec.Raw(b"{}"))
        )
        body = b'{"deliveries":[' + b",".join([one] * (MAX_BATCH + 1)) + b"]}"
        assert (await self.post(pod, body))[0] == 413

    async def test_each_delivery_gets_its_own_answer(self, pod: PodUnderTest) -> None:
        def delivery(number: str, key: str, item: bytes = b"{}", kind: Any = "message") -> Delivery:
            return Delivery(kind=kind, phone_number_id=number, key=key, app="default", item=msgspec.Raw(item))

        answer = await pod.deliver(
            delivery(NUMBER, "w1"),
            delivery("99", "w1"),
            delivery(NUMBER, "w1"),
            delivery(NUMBER, "s1", b"7", "status"),
        )
        assert [(each.outcome, each.reason) for each in answer.answers] == [
            ("stored", ""),
            ("refused", "unknown_tenant"),
            ("duplicate", ""),
            ("refused", "malformed"),
        ]


class TestWhatMetaSends:
    async def test_a_greeting_is_answered_once(self, pod: PodUnderTest) -> None:
        assert await pod.write_items(text_message("w1"), text_message("w1")) == ["stored", "duplicate"]
        (reply,) = await pod.count_replies(1)
        assert (reply["to"], reply["messaging_product"]) == (f"+{PHONE}", "whatsapp")

    async def test_a_customer_without_phone_number_is_answered_by_user_id(self, pod: PodUnderTest) -> None:
        item = text_message("w1") | {"from_user_id": "CL.ABC"}
        del item["from"]
        await pod.write_items(item, contacts=[{"user_id": "CL.ABC", "profile": {"name": "Ana"}}])
        (reply,) = await pod.count_replies(1)
        assert (reply["recipient"], "to" in reply) == ("CL.ABC", False)

    async def test_missing_contacts_are_no_problem(self, pod: PodUnderTest) -> None:
        await pod.write_items(text_message("w1"))
        await pod.count_replies(1)

    @pytest.mark.parametrize(
        "text", ["🍕🍕👨‍👩‍👧‍👦", "\u200fمرحبا، أريد بيتزا\u200f", "שלום", "e\u0301" * 500, "x" * 4096, "\x00\ufeff"]
    )
    async def test_any_script_and_any_emoji_is_answered(self, pod: PodUnderTest, text: str) -> None:
        await pod.write_items(text_message("w1", text=text))
        await pod.count_replies(1)

    @pytest.mark.parametrize(
        "item",
        [
            {"type": "hologram", "hologram": {"depth": 3}},
            {"type": "unsupported", "errors": [{"code": 131051}]},
            {"type": "audio", "audio": {"id": "M1", "voice": True}},
            {"type": "interactive"},
            {"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"response_json": "{"}}},
            {
                "type": "interactive",
                "interactive": {"type": "button_reply", "button_reply": {"id": "v9:from:the:past"}},
            },
            {"type": "order", "order": {"product_items": [{"product_retailer_id": "NOPE", "quantity": "many"}]}},
            {"type": "location", "location": {"latitude": "north"}},
            {"type": "text"},
            {"type": "text", "text": None},
            {},
        ],
    )
    async def test_odd_messages_are_survived_and_the_conversation_goes_on(
        self, pod: PodUnderTest, item: dict[str, Any]
    ) -> None:
        odd = {"id": "w1", "from": PHONE, "timestamp": str(NOW)} | item
        assert await pod.write_items(odd, text_message("w2", text="menú", timestamp=NOW + 1)) == ["stored", "stored"]
        await until(lambda: any("menú" in body_of(reply) for reply in pod.replies()))
        states = await pod.sql("select state, count(*) from inbox group by 1")
        assert dict(states) == {"done": 2}

    @pytest.mark.parametrize(
        "item",
        [
            {"type": "reaction", "reaction": {"message_id": "w0", "emoji": "👍"}},
            {"type": "system", "system": {"type": "user_changed_number", "wa_id": "1"}},
            {"type": "edit", "edit": {"original_message_id": "w0"}},
            {"type": "revoke", "revoke": {"original_message_id": "w0"}},
            {"type": "text", "text": {"body": "hola"}, "group_id": "G1"},
            {"type": "text", "text": {"body": "hola"}, "from": ""},
        ],
    )
    async def test_what_is_no_turn_is_stored_and_not_answered(self, pod: PodUnderTest, item: dict[str, Any]) -> None:
        quiet = {"id": "w1", "from": PHONE, "timestamp": str(NOW)} | item
        await pod.write_items(quiet)
        await pod.write_items(text_message("w2", sender="56900000000"))
        await pod.count_replies(1)
        assert await pod.sql("select state from inbox where wamid = 'w1'") == [("silent",)]

    async def test_a_suspended_tenant_stores_and_says_nothing(self, make_pod: Callable[..., Any]) -> None:
        pod = await make_pod(tenant(suspended=True), tenant("10000022"))
        await pod.write_items(text_message("w1"))
        await pod.write_items(text_message("w2"), number="10000022")
        await pod.count_replies(1)

    async def test_as_many_messages_of_one_customer_as_meta_lets_us_answer_are_answered_in_order(
        self, pod: PodUnderTest
    ) -> None:
        pod.mount(tenant(outbound_per_second=1000))
        items = [text_message(f"w{index}", text="menú" if index % 2 else "hola") for index in range(200)]
        await pod.write_items(*items)
        # Every one has its turn; the answers beyond Meta's pair limit of 45 at once wait for it, one each 6 s.
        await pod.sql_gives("select count(*) from inbox where state = 'done'", [(200,)])
        replies = await pod.count_replies(45)
        assert ["menú. Elige" in body_of(reply) or "nuestro menú" in body_of(reply) for reply in replies] == [
            bool(index % 2) for index in range(45)
        ]
        await pod.sql_gives("select state, count(*) from outbox group by 1 order by 1", [("queued", 155), ("sent", 45)])

    async def test_who_waits_for_the_numbers_pace_goes_before_who_comes_later(self, pod: PodUnderTest) -> None:
        pod.mount(tenant(outbound_per_second=60))
        await until(pod.has_loaded)
        early = [f"5691{index:07}" for index in range(200)]
        await pod.write_items(*(text_message(f"w{sender}", sender=sender) for sender in early))

        def answered() -> list[str]:
            return [entry.customer for entry in pod.cloud.ledger.entries.after(0) if entry.direction == "out"]

        # More come without a pause than the number may answer: those before them wait no longer for it.
        for index in count():
            if set(early) <= set(answered()):
                break
            await pod.write_items(text_message(f"n{index}", sender=f"5692{index:07}"))
        assert index > 200
        overtaking = [customer for customer in answered() if customer not in early]
        assert len(overtaking) < 50


class TestTurns:
    async def test_a_message_whose_handler_keeps_failing_is_parked_and_the_next_is_answered(
        self, pod: PodUnderTest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handle = FlowHandler.handle
        monkeypatch.setattr("comanda_botpod.turn.RETRY_SECONDS", (0.0,))

        async def fails_for_poison(self: FlowHandler, tenant: Any, claim: Any) -> Any:
            if "poison" in claim.payload:
                raise RuntimeError("boom")
            return await handle(self, tenant, claim)

        monkeypatch.setattr(FlowHandler, "handle", fails_for_poison)
        await pod.write_items(text_message("w1", text="poison"), text_message("w2", timestamp=NOW + 1))
        await pod.count_replies(1)
        rows = await pod.sql("select wamid, state, attempts from inbox order by id")
        assert rows == [("w1", "parked", 5), ("w2", "done", 1)]

    async def test_two_pods_share_a_conversation_without_swapping_or_doubling(
        self, make_pod: Callable[..., Any]
    ) -> None:
        pods = [await make_pod(name="pod-0"), await make_pod(name="pod-1")]
        texts = ["2 margarita", "retiro", "Ana", "sí"]
        for index, text in enumerate(texts):
            await pods[index % 2].write_items(text_message(f"w{index}", text=text, timestamp=NOW + index))
        replies = await pods[0].count_replies(4)
        assert "Pedido recibido" in body_of(replies[-1])
        assert len(await pods[0].pod._store.list_orders(TenantScope("default/t10000011", "10000011"))) == 1

    async def test_what_another_pod_left_unsent_goes_before_what_waits_for_it_here(self, pod: PodUnderTest) -> None:
        await pod.write_items(text_message("w1"))
        await pod.count_replies(1)
        columns = "tenant, phone_number_id, customer_id, inbox_id, payload, attempts, ambiguous, created_at, updated_at"
        await pod.sql("insert into workers (incarnation, pod, seen_at) values ('other:1', 'other', 9e15)")
        await pod.sql(
            f"insert into outbox ({columns}, position, state, owner, due_at)"
            f" select {columns}, 1, 'queued', 'other:1', 0 from outbox"
        )
        await pod.write_items(text_message("w2"))
        await pod.sql_gives("select count(*) from outbox where state = 'queued'", [(2,)])
        await pod.sql("delete from workers where pod = 'other'")
        await pod.count_replies(3)
        sent = [entry.wamid for entry in pod.cloud.ledger.entries.after(0) if entry.direction == "out"]
        await pod.sql_gives("select wamid from outbox order by id", [(wamid,) for wamid in sent])

    async def test_a_conversation_ends_with_the_flow_it_began_with(self, pod: PodUnderTest) -> None:
        await pod.write_items(text_message("w1", text="2 margarita"))
        await pod.count_replies(1)
        own = {
            "version": 1,
            "start": "hi",
            "on_order": "hi",
            "locales": ["es"],
            "texts": {"hi": {"es": "Otro bot"}},
            "nodes": {"hi": {"kind": "message", "say": "hi", "end": True}},
        }
        before = pod.pod.tenants.loaded
        pod.mount(tenant(flow=own))
        await until(lambda: pod.pod.tenants.loaded != before)
        await pod.write_items(text_message("w2", text="retiro", timestamp=NOW + 1))
        await pod.write_items(text_message("w3", sender="56900000000", text="hola"))
        await pod.count_replies(3)
        assert "nombre" in body_of(pod.replies(PHONE)[-1])
        assert body_of(pod.replies("56900000000")[0]) == "Otro bot"


class TestTenants:
    async def test_a_broken_file_keeps_the_last_good_tenants(self, pod: PodUnderTest) -> None:
        pod.write("tenants/shard-00.json", b'{"tenants": [')
        await until(lambda: "shard-00.json" in pod.pod.tenants.problems)
        await pod.write_items(text_message("w1"))
        await pod.count_replies(1)

    async def test_a_tenant_with_a_broken_menu_stores_and_answers_once_it_is_mended(
        self, make_pod: Callable[..., Any]
    ) -> None:
        pod = await make_pod(tenant(restaurant={"menu": 7}), tenant("10000022"))
        assert await pod.write_items(text_message("w1")) == ["stored"]
        await pod.write_items(text_message("w2"), number="10000022")
        await pod.count_replies(1)
        assert "default/t10000011" in pod.pod.tenants.problems
        pod.mount(tenant(), tenant("10000022"))
        await pod.count_replies(2)

    async def test_a_new_tenant_is_served_without_restart(self, pod: PodUnderTest) -> None:
        assert await pod.write_items(text_message("w1"), number="10000022") == ["refused"]
        pod.mount(tenant(), tenant("10000022"))

        async def stored() -> bool:
            return await pod.write_items(text_message("w1"), number="10000022") == ["stored"]

        await until(stored)
        await pod.count_replies(1)

    async def test_readiness_reports_a_keyed_digest_and_no_secret(self, pod: PodUnderTest) -> None:
        async with pod.session.get(f"{pod.url}/readyz") as response:
            body = await response.text()
        assert pod.pod.tenants.loaded in body
        assert "good-token" not in body


class TestSender:
    @pytest.mark.parametrize("code", [131000, 131016, 130429, 1])
    async def test_what_meta_calls_temporary_is_tried_again(self, pod: PodUnderTest, code: int) -> None:
        pod.cloud.chance.set(Faults(graph_error=GraphFault(code=code)))
        await pod.write_items(text_message("w1"))
        await until(lambda: pod.cloud.refused[code] > 0)
        pod.cloud.chance.set(Faults())
        await pod.count_replies(1)

    @pytest.mark.parametrize("code", [131026, 131047, 131009])
    async def test_what_meta_calls_final_fails_and_the_conversation_goes_on(self, pod: PodUnderTest, code: int) -> None:
        pod.cloud.chance.set(Faults(graph_error=GraphFault(code=code)))
        await pod.write_items(text_message("w1"))

        async def failed() -> bool:
            return await pod.sql("select state from outbox") == [("failed",)]

        await until(failed)
        pod.cloud.chance.set(Faults())
        await pod.write_items(text_message("w2", text="menú", timestamp=NOW + 1))
        await pod.count_replies(1)
        assert await pod.sql("select state, error_code from outbox order by id limit 1") == [("failed", code)]

    async def test_a_dead_token_stops_the_tenant_and_a_new_one_lets_it_go_on(self, pod: PodUnderTest) -> None:
        before = pod.pod.tenants.loaded
        pod.mount(tenant(), tokens={NUMBER: "expired"})
        await until(lambda: pod.pod.tenants.loaded != before)
        await pod.write_items(text_message("w1"))
        await until(lambda: pod.cloud.refused[190] > 0)

        async def queued() -> bool:
            return await pod.sql("select state, error_code from outbox") == [("queued", 190)]

        await until(queued)
        pod.mount(tenant())
        await pod.count_replies(1)

    async def test_a_slow_graph_api_does_not_hold_up_other_conversations(self, pod: PodUnderTest) -> None:
        pod.cloud.chance.set(Faults(graph_slow_seconds=0.5))
        await pod.write_items(*(text_message(f"w{index}", sender=f"5690000{index:04}") for index in range(40)))
        async with asyncio.timeout(45):
            await pod.count_replies(40)


class TestHandover:
    async def test_the_bot_is_silent_while_a_person_has_the_conversation_and_comes_back_later(
        self, pod: PodUnderTest
    ) -> None:
        await pod.write_items(text_message("w1", text="quiero hablar con una persona"))
        await pod.count_replies(1)
        await pod.write_items(text_message("w2", text="hola", timestamp=NOW + 1))
        await pod.write_items(text_message("w3", sender="56900000000"))
        await pod.count_replies(2)
        assert await pod.sql("select state from inbox where wamid = 'w2'") == [("done",)]
        await pod.sql("update conversations set handover_until = 1")
        await pod.write_items(text_message("w4", text="menú", timestamp=NOW + 2))
        await pod.count_replies(2, PHONE)
