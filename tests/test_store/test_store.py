"""What every store must do, whatever database is below it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from comanda_store import (
    Begun,
    Busy,
    Claim,
    EventItem,
    FencedError,
    InboundItem,
    NewOrder,
    NewOrderLine,
    Pace,
    PendingSend,
    PublishedTenant,
    Refused,
    SendResult,
    StatusItem,
    Store,
    Takeover,
    TenantScope,
    Timing,
    TurnResult,
)
from tests.test_store.conftest import Database, OpenStore

NOW = int(time.time() * 1000)
MESSAGE = InboundItem(
    tenant="default/napoli",
    phone_number_id="11",
    wamid="w1",
    phone="56911112222",
    user_id="",
    name="Ana",
    type="text",
    payload='{"text":{"body":"hola"}}',
    contact="{}",
    sent_at=NOW,
)
SCOPE = TenantScope("default/napoli", "11")
PACE = Pace(per_second=1000)
ORDER = NewOrder(
    code="K7F2M",
    customer_name="Ana",
    fulfilment="delivery",
    address="Av. Italia 1",
    latitude=-33.4,
    longitude=-70.6,
    notes="sin cebolla",
    currency="CLP",
    subtotal=17980,
    delivery_fee=1500,
    total=19480,
    menu_version="m1",
    lines=(NewOrderLine("MARG", "Pizza Margarita", "", "sin sal", 2, 8990, 17980),),
    payment="Efectivo",
)


def result(*messages: str, order: NewOrder | None = None, state: bytes = b"{}") -> TurnResult:
    return TurnResult(state=state, flow_version="f1", handover_until=0, messages=messages, order=order)


async def claimed(store: Store, customer: int) -> Claim:
    claim = await store.claim(SCOPE, customer)
    assert isinstance(claim, Claim)
    return claim


async def one_turn(store: Store, item: InboundItem, outcome: TurnResult) -> tuple[PendingSend, ...]:
    (ingested,) = await store.ingest([item])
    return (await store.finish(await claimed(store, ingested.customer_id), outcome)).sends


class TestInbox:
    async def test_a_message_is_new_once(self, store: Store) -> None:
        first = await store.ingest([MESSAGE, replace(MESSAGE, wamid="w2"), MESSAGE])
        again = await store.ingest([MESSAGE])
        assert [each.duplicate for each in (*first, *again)] == [False, False, True, True]

    async def test_the_same_wamid_on_two_numbers_is_two_messages(self, store: Store) -> None:
        other = replace(MESSAGE, tenant="default/farol", phone_number_id="22")
        ingested = await store.ingest([MESSAGE, other])
        assert [each.duplicate for each in ingested] == [False, False]
        assert ingested[0].customer_id != ingested[1].customer_id

    async def test_the_same_wamid_at_once_on_two_pods_is_stored_once(self, open_store: OpenStore) -> None:
        pods = [await open_store("pod-0"), await open_store("pod-1")]
        for index in range(20):
            item = replace(MESSAGE, wamid=f"w{index}")
            answers = await asyncio.gather(*(pod.ingest([item]) for pod in pods))
            assert sorted(answer[0].duplicate for answer in answers) == [False, True]

    async def test_a_customer_is_known_by_phone_and_by_user_id(self, store: Store) -> None:
        both = replace(MESSAGE, user_id="CL.1")
        hidden = replace(MESSAGE, wamid="w2", phone="", user_id="CL.1")
        ingested = await store.ingest([both, hidden])
        assert ingested[0].customer_id == ingested[1].customer_id
        claim = await claimed(store, ingested[0].customer_id)
        assert (claim.phone, claim.user_id) == ("56911112222", "CL.1")

    async def test_a_user_id_that_comes_later_is_learnt(self, store: Store) -> None:
        (first,) = await store.ingest([MESSAGE])
        await store.ingest([replace(MESSAGE, wamid="w2", user_id="CL.1")])
        (third,) = await store.ingest([replace(MESSAGE, wamid="w3", phone="", user_id="CL.1")])
        assert third.customer_id == first.customer_id

    async def test_a_customer_whom_the_database_has_forgotten_is_made_anew(self, store: Store, db: Database) -> None:
        await store.ingest([MESSAGE])
        # As after a restore from an older backup, beneath a pod that remembers who was who.
        for table in ("inbox", "customer_aliases", "conversations", "customers"):
            await db.sql(f"delete from {table}")
        (ingested,) = await store.ingest([replace(MESSAGE, wamid="w2")])
        assert not ingested.duplicate
        assert (await claimed(store, ingested.customer_id)).wamid == "w2"

    async def test_a_silent_message_is_stored_and_gets_no_turn(self, store: Store) -> None:
        (ingested,) = await store.ingest([replace(MESSAGE, state="silent")])
        assert (ingested.duplicate, ingested.customer_id) == (False, 0)
        assert (await store.ingest([MESSAGE]))[0].duplicate

    async def test_statuses_and_events_are_kept_once(self, store: Store) -> None:
        status = StatusItem("default/napoli", "11", "out1", "sent", 1, 0, "{}")
        event = EventItem("default/napoli", "11", "k", "user_preferences", "{}")
        assert [each.duplicate for each in await store.ingest([status, event, status, event])] == [
            False,
            False,
            True,
            True,
        ]

    async def test_one_bad_item_takes_back_its_own_batch_alone(self, store: Store) -> None:
        broken = replace(MESSAGE, wamid=None)  # type: ignore[arg-type]
        outcomes = await asyncio.gather(
            store.ingest([replace(MESSAGE, wamid="a")]),
            store.ingest([replace(MESSAGE, wamid="b", phone="5690"), broken]),
            store.ingest([replace(MESSAGE, wamid="c")]),
            return_exceptions=True,
        )
        assert isinstance(outcomes[1], Exception)
        again = await store.ingest([replace(MESSAGE, wamid=wamid, phone="5690") for wamid in ("a", "b", "c")])
        assert [each.duplicate for each in again] == [True, False, True]


class TestTurns:
    async def test_messages_are_claimed_in_the_order_they_were_sent(self, store: Store) -> None:
        items = [
            replace(MESSAGE, wamid=f"w{index}", sent_at=sent)
            for index, sent in enumerate((NOW + 3000, NOW + 1000, NOW + 2000, NOW + 1000))
        ]
        ingested = await store.ingest(items)
        order = []
        following = await store.claim(SCOPE, ingested[0].customer_id)
        while isinstance(following, Claim):
            order.append(following.wamid)
            following = (await store.finish(following, result())).next
        assert order == ["w1", "w3", "w2", "w0"]
        assert following is None

    async def test_a_turn_writes_state_order_and_messages_together(self, store: Store) -> None:
        sends = await one_turn(store, MESSAGE, result('{"a":1}', '{"b":2}', order=ORDER, state=b'{"node":"x"}'))
        assert [send.payload for send in sends] == ['{"a":1}', '{"b":2}']
        (order,) = await store.list_orders(SCOPE)
        assert (order.code, order.total, order.lines[0].quantity, order.tenant) == ("K7F2M", 19480, 2, "default/napoli")
        (ingested,) = await store.ingest([replace(MESSAGE, wamid="w2")])
        claim = await claimed(store, ingested.customer_id)
        assert (claim.state, claim.flow_version, claim.version) == (b'{"node":"x"}', "f1", 1)

    async def test_a_turn_cannot_be_written_twice(self, store: Store) -> None:
        (ingested,) = await store.ingest([MESSAGE])
        claim = await claimed(store, ingested.customer_id)
        await store.finish(claim, result("{}", order=ORDER))
        with pytest.raises(FencedError):
            await store.finish(claim, result("{}", order=ORDER))
        assert len(await store.list_orders(SCOPE)) == 1

    async def test_a_pod_that_lost_the_conversation_writes_nothing(self, open_store: OpenStore, db: Database) -> None:
        frozen, other = await open_store("pod-0"), await open_store("pod-1")
        (ingested,) = await frozen.ingest([MESSAGE])
        claim = await claimed(frozen, ingested.customer_id)
        assert await other.claim(SCOPE, ingested.customer_id) == Busy()
        # The frozen pod's heartbeat runs out, as seen by the database's clock.
        await expire(db, "pod-0")
        taken = await other.take_over()
        assert [waiting.customer_id for waiting in taken.conversations] == [ingested.customer_id]
        await other.finish(await claimed(other, ingested.customer_id), result('{"from":"other"}', order=ORDER))
        with pytest.raises(FencedError):
            await frozen.finish(claim, result('{"from":"frozen"}', order=ORDER))
        assert len(await other.list_orders(SCOPE)) == 1

    async def test_a_message_is_parked_after_five_tries_and_the_next_one_goes_on(self, store: Store) -> None:
        ingested = await store.ingest([MESSAGE, replace(MESSAGE, wamid="w2")])
        for attempt in range(1, 6):
            claim = await claimed(store, ingested[0].customer_id)
            assert (claim.wamid, claim.attempts) == ("w1", attempt)
        assert (await claimed(store, ingested[0].customer_id)).wamid == "w2"


class TestClaimedWithBeingStored:
    AT_ONCE = replace(MESSAGE, at_once=True)

    async def test_a_message_that_is_alone_is_taken_and_its_try_counted(self, store: Store) -> None:
        (ingested,) = await store.ingest([self.AT_ONCE])
        assert ingested.claim is not None
        assert (ingested.claim.wamid, ingested.claim.attempts, ingested.claim.phone) == ("w1", 1, "56911112222")
        assert (await store.finish(ingested.claim, result("{}"))).next is None

    async def test_what_was_there_before_is_not_taken_again(self, store: Store) -> None:
        await store.ingest([self.AT_ONCE])
        assert [each.claim for each in await store.ingest([self.AT_ONCE])] == [None]

    async def test_nothing_overtakes_a_turn_that_is_under_way(self, store: Store) -> None:
        (first,) = await store.ingest([self.AT_ONCE])
        (second,) = await store.ingest([replace(self.AT_ONCE, wamid="w2")])
        assert first.claim is not None
        assert second.claim is None
        following = (await store.finish(first.claim, result("{}"))).next
        assert isinstance(following, Claim)
        assert (following.wamid, following.version) == ("w2", 1)

    async def test_two_of_one_conversation_wait_for_their_order(self, store: Store) -> None:
        later = replace(self.AT_ONCE, wamid="w2", sent_at=NOW + 1000)
        assert [each.claim for each in await store.ingest([later, self.AT_ONCE])] == [None, None]

    async def test_each_tenant_gets_its_own(self, store: Store) -> None:
        other = replace(self.AT_ONCE, tenant="default/farol", phone_number_id="22", payload='{"text":{"body":"ola"}}')
        claims = [each.claim for each in await store.ingest([other, replace(MESSAGE, wamid="w9"), self.AT_ONCE])]
        assert [claim and (claim.tenant, claim.payload) for claim in claims] == [
            (other.tenant, other.payload),
            None,
            None,
        ]

    async def test_two_pods_never_take_two_messages_of_one_conversation(self, open_store: OpenStore) -> None:
        pods = [await open_store("pod-0"), await open_store("pod-1")]
        for turn in range(20):
            phone = f"5690000{turn:04}"
            items = [replace(self.AT_ONCE, phone=phone, wamid=f"w{turn}.{pod}") for pod in range(2)]
            stored = await asyncio.gather(*(pod.ingest([item]) for pod, item in zip(pods, items, strict=True)))
            assert sum(answers[0].claim is not None for answers in stored) <= 1


class TestOutbox:
    async def send(self, store: Store) -> PendingSend:
        (send,) = await one_turn(store, MESSAGE, result("{}"))
        return send

    async def state_of(self, db: Database, send: PendingSend) -> str:
        ((state,),) = await db.sql(f"select state from outbox where id = {send.outbox_id}")
        return str(state)

    async def test_a_send_begins_once(self, store: Store) -> None:
        send = await self.send(store)
        assert [await store.begin_send(send, PACE) for _ in range(2)] == [Begun(0), Refused("lost")]

    @pytest.mark.parametrize(
        ("statuses", "state"),
        [
            ((), "sent"),
            (("delivered",), "delivered"),
            (("read", "delivered", "sent"), "read"),
            (("failed",), "failed"),
            (("teleported",), "sent"),
        ],
    )
    async def test_statuses_raise_the_state_and_never_lower_it(
        self, store: Store, db: Database, statuses: tuple[str, ...], state: str
    ) -> None:
        send = await self.send(store)
        await store.begin_send(send, PACE)
        await store.finish_send(send, SendResult("sent", wamid="out1"))
        await store.ingest([status(name) for name in statuses])
        assert await self.state_of(db, send) == state

    async def test_a_status_before_the_sends_own_answer_is_not_lost(self, store: Store, db: Database) -> None:
        send = await self.send(store)
        await store.begin_send(send, PACE)
        await store.ingest([status("delivered")])
        await store.finish_send(send, SendResult("sent", wamid="out1"))
        assert await self.state_of(db, send) == "delivered"

    async def test_a_tagged_status_settles_a_send_of_unknown_outcome(self, store: Store, db: Database) -> None:
        send = await self.send(store)
        await store.begin_send(send, PACE)
        await store.finish_send(send, SendResult("unknown"))
        await store.ingest([status("sent", outbox_id=send.outbox_id)])
        assert await self.state_of(db, send) == "sent"

    async def test_a_status_of_another_number_settles_nothing(self, store: Store, db: Database) -> None:
        send = await self.send(store)
        await store.begin_send(send, PACE)
        await store.finish_send(send, SendResult("unknown"))
        await store.ingest([replace(status("sent", outbox_id=send.outbox_id), tenant="x/y", phone_number_id="99")])
        assert await self.state_of(db, send) == "unknown"

    async def test_an_unknown_send_goes_out_once_more_and_then_waits_for_people(
        self, open_store: OpenStore, db: Database
    ) -> None:
        store = await open_store(timing=Timing(unknown_ms=-1))
        send = await self.send(store)
        for again in (True, False):
            await store.begin_send(send, PACE)
            await store.finish_send(send, SendResult("unknown"))
            assert [each.outbox_id for each in (await store.take_over()).sends] == [send.outbox_id] * again
        assert (await store.take_over()).sends == ()
        assert await self.state_of(db, send) == "unknown"

    async def test_costs_are_written_once_from_the_one_pricing_object(self, store: Store, db: Database) -> None:
        priced = replace(status("sent"), category="service", pricing_type="regular", pricing_model="PMP")
        await store.ingest([priced, replace(priced, status="delivered"), status("read")])

        assert await db.sql("select wamid, category, type from costs") == [("out1", "service", "regular")]


class TestTakeover:
    async def test_what_a_dead_pod_left_is_taken_and_what_a_living_one_has_is_not(
        self, open_store: OpenStore, db: Database
    ) -> None:
        dead, living = await open_store("pod-0"), await open_store("pod-1")
        sends = await one_turn(dead, MESSAGE, result("{}", "{}"))
        await dead.begin_send(sends[0], PACE)
        await dead.ingest([replace(MESSAGE, wamid="w2")])
        assert (await living.take_over()).conversations == ()
        await expire(db, "pod-0")
        left = await living.take_over()
        # The send under way at the death is of unknown outcome: it waits for a status first.
        assert [each.outbox_id for each in left.sends] == [sends[1].outbox_id]
        assert len(left.conversations) == 1
        assert (await living.take_over()).conversations == ()

    async def test_a_restarted_pod_takes_its_own_at_once(self, open_store: OpenStore) -> None:
        first = await open_store("pod-0", "pod-0:1")
        await first.ingest([MESSAGE])
        second = await open_store("pod-0", "pod-0:2")
        assert len((await second.take_over()).conversations) == 1

    async def test_what_a_pod_forgot_is_handed_to_it_again(self, open_store: OpenStore) -> None:
        store = await open_store()
        sending, queued = await one_turn(store, MESSAGE, result("{}", "{}"))
        await store.begin_send(sending, PACE)
        await store.ingest([replace(MESSAGE, wamid="w2")])
        assert await store.take_over() == Takeover()
        forgetful = await open_store(timing=Timing(forgotten_ms=-1))  # the same process, later
        left = await forgetful.take_over()
        assert len(left.conversations) == 1
        # The one under way is of unknown outcome now; a status, or time, decides about it.
        assert [each.outbox_id for each in left.sends] == [queued.outbox_id]


class TestOrders:
    async def test_every_order_is_listed_however_many_there_are(self, store: Store) -> None:
        count = 1100
        items = [replace(MESSAGE, wamid=f"w{index}", phone=f"5690000{index:04}") for index in range(count)]
        for ingested in await store.ingest(items):
            await store.finish(await claimed(store, ingested.customer_id), result(order=ORDER))
        orders = await store.list_orders(SCOPE)
        assert len(orders) == count
        assert all(len(order.lines) == 1 and order.payment == "Efectivo" for order in orders)
        assert await store.list_orders(TenantScope("default/other", "22")) == []


class TestVersions:
    async def test_a_flow_is_published_once_and_kept(self, store: Store) -> None:
        tenant = PublishedTenant("default/napoli", "11", "w", "Napoli", "standard", "f1", '{"a":1}', "m1", "{}")
        assert await store.publish([tenant], "test") == 1
        assert await store.publish([tenant], "test") == 0
        assert await store.publish([replace(tenant, flow_version="f2", flow='{"a":2}')], "test") == 1
        assert await store.flow_document(SCOPE, "f1") == '{"a":1}'
        assert await store.flow_document(TenantScope("default/other", "11"), "f1") is None


def status(name: str, outbox_id: int = 0) -> StatusItem:
    rank = {"sent": 1, "delivered": 2, "read": 3}.get(name, 0)
    return StatusItem(
        "default/napoli", "11", "out1", name, rank, outbox_id, "{}", error_code=131026 if name == "failed" else 0
    )


async def expire(db: Database, pod: str) -> None:
    await db.sql(f"update workers set seen_at = 0 where pod = '{pod}'")
