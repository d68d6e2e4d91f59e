"""Meta's paces, the window, timers, identities, parked messages and what is thrown away, on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from comanda_store import (
    AliasLink,
    Begun,
    Claim,
    EventItem,
    Held,
    NewTimer,
    Pace,
    Pause,
    Refused,
    SendResult,
    Store,
    TenantScope,
    TurnResult,
)
from comanda_store.requests import PAIR_BURST, PAIR_MS, WINDOW_MS
from tests.harness import until
from tests.test_store.conftest import Database, OpenStore
from tests.test_store.test_store import MESSAGE, NOW, ORDER, PACE, SCOPE, claimed, one_turn, result

DAY_MS = 24 * 3600 * 1000
FAST = Pace(per_second=1_000_000)


class TestPaces:
    async def test_a_number_sends_so_many_a_second_whichever_pod_asks(
        self, open_store: OpenStore, db: Database
    ) -> None:
        pods = [await open_store("pod-0"), await open_store("pod-1")]
        outcomes = []
        for index in range(12):
            pod = pods[index % 2]
            item = replace(MESSAGE, wamid=f"w{index}", phone=f"5690000{index}")
            (send,) = await one_turn(pod, item, result("{}"))
            outcomes.append(await pod.begin_send(send, Pace(per_second=2)))
        assert outcomes[0] == Begun(0)
        assert all(isinstance(outcome, Held) for outcome in outcomes[1:])
        # A place each half second, each given out once and not for more than a second ahead.
        places = [place for (place,) in await db.sql("select due_at from outbox where due_at > 0 order by id")]
        assert 2 <= len(places) <= 5
        assert all(490 < later - earlier < 510 for earlier, later in pairwise(places))
        # Who has one is told so, and who has none: it is no use to ask again before there is one.
        held = [outcome.by for outcome in outcomes[1:] if isinstance(outcome, Held)]
        assert (held.count("place"), held.count("number")) == (len(places), 11 - len(places))

    async def test_a_place_in_the_pace_is_kept_until_it_is_used(self, store: Store, db: Database) -> None:
        (first,) = await one_turn(store, MESSAGE, result("{}"))
        (second,) = await one_turn(store, replace(MESSAGE, wamid="w2", phone="5691"), result("{}"))
        assert await store.begin_send(first, Pace(per_second=20)) == Begun(0)
        held = await store.begin_send(second, Pace(per_second=20))
        assert isinstance(held, Held)
        assert 5 < held.wait_ms <= 50

        async def begun() -> bool:
            return isinstance(await store.begin_send(second, Pace(per_second=20)), Begun)

        await until(begun, 10, "its place has come")
        assert await db.sql("select state, due_at from outbox order by id") == [("sending", 0)] * 2

    async def test_one_customer_gets_a_burst_and_then_one_message_in_six_seconds(
        self, store: Store, db: Database
    ) -> None:
        sends = await one_turn(store, MESSAGE, result(*["{}"] * (PAIR_BURST + 1)))
        outcomes = []
        for send in sends:
            outcomes.append(await store.begin_send(send, FAST))
            await store.finish_send(send, SendResult("sent", wamid=f"o{send.outbox_id}"))
        assert [type(outcome) for outcome in outcomes[:PAIR_BURST]] == [Begun] * PAIR_BURST
        last = outcomes[-1]
        assert isinstance(last, Held)
        assert (last.by, 0 < last.wait_ms <= PAIR_MS) == ("customer", True)
        other = await one_turn(store, replace(MESSAGE, wamid="w2", phone="5691"), result("{}"))
        assert isinstance(await store.begin_send(other[0], FAST), Begun)
        await db.sql(f"update conversations set pair_free_at = pair_free_at - {PAIR_MS}")
        assert isinstance(await store.begin_send(sends[-1], FAST), Begun)

    async def test_a_number_that_meta_slows_down_is_left_alone_for_a_while(self, store: Store) -> None:
        (first,) = await one_turn(store, MESSAGE, result("{}"))
        (second,) = await one_turn(store, replace(MESSAGE, wamid="w2", phone="5691"), result("{}"))
        await store.begin_send(first, PACE)
        await store.finish_send(first, SendResult("queued", error_code=130429, pause_ms=60_000))
        held = await store.begin_send(second, PACE)
        assert isinstance(held, Held)
        assert (held.by, held.wait_ms > 50_000) == ("number", True)

    async def test_a_send_may_begin_with_its_turn(self, store: Store, db: Database) -> None:
        (ingested,) = await store.ingest([MESSAGE])
        finished = await store.finish(await claimed(store, ingested.customer_id), result("{}", "{}"), PACE)
        assert finished.first == Begun(0)
        assert await db.sql("select state, attempts from outbox order by id") == [("sending", 1), ("queued", 0)]

    async def test_a_try_that_was_never_made_is_not_counted(self, store: Store, db: Database) -> None:
        (send,) = await one_turn(store, MESSAGE, result("{}"))
        for made in (False, True, False):
            await store.begin_send(send, FAST)
            await store.finish_send(send, SendResult("queued", made=made))
        assert await db.sql("select state, attempts from outbox") == [("queued", 1)]


class TestOrder:
    async def test_a_later_message_of_a_conversation_waits_for_the_earlier_one_of_another_pod(
        self, open_store: OpenStore
    ) -> None:
        first_pod, second_pod = await open_store("pod-0"), await open_store("pod-1")
        (earlier,) = await one_turn(first_pod, MESSAGE, result("{}"))
        (later,) = await one_turn(second_pod, replace(MESSAGE, wamid="w2"), result("{}"))
        held = await second_pod.begin_send(later, FAST)
        assert isinstance(held, Held)
        assert held.by == "customer"
        assert isinstance(await first_pod.begin_send(earlier, FAST), Begun)
        assert isinstance(await second_pod.begin_send(later, FAST), Held)
        await first_pod.finish_send(earlier, SendResult("sent", wamid="o1"))
        assert isinstance(await second_pod.begin_send(later, FAST), Begun)


class TestWindow:
    async def test_nothing_but_a_template_leaves_a_day_after_the_last_message(self, store: Store, db: Database) -> None:
        old = replace(MESSAGE, sent_at=NOW - WINDOW_MS - 1000)
        text, template = await one_turn(store, old, result("{}", "{}"))
        assert await store.begin_send(text, PACE) == Refused("closed")
        assert await store.begin_send(template, Pace(80, template=True)) == Begun(0)
        assert await db.sql("select state, error_code from outbox order by id") == [
            ("failed", 131047),
            ("sending", None),
        ]

    async def test_a_new_message_opens_the_window_again_and_an_older_one_does_not_close_it(self, store: Store) -> None:
        await one_turn(store, MESSAGE, result())
        late = replace(MESSAGE, wamid="w2", sent_at=NOW - 2 * DAY_MS)
        (send,) = await one_turn(store, late, result("{}"))
        assert isinstance(await store.begin_send(send, PACE), Begun)


class TestCustomers:
    async def test_what_is_learnt_of_a_number_is_told_with_the_next_send(self, store: Store) -> None:
        first, second = await one_turn(store, MESSAGE, result("{}", "{}"))
        await store.begin_send(first, PACE)
        await store.finish_send(first, SendResult("sent", wamid="o1", sends_to="5491122223333", unreachable=131026))
        begun = await store.begin_send(second, PACE)
        assert isinstance(begun, Begun)
        assert (begun.sends_to, begun.unreachable) == ("5491122223333", 131026)
        await store.finish_send(second, SendResult("sent", wamid="o2", unreachable=0))
        (third,) = await one_turn(store, replace(MESSAGE, wamid="w2"), result("{}"))
        begun = await store.begin_send(third, PACE)
        assert isinstance(begun, Begun)
        assert (begun.sends_to, begun.unreachable) == ("5491122223333", 0)

    async def test_a_changed_number_leads_to_the_same_customer(self, store: Store) -> None:
        (before,) = await store.ingest([MESSAGE])
        system = replace(
            MESSAGE,
            wamid="w2",
            type="system",
            state="silent",
            links=(AliasLink("phone", MESSAGE.phone, "phone", "56999990000"),),
        )
        await store.ingest([system])
        (after,) = await store.ingest([replace(MESSAGE, wamid="w3", phone="56999990000")])
        assert after.customer_id == before.customer_id
        claim = await claimed(store, before.customer_id)
        assert claim.phone == "56999990000"

    async def test_two_customers_that_turn_out_to_be_one_become_one(self, open_store: OpenStore) -> None:
        pods = [await open_store("pod-0"), await open_store("pod-1")]
        by_phone, by_id = replace(MESSAGE, user_id=""), replace(MESSAGE, wamid="w2", phone="", user_id="CL.NEW")
        (one,), (two,) = await pods[0].ingest([by_phone]), await pods[0].ingest([by_id])
        assert one.customer_id != two.customer_id
        link = AliasLink("phone", MESSAGE.phone, "user_id", "CL.NEW")
        event = EventItem("default/napoli", "11", "k1", "user_id_update", "{}", links=(link,))
        await pods[1].ingest([event, event])
        # The other pod still remembers who was who; what it stores is the one customer's all the same.
        (three,) = await pods[0].ingest([replace(by_id, wamid="w3")])
        assert three.customer_id == one.customer_id
        seen = []
        claim = await pods[0].claim(SCOPE, one.customer_id)
        while isinstance(claim, Claim):
            seen.append(claim.wamid)
            claim = (await pods[0].finish(claim, result())).next
        assert seen == ["w1", "w2", "w3"]

    async def test_the_bot_is_silent_while_somebody_else_writes(self, store: Store) -> None:
        (ingested,) = await store.ingest([MESSAGE])
        pause = Pause("phone", MESSAGE.phone, NOW + 60_000)
        await store.ingest([EventItem("default/napoli", "11", "e1", "message_echoes", "{}", pauses=(pause,))])
        await store.ingest(
            [EventItem("default/napoli", "11", "e2", "message_echoes", "{}", pauses=(replace(pause, until=1),))]
        )
        assert (await claimed(store, ingested.customer_id)).handover_until == NOW + 60_000

    async def test_another_tenants_customer_is_neither_linked_nor_paused(self, store: Store) -> None:
        (ingested,) = await store.ingest([MESSAGE])
        event = EventItem(
            "default/farol",
            "22",
            "e1",
            "user_id_update",
            "{}",
            links=(AliasLink("phone", MESSAGE.phone, "user_id", "CL.X"),),
            pauses=(Pause("phone", MESSAGE.phone, NOW + 60_000),),
        )
        await store.ingest([event])
        assert (await claimed(store, ingested.customer_id)).handover_until == 0
        (hidden,) = await store.ingest([replace(MESSAGE, wamid="w2", phone="", user_id="CL.X")])
        assert hidden.customer_id != ingested.customer_id


class TestTimers:
    async def test_a_timer_becomes_a_message_once_when_it_is_due(self, open_store: OpenStore, db: Database) -> None:
        pods = [await open_store("pod-0"), await open_store("pod-1")]
        timers = (NewTimer(0, '{"step":1}'), NewTimer(3_600_000, '{"step":2}'))
        await one_turn(pods[0], MESSAGE, TurnResult(b"{}", "f", 0, (), timers=timers))
        fired = [waiting for each in await asyncio.gather(*(pod.fire_timers() for pod in pods)) for waiting in each]
        assert [waiting.scope for waiting in fired] == [SCOPE]
        claims = [await pod.claim(SCOPE, fired[0].customer_id) for pod in pods]
        (claim,) = [each for each in claims if isinstance(each, Claim)]
        assert (claim.type, claim.payload) == ("timer", '{"step":1}')
        assert await db.sql("select payload from timers") == [('{"step":2}',)]

    async def test_a_timer_does_not_open_the_window(self, store: Store) -> None:
        old = replace(MESSAGE, sent_at=NOW - WINDOW_MS - 1000)
        await one_turn(store, old, TurnResult(b"{}", "f", 0, (), timers=(NewTimer(0, "{}"),)))
        (waiting,) = await store.fire_timers()
        finished = await store.finish(await claimed(store, waiting.customer_id), result("{}"), PACE)
        assert finished.first == Refused("closed")


class TestParked:
    async def test_a_parked_message_is_listed_with_its_problem_and_tried_again_on_demand(self, store: Store) -> None:
        (ingested,) = await store.ingest([MESSAGE])
        for _ in range(5):
            claim = await claimed(store, ingested.customer_id)
            await store.release(claim, "KeyError in handle")
        assert await store.claim(SCOPE, ingested.customer_id) is None
        (parked,) = await store.list_parked(SCOPE)
        assert (parked.inbox_id, parked.problem) == (claim.inbox_id, "KeyError in handle")
        assert await store.list_parked(TenantScope("default/other", "11")) == []
        assert not await store.retry_parked(TenantScope("default/other", "11"), parked.inbox_id, "staff")
        assert await store.retry_parked(SCOPE, parked.inbox_id, "staff")
        assert not await store.retry_parked(SCOPE, parked.inbox_id, "staff")
        assert len((await store.take_over()).conversations) == 1
        assert (await claimed(store, ingested.customer_id)).attempts == 1

    async def test_a_try_that_was_not_at_fault_is_given_back(self, store: Store) -> None:
        (ingested,) = await store.ingest([MESSAGE])
        for _ in range(10):
            claim = await claimed(store, ingested.customer_id)
            assert claim.attempts == 1
            await store.release(claim, "", counted=False)


class TestPurge:
    async def test_what_is_old_goes_and_an_order_stays(self, store: Store, db: Database) -> None:
        await one_turn(store, MESSAGE, result("{}", order=ORDER))
        (send,) = await one_turn(store, replace(MESSAGE, wamid="w2"), result("{}"))
        await store.begin_send(send, PACE)
        await store.finish_send(send, SendResult("sent", wamid="o1"))
        await store.ingest([replace(MESSAGE, wamid="w3"), EventItem("default/napoli", "11", "k", "f", "{}")])
        await db.sql("update outbox set state = 'sent'")
        old = NOW - 181 * DAY_MS
        await db.sql(f"update inbox set received_at = {old} where wamid <> 'w3'")
        await db.sql(f"update account_events set received_at = {old}")
        while await store.purge(limit=2):
            pass
        left = await db.sql("select wamid, payload from inbox order by id")
        # The message that became an order loses its text alone; what still waits is young.
        assert left == [("w1", ""), ("w3", MESSAGE.payload)]
        assert await db.sql("select count(*) from outbox") == [(0,)]
        assert await db.sql("select count(*) from account_events") == [(0,)]
        assert len(await store.list_orders(SCOPE)) == 1
        assert (await store.ingest([MESSAGE]))[0].duplicate

    async def test_what_meta_may_still_repeat_is_never_thrown_away(self, store: Store, db: Database) -> None:
        await store.ingest([MESSAGE])
        await db.sql(f"update inbox set received_at = {NOW - 8 * DAY_MS}, state = 'done'")
        with pytest.raises(ValueError, match="must be 8 or more"):
            await store.purge(messages_days=7)
        assert await store.purge() == 0
        assert (await store.ingest([MESSAGE]))[0].duplicate
