"""The control API: customers write, checkers look, the page follows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.test_simulator.harness import (
    CUSTOMER,
    FOREIGN,
    NUMBER,
    OTHER_TOKEN,
    SECRET,
    SISTER,
    TEXT,
    TOKEN,
    Json,
    Receiver,
    Simulator,
    run_simulator,
)


@asynccontextmanager
async def events(
    sim: Simulator, *, last_event_id: str = "", acks: bool = False, **query: str | int
) -> AsyncIterator[AsyncIterator[Json]]:
    """Follow the event stream; yields parsed events `{event, id, data}`, those of kind `acked` only when asked for."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    timeout = aiohttp.ClientTimeout(total=20)
    async with sim.http.get(f"{sim.url}/simulator/events", params=query, headers=headers, timeout=timeout) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")

        async def read() -> AsyncIterator[Json]:
            fields: Json = {}
            async for line in response.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "data" in fields:
                    if acks or fields["event"] != "acked":
                        yield fields | {"data": json.loads(fields["data"])}
                    fields = {}

        yield read()


async def take(stream: AsyncIterator[Json], count: int) -> list[Json]:
    return [await anext(stream) for _ in range(count)]


# --- Customers write -------------------------------------------------------------------------------------------------


async def test_own_wamid_and_timestamp_are_kept(sim: Simulator) -> None:
    answer = await sim.write(wamid="wamid.MINE", timestamp=1_700_000_000, wait=True)
    assert answer == {"wamid": "wamid.MINE", "acked": True}
    [message] = sim.receiver.messages
    assert (message["id"], message["timestamp"]) == ("wamid.MINE", "1700000000")


async def test_customer_known_by_user_id_has_no_phone_in_the_webhook(sim: Simulator) -> None:
    await sim.write(wait=True, sender="", user_id="CL.HIDDEN1", name="")
    [(_, value)] = sim.receiver.posts[0].changes
    assert value["contacts"] == [{"user_id": "CL.HIDDEN1"}]
    assert "from" not in value["messages"][0]
    assert value["messages"][0]["from_user_id"] == "CL.HIDDEN1"


async def test_phone_once_shown_joins_the_user_id(sim: Simulator) -> None:
    await sim.write(user_id="CL.KNOWN1")
    await sim.write(sender="", user_id="CL.KNOWN1")
    assert {entry["customer"] for entry in await sim.ledger()} == {CUSTOMER}


async def test_user_id_of_a_phone_is_stable_within_an_account_and_differs_between(sim: Simulator) -> None:
    for number in (NUMBER, SISTER, FOREIGN):
        await sim.write(phone_number_id=number, wait=True)
    one, sister, foreign = [item["from_user_id"] for item in sim.receiver.messages]
    assert one == sister != foreign


async def test_customers_get_no_user_id_when_switched_off(receiver: Receiver) -> None:
    async with run_simulator(receiver, user_ids=False) as sim:
        await sim.write(wait=True)
    assert "from_user_id" not in receiver.messages[0]


async def test_any_message_type_passes_as_it_is(sim: Simulator) -> None:
    message = {"type": "location", "location": {"latitude": 1.5, "longitude": 2.5}, "context": {"id": "wamid.X"}}
    await sim.write(message=message, wait=True)
    [received] = sim.receiver.messages
    assert {key: received[key] for key in message} == message


async def test_system_message_has_no_contact(sim: Simulator) -> None:
    await sim.write(message={"type": "system", "system": {"type": "user_changed_number"}}, wait=True)
    assert "contacts" not in sim.receiver.posts[0].changes[0][1]


async def test_waiting_ends_at_its_limit_when_nobody_acknowledges(sim: Simulator) -> None:
    sim.receiver.gate.clear()
    request = {"phone_number_id": NUMBER, "from": CUSTOMER, "message": TEXT}
    _, answer = await sim.call("POST", "/simulator/messages?wait=acked&timeout=0.05", json=request)
    assert answer["acked"] is False


@pytest.mark.parametrize(
    ("status", "code", "change"),
    [
        (404, "unknown_number", {"phone_number_id": "404"}),
        (400, "simulator_control", {"from": ""}),
        (400, "simulator_control", {"from": "+56933334444"}),
        (400, "simulator_control", {"message": {}}),
        (400, "simulator_control", {"message": "hola"}),
        (400, "simulator_control", {"unknown": 1}),
        (400, "simulator_control", {"timestamp": "yesterday"}),
    ],
)
async def test_wrong_request_is_refused_with_a_sentence(sim: Simulator, status: int, code: str, change: Json) -> None:
    request = {"phone_number_id": NUMBER, "from": CUSTOMER, "message": TEXT} | change
    answered, error = await sim.call("POST", "/simulator/messages", json=request)
    assert (answered, error["code"]) == (status, code)
    assert error["message"]


# --- Raw webhooks ----------------------------------------------------------------------------------------------------


async def test_raw_body_is_signed_and_posted_once(sim: Simulator) -> None:
    sim.receiver.script.append(503)
    body = '{"object":"odd","n":"ñ"}'.encode()
    _, answer = await sim.call("POST", "/simulator/webhooks", data=body)
    assert answer == {"status": 503, "body": "ok"}
    [post] = sim.receiver.posts
    assert post.body == body
    assert post.signature.startswith("sha256=")


async def test_raw_body_may_carry_a_wrong_signature(sim: Simulator) -> None:
    await sim.call("POST", "/simulator/webhooks?app=sushi&signature=sha256=00", data=b"{}")
    [post] = sim.receiver.posts
    assert (post.path, post.signature) == ("/webhook/sushi", "sha256=00")


async def test_raw_body_for_an_unknown_app_is_refused(sim: Simulator) -> None:
    assert (await sim.call("POST", "/simulator/webhooks?app=hats", data=b"{}"))[0] == 404


@pytest.mark.parametrize(("token", "verified"), [("verify-me", True), ("other", False)])
async def test_challenge_tells_whether_the_endpoint_knows_the_token(
    sim: Simulator,
    token: str,
    verified: bool,  # noqa: FBT001 - a case
) -> None:
    sim.receiver.verify_token = token
    assert await sim.call("POST", "/simulator/verifications") == (200, {"verified": verified})


# --- Looking ---------------------------------------------------------------------------------------------------------


async def test_ledger_lists_everything_in_order(sim: Simulator) -> None:
    received = (await sim.write())["wamid"]
    sent = await sim.send_text("Hola")
    await sim.receiver.until(lambda: len(sim.receiver.statuses_of(sent)) == 2)
    await sim.send({"status": "read", "message_id": received}, to=None)
    entries = await sim.ledger(after=0)
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry["direction"] for entry in entries] == ["in", "out", "status", "status", "mark"]
    assert [entry["wamid"] for entry in entries] == [received, sent, sent, sent, received]
    assert {entry["phone_number_id"] for entry in entries} == {NUMBER}
    assert {entry["customer"] for entry in entries} == {CUSTOMER}
    assert entries[1]["payload"]["text"] == {"body": "Hola"}
    assert (await sim.ledger(after=3))[0]["seq"] == 4
    assert [entry["seq"] for entry in await sim.ledger(limit=2)] == [1, 2]
    assert [entry["seq"] for entry in await sim.ledger(last=2)] == [4, 5]


async def test_ledger_is_filtered(sim: Simulator) -> None:
    await sim.write()
    await sim.write(phone_number_id=SISTER)
    await sim.write(sender="56955556666")
    assert len(await sim.ledger(phone_number_id=SISTER)) == 1
    assert len(await sim.ledger(customer=CUSTOMER)) == 2
    assert len(await sim.ledger(customer=CUSTOMER, phone_number_id=NUMBER, direction="in")) == 1


async def test_ledger_keeps_only_its_newest_entries(receiver: Receiver) -> None:
    async with run_simulator(receiver, ledger_size=10) as sim:
        for number in range(25):
            await sim.write(str(number))
        assert [entry["seq"] for entry in await sim.ledger()] == list(range(16, 26))


async def test_odd_position_is_refused(sim: Simulator) -> None:
    assert (await sim.call("GET", "/simulator/ledger?after=x"))[0] == 400
    assert (await sim.call("GET", "/simulator/ledger?after=-1"))[0] == 400


async def test_events_bring_old_and_new_entries(sim: Simulator) -> None:
    await sim.write("first")
    async with events(sim, after=0) as stream:
        [hello, first] = await take(stream, 2)
        assert (hello["event"], hello["data"]["last"]) == ("hello", 1)
        assert first["data"]["payload"]["text"]["body"] == "first"
        await sim.write("second\nline")
        [second] = await take(stream, 1)
    assert second["data"]["payload"]["text"]["body"] == "second\nline"
    assert (first["id"], second["id"]) == ("1", "2")


async def test_events_resume_after_the_last_one_seen(sim: Simulator) -> None:
    for text in ("one", "two", "three"):
        await sim.write(text)
    async with events(sim, last_event_id="2", after=0) as stream:
        [_, third] = await take(stream, 2)
    assert third["data"]["payload"]["text"]["body"] == "three"


async def test_events_without_position_begin_now(sim: Simulator) -> None:
    await sim.write("old")
    async with events(sim) as stream:
        await take(stream, 1)
        await sim.write("new")
        [event] = await take(stream, 1)
    assert event["data"]["payload"]["text"]["body"] == "new"


async def test_events_are_filtered_by_number_and_customer(sim: Simulator) -> None:
    async with events(sim, after=0, phone_number_id=SISTER, customer=CUSTOMER) as stream:
        await sim.write("other number")
        await sim.write("other customer", phone_number_id=SISTER, sender="56955556666")
        await sim.write("mine", phone_number_id=SISTER)
        [_, event] = await take(stream, 2)
    assert event["data"]["payload"]["text"]["body"] == "mine"


async def test_pretty_printed_send_stays_one_event(sim: Simulator) -> None:
    await sim.write()
    body = json.dumps({"messaging_product": "whatsapp", "to": CUSTOMER} | TEXT, indent=2)
    async with events(sim, after=1) as stream:
        await sim.call("POST", f"/v26.0/{NUMBER}/messages", data=body)
        [_, event] = await take(stream, 2)
    assert event["data"]["payload"]["text"]["body"] == "hola"


async def test_events_tell_when_a_message_was_taken(sim: Simulator) -> None:
    sim.receiver.gate.clear()
    async with events(sim, acks=True, after=0) as stream:
        wamid = (await sim.write())["wamid"]
        [_, entry] = await take(stream, 2)
        assert entry["data"]["acked"] is False
        sim.receiver.gate.set()
        [taken] = await take(stream, 1)
    assert (taken["event"], taken["data"]) == ("acked", {"seq": 1, "wamid": wamid})
    assert "id" not in taken


async def test_stats_count_sends_and_refusals(sim: Simulator) -> None:
    await sim.write(wait=True)
    await sim.send_text()
    await sim.send(TEXT, token="wrong")
    _, stats = await sim.call("GET", "/simulator/stats")
    assert stats["sends"] == {"accepted": 1, "by_number": {NUMBER: 1}, "refused": {"190": 1}}
    assert stats["webhooks"]["acked"] >= 1


async def test_numbers_are_listed_without_their_tokens(sim: Simulator) -> None:
    async with sim.http.get(f"{sim.url}/simulator/numbers") as response:
        text = await response.text()
    assert [number["phone_number_id"] for number in json.loads(text)] == [NUMBER, SISTER, FOREIGN]
    assert not any(secret in text for secret in (TOKEN, OTHER_TOKEN, SECRET))


async def test_health_is_answered(sim: Simulator) -> None:
    async with sim.http.get(f"{sim.url}/healthz") as response:
        assert (response.status, await response.text()) == (200, "ok")
