"""What a pod makes of refusals, of others in a conversation, of changed addresses, old messages and prices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from comanda_botpod.inbox import InboxLimits
from comanda_router.split import split
from comanda_simulator.faults import Faults, GraphFault
from tests.harness import NOW, change, text_message, until, webhook
from tests.test_botpod.conftest import APP_ID, PHONE, PodUnderTest, tenant

OTHER = "56900000000"
NUMBER = "10000011"


async def deliver(pod: PodUnderTest, field: str, **value: Any) -> list[str]:
    """Deliver one change of a field as the router splits it."""
    document = webhook({**change(NUMBER, **value), "field": field})
    parts = split("default", msgspec.json.encode(document)).deliveries
    assert parts
    return [answer.outcome for answer in (await pod.deliver(*parts)).answers]


def handover(app_id: str) -> dict[str, Any]:
    """Return the value of a webhook that says which app has the customer's thread now."""
    return {
        "recipient": {"phone_number_id": NUMBER, "display_phone_number": NUMBER},
        "sender": {"phone_number": PHONE},
        "timestamp": str(NOW),
        "type": "control_passed",
        "control_passed": {"new_owner_role": "escalation", "new_owner_app_id": app_id},
    }


def refuse(pod: PodUnderTest, code: int, to: str = "") -> None:
    pod.cloud.chance.set(Faults(graph_error=GraphFault(code=code, to=to)))


def recipients(pod: PodUnderTest) -> list[str]:
    return [str(reply.get("to") or reply.get("recipient")) for reply in pod.replies()]


class TestRefusals:
    async def test_an_argentine_number_that_meta_refuses_is_tried_in_its_other_form_and_remembered(
        self, pod: PodUnderTest
    ) -> None:
        refuse(pod, 131030, to="549")
        await pod.write_items(text_message("w1", sender="5491122223333"))
        await pod.sql_gives("select state from outbox", [("sent",)])
        refused = pod.cloud.refused[131030]
        await pod.write_items(text_message("w2", sender="5491122223333", text="menú", timestamp=NOW + 1))
        await pod.sql_gives("select state from outbox", [("sent",), ("sent",)])
        assert {to.removeprefix("+") for to in recipients(pod)} == {"541122223333"}
        assert pod.cloud.refused[131030] == refused, "the form that works was not remembered"

    async def test_a_customer_who_cannot_be_reached_is_marked_until_a_message_arrives_again(
        self, pod: PodUnderTest
    ) -> None:
        refuse(pod, 131026)
        await pod.write_items(text_message("w1"))
        await pod.sql_gives("select unreachable_code from customers", [(131026,)])
        pod.cloud.chance.set(Faults())
        await pod.write_items(text_message("w2", text="menú", timestamp=NOW + 1))
        await pod.sql_gives("select unreachable_code from customers", [(0,)])

    async def test_a_customer_over_the_pair_limit_waits_alone(self, pod: PodUnderTest) -> None:
        refuse(pod, 131056, to=PHONE)
        await pod.write_items(text_message("w1"), text_message("w2", sender=OTHER))
        await pod.count_replies(1, OTHER)
        await until(lambda: pod.cloud.refused[131056] > 0)
        pod.cloud.chance.set(Faults())
        await pod.count_replies(1, PHONE)

    async def test_a_number_that_meta_holds_sends_nothing_to_anybody(self, pod: PodUnderTest) -> None:
        refuse(pod, 131048, to=PHONE)
        await pod.write_items(text_message("w1"))
        await pod.sql_gives("select state, error_code from outbox", [("queued", 131048)])
        pod.cloud.chance.set(Faults())
        await pod.write_items(text_message("w2", sender=OTHER))
        await pod.sql_gives("select count(*) from inbox where state = 'done'", [(2,)])
        await pod.sql_gives("select state from outbox order by id", [("queued",), ("queued",)])
        assert pod.replies() == []

    async def test_a_meta_that_is_down_is_left_alone_and_gets_everything_later(self, pod: PodUnderTest) -> None:
        pod.cloud.chance.set(Faults(graph_down=True))
        phones = [f"5690000{index:04}" for index in range(30)]
        await pod.write_items(*(text_message(f"w{phone}", sender=phone) for phone in phones))
        await until(lambda: pod.pod._outbox._sender._breaker.state == "open", what="the breaker is open")
        pod.cloud.chance.set(Faults())
        await pod.count_replies(len(phones))
        await until(lambda: not pod.pod._outbox._lanes, what="nothing is left to send")

    async def test_a_customer_without_a_number_is_answered_by_their_id(self, pod: PodUnderTest) -> None:
        item = {key: value for key, value in text_message("w1").items() if key != "from"}
        await pod.write_items(item | {"from_user_id": "CL.A1b2"}, contacts=[{"user_id": "CL.A1b2"}])
        (reply,) = await pod.count_replies(1)
        assert reply["recipient"] == "CL.A1b2"
        assert "to" not in reply


class TestOtherPeople:
    async def test_the_bot_is_silent_after_staff_wrote_from_the_phone(self, pod: PodUnderTest) -> None:
        await pod.write_items(text_message("w1"))
        await pod.count_replies(1)
        echo = {"from": "999", "to": PHONE, "id": "wamid.ECHO", "timestamp": str(NOW), "type": "text"}
        assert await deliver(pod, "smb_message_echoes", message_echoes=[echo]) == ["stored"]
        await pod.write_items(text_message("w2", text="menú", timestamp=NOW + 1), text_message("w3", sender=OTHER))
        await pod.count_replies(1, OTHER)
        await pod.sql_gives("select state from inbox where wamid = 'w2'", [("done",)])
        await pod.count_replies(1, PHONE)

    async def test_an_echo_of_what_the_bot_itself_sent_pauses_nothing(self, pod: PodUnderTest) -> None:
        await pod.write_items(text_message("w1"))
        await pod.sql_gives("select state from outbox", [("sent",)])
        ((wamid,),) = await pod.sql("select wamid from outbox")
        echo = {"from": "999", "to": PHONE, "id": wamid, "timestamp": str(NOW), "type": "text"}
        await deliver(pod, "message_echoes", message_echoes=[echo])
        await pod.write_items(text_message("w2", text="menú", timestamp=NOW + 1))
        await pod.count_replies(2, PHONE)

    async def test_a_thread_that_another_app_has_is_left_to_it(self, pod: PodUnderTest) -> None:
        await pod.write_items(text_message("w1"))
        await pod.count_replies(1)
        value = {"standby": {"messages": [text_message("w2", text="menú", timestamp=NOW + 1)]}}
        await deliver(pod, "standby", **value)
        await pod.write_items(text_message("w3", text="menú", timestamp=NOW + 2))
        await pod.sql_gives("select state from inbox where wamid = 'w3'", [("done",)])
        await pod.count_replies(1)

    async def test_a_thread_handed_to_another_app_comes_back_with_our_own_id(self, pod: PodUnderTest) -> None:
        await pod.write_items(text_message("w1"))
        await pod.count_replies(1)
        await deliver(pod, "messaging_handovers", **handover("555"))
        await pod.write_items(text_message("w2", text="menú", timestamp=NOW + 1))
        await pod.sql_gives("select state from inbox where wamid = 'w2'", [("done",)])
        await deliver(pod, "messaging_handovers", **handover(APP_ID))
        await pod.write_items(text_message("w3", text="menú", timestamp=NOW + 2))
        await pod.count_replies(2)

    @pytest.mark.parametrize(
        "item",
        [
            {"type": "reaction", "reaction": {"message_id": "x", "emoji": "👍"}},
            {"type": "edit", "edit": {"original_message_id": "x"}},
            {"type": "revoke", "revoke": {"original_message_id": "x"}},
            {"type": "text", "text": {"body": "hola"}, "group_id": "G1"},
        ],
    )
    async def test_what_is_no_turn_is_stored_and_silent(self, pod: PodUnderTest, item: dict[str, Any]) -> None:
        assert await pod.write_items({"id": "w1", "from": PHONE, "timestamp": str(NOW), **item}) == ["stored"]
        assert await pod.sql("select state from inbox") == [("silent",)]

    async def test_a_message_of_a_flood_is_stored_and_gets_no_turn(self, pod: PodUnderTest) -> None:
        document = webhook(change(NUMBER, messages=[text_message("w1")]))
        (part,) = split("default", msgspec.json.encode(document)).deliveries
        answers = (await pod.deliver(msgspec.structs.replace(part, muted=True))).answers
        assert [answer.outcome for answer in answers] == ["stored"]
        assert await pod.sql("select state from inbox") == [("silent",)]

    @pytest.mark.parametrize("field", ["history", "smb_app_state_sync", "calls", "user_preferences"])
    async def test_other_fields_are_kept_and_start_no_turn(self, pod: PodUnderTest, field: str) -> None:
        assert await deliver(pod, field, history=[{"threads": []}]) == ["stored"]
        assert await pod.sql("select field from account_events") == [(field,)]
        assert await pod.sql("select count(*) from inbox") == [(0,)]


class TestAddresses:
    async def test_a_customer_with_a_new_number_goes_on_where_they_were(self, pod: PodUnderTest) -> None:
        await pod.write_items(text_message("w1", text="2 margarita"))
        await pod.count_replies(1)
        told = {"type": "user_changed_number", "body": f"Ana changed from {PHONE} to {OTHER}", "wa_id": OTHER}
        system = {"id": "w2", "from": PHONE, "timestamp": str(NOW + 1), "type": "system", "system": told}
        await pod.write_items(system)
        await pod.write_items(text_message("w3", sender=OTHER, text="retiro", timestamp=NOW + 2))
        replies = await pod.count_replies(1, OTHER)
        assert "nombre" in str(replies[-1])
        assert await pod.sql("select count(*) from customers where merged_into = 0") == [(1,)]

    async def test_an_id_that_changes_leads_to_the_same_customer(self, pod: PodUnderTest) -> None:
        item = text_message("w1", text="2 margarita") | {"from_user_id": "CL.OLD"}
        await pod.write_items(item)
        await pod.count_replies(1)
        await deliver(pod, "user_id_update", user_id_update=[{"user_id": {"previous": "CL.OLD", "current": "CL.NEW"}}])
        later = {
            key: value for key, value in text_message("w2", text="retiro", timestamp=NOW + 1).items() if key != "from"
        }
        await pod.write_items(later | {"from_user_id": "CL.NEW"})
        await pod.sql_gives("select count(*) from inbox where state = 'done'", [(2,)])
        assert await pod.sql("select count(*) from customers") == [(1,)]


class TestOldMessages:
    async def test_a_message_that_comes_too_late_is_stored_and_not_answered(self, pod: PodUnderTest) -> None:
        assert await pod.write_items(text_message("w1", timestamp=NOW - 7 * 3600)) == ["stored"]
        await pod.write_items(text_message("w2", text="menú"))
        await pod.count_replies(1)
        assert await pod.sql("select wamid, state from inbox order by id") == [("w1", "stale"), ("w2", "done")]
        assert await pod.write_items(text_message("w1", timestamp=NOW - 7 * 3600)) == ["duplicate"]

    async def test_live_messages_go_before_an_hours_backlog(self, pod: PodUnderTest) -> None:
        pod.pod._turns._schedule._slots = 0  # until everything has arrived
        old = [text_message(f"w{index}", sender=f"5690000{index:04}", timestamp=NOW - 600) for index in range(60)]
        await pod.write_items(*old)
        # Of this moment: by the start of the whole run it might be of the backlog itself.
        await pod.write_items(text_message("live", timestamp=int(time.time())))
        pod.pod._turns._schedule._slots = 1
        pod.pod._turns._fill_slots()
        await pod.sql_gives("select count(*) from inbox where state = 'done'", [(61,)])
        assert await pod.sql("select wamid from inbox order by done_at, sent_at desc limit 1") == [("live",)]


class TestBackPressure:
    async def test_a_tenant_with_too_much_waiting_is_refused_and_its_neighbour_is_not(
        self, make_pod: Callable[..., Any]
    ) -> None:
        pod = await make_pod(tenant(), tenant("10000022"))
        pod.pod.inbox._limits = InboxLimits(free_bytes=0, pending_per_tenant=3)
        pod.pod._turns._schedule._slots = 0  # nothing has its turn for now
        items = [text_message(f"w{index}", sender=f"5690000{index:04}") for index in range(5)]
        assert await pod.write_items(*items[:3]) == ["stored"] * 3
        document = webhook(change(NUMBER, messages=items[3:]), change("10000022", messages=[text_message("other")]))
        answers = (await pod.deliver(*split("default", msgspec.json.encode(document)).deliveries)).answers
        assert [(answer.outcome, answer.reason, answer.retry) for answer in answers] == [
            ("refused", "overloaded", True),
            ("refused", "overloaded", True),
            ("stored", "", False),
        ]
        pod.pod._turns._schedule._slots = 8
        pod.pod._turns._fill_slots()
        await pod.count_replies(4)
        assert await pod.write_items(*items[3:]) == ["stored"] * 2

    async def test_with_a_commit_that_hangs_new_deliveries_are_refused(self, pod: PodUnderTest) -> None:
        release = asyncio.Event()
        committer = pod.pod._store._ingests
        run = committer._run

        async def held(group: Any) -> Any:
            await release.wait()
            return await run(group)

        committer._run = held
        first = asyncio.create_task(pod.write_items(text_message("w1")))
        await until(lambda: pod.pod._store.oldest_wait() > 2, what="the first has waited for 2 s")
        assert await pod.write_items(text_message("w2")) == ["refused"]
        release.set()
        assert await first == ["stored"]


class TestOddDeliveries:
    async def test_bytes_that_are_no_text_are_refused_alone(self, pod: PodUnderTest) -> None:
        parts = split(
            "default", msgspec.json.encode(webhook(change(NUMBER, messages=[text_message("good")])))
        ).deliveries
        odd = msgspec.structs.replace(parts[0], key="odd", item=msgspec.Raw(b'{"id":"odd","type":"\xff\xfe"}'))
        answers = (await pod.deliver(odd, *parts)).answers
        assert [(answer.outcome, answer.reason) for answer in answers] == [("refused", "malformed"), ("stored", "")]


class TestCosts:
    async def test_a_priced_status_becomes_one_row_with_its_price(self, pod: PodUnderTest) -> None:
        pricing = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"}
        status = {"id": "wamid.S1", "status": "sent", "timestamp": "1795000000", "recipient_id": "14155550100"}
        await deliver(pod, "messages", statuses=[status | {"pricing": pricing}])
        await deliver(pod, "messages", statuses=[status | {"status": "delivered", "pricing": pricing}])
        ((market, micros, currency, reason),) = await pod.sql(
            "select market, price_micros, currency, reason from costs"
        )
        assert (market, currency, reason) == ("United States", "USD", "billed")
        assert micros == 3400

    async def test_a_free_message_costs_nothing_and_says_why(self, pod: PodUnderTest) -> None:
        pricing = {"pricing_model": "PMP", "type": "free_customer_service", "category": "service"}
        status = {"id": "wamid.S1", "status": "sent", "timestamp": "1795000000", "recipient_id": PHONE}
        await deliver(pod, "messages", statuses=[status | {"pricing": pricing}])
        assert await pod.sql("select price_micros, reason from costs") == [(0, "free_customer_service")]


class TestStopping:
    async def test_a_pod_with_messages_that_wait_for_hours_stops_at_once(self, pod: PodUnderTest) -> None:
        refuse(pod, 131048)
        await pod.write_items(*(text_message(f"w{index}", sender=f"5690000{index:04}") for index in range(20)))
        await pod.sql_gives("select count(*) from inbox where state = 'done'", [(20,)])
        await until(lambda: pod.cloud.refused[131048] > 0)
        async with asyncio.timeout(45):
            await pod.pod.drain()
        assert pod.pod._outbox._tasks == set()
        ((state, count),) = await pod.sql("select state, count(*) from outbox group by 1")
        assert (state, count) == ("queued", 20)
