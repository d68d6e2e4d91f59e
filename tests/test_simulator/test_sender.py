"""Webhooks as the router gets them: shape, signature, retries, and every fault."""

from __future__ import annotations

import hashlib
import hmac
import json

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from comanda_contract.cloud import limits
from comanda_contract.cloud.graph_errors import parse_error
from comanda_contract.cloud.messages_in import parse_contact, parse_message
from comanda_contract.cloud.webhook import decode_envelope, decode_value
from comanda_simulator.inbound import InboundRequest, receive
from comanda_simulator.payloads import Update, build_body, sign
from tests.test_simulator.harness import (
    CUSTOMER,
    FOREIGN,
    FOREIGN_WABA,
    NUMBER,
    OTHER_SECRET,
    SECRET,
    SISTER,
    TEMPLATE,
    TEXT,
    WABA,
    Post,
    Receiver,
    Simulator,
    run_simulator,
)


def expected_signature(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def wamids(post: Post) -> list[str]:
    return [item["id"] for _, value in post.changes for item in value.get("messages", [])]


async def test_customers_message_arrives_as_meta_builds_it(sim: Simulator) -> None:
    answer = await sim.write("¿Tienen pizza? 🍕", wait=True)
    assert answer["acked"]
    [post] = sim.receiver.posts
    [(waba, value)] = post.changes
    assert post.json["object"] == "whatsapp_business_account"
    assert waba == WABA
    assert value["messaging_product"] == "whatsapp"
    assert value["metadata"] == {"display_phone_number": "56911112222", "phone_number_id": NUMBER}
    [contact], [message] = value["contacts"], value["messages"]
    assert contact["profile"] == {"name": "Ana"}
    assert contact["wa_id"] == message["from"] == CUSTOMER
    assert contact["user_id"] == message["from_user_id"]
    assert message["id"] == answer["wamid"]
    assert message["timestamp"] == str(int(sim.clock.now))
    assert message["text"] == {"body": "¿Tienen pizza? 🍕"}


async def test_contract_reads_the_webhook(sim: Simulator) -> None:
    await sim.write("hola", wait=True)
    [entry] = decode_envelope(sim.receiver.posts[0].body).entry or []
    [change] = entry.changes or []
    value = decode_value(change.value)
    [raw_contact], [raw_message] = value.contacts or [], value.messages or []
    assert parse_contact(bytes(raw_contact)).name == "Ana"
    assert parse_message(bytes(raw_message)).words == "hola"


async def test_body_is_signed_with_the_secret_of_the_numbers_app(sim: Simulator) -> None:
    await sim.write("ñandú 🍕 @ / \\", wait=True)
    await sim.write(wait=True, phone_number_id=FOREIGN)
    first, second = sim.receiver.posts
    assert (first.path, first.signature) == ("/webhook", expected_signature(SECRET, first.body))
    assert (second.path, second.signature) == ("/webhook/sushi", expected_signature(OTHER_SECRET, second.body))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.binary())
def test_signature_is_hmac_sha256_of_the_raw_bytes(secret: str, body: bytes) -> None:
    assert sign(secret, body) == expected_signature(secret, body)


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers()), min_size=1), st.booleans())
def test_batched_updates_all_arrive_under_their_account(updates: list[tuple[str, int]], escape: bool) -> None:  # noqa: FBT001 - given by hypothesis
    built = [Update(waba_id=waba, value=json.dumps({"n": number, "t": "ñ🍕"}).encode()) for waba, number in updates]
    body = json.loads(build_body(built, escape_unicode=escape))
    found = [(entry["id"], change["value"]["n"]) for entry in body["entry"] for change in entry["changes"]]
    assert sorted(found) == sorted(updates)
    assert len({entry["id"] for entry in body["entry"]}) == len(body["entry"])


async def test_escaped_body_is_ascii_and_signed_as_sent(receiver: Receiver) -> None:
    async with run_simulator(receiver, escape_unicode=True) as sim:
        await sim.write("ñandú 🍕", wait=True)
    [post] = receiver.posts
    assert post.body.isascii()
    assert post.signature == expected_signature(SECRET, post.body)
    assert receiver.messages[0]["text"]["body"] == "ñandú 🍕"


@pytest.mark.parametrize("status", [204, 301, 400, 403, 500, 503])
async def test_every_answer_but_200_is_retried(sim: Simulator, status: int) -> None:
    sim.receiver.script.extend([status, status, status])
    answer = await sim.write(wait=True)
    assert answer["acked"]
    assert [post.status for post in sim.receiver.posts] == [status, status, status, 200]
    assert {post.body for post in sim.receiver.posts} == {sim.receiver.posts[0].body}
    _, stats = await sim.call("GET", "/simulator/stats")
    assert stats["webhooks"] == {
        "submitted": 1,
        "posted": 4,
        "acked": 1,
        "refused": 3,
        "retried": 3,
        "duplicated": 0,
        "dropped": 0,
        "pending": 0,
    }


async def test_endpoint_that_is_away_gets_the_message_when_it_is_back(receiver: Receiver) -> None:
    url = receiver.url
    receiver.url = "http://127.0.0.1:9/webhook"
    async with run_simulator(receiver) as sim:
        await sim.write()
        sim.cloud.apply(replace(sim.cloud.config, webhook_url=url))
        await receiver.until(lambda: len(receiver.messages) == 1)


async def test_webhook_is_dropped_when_the_window_closes(receiver: Receiver) -> None:
    receiver.script.extend([500] * 50)
    async with run_simulator(receiver, retry_window_seconds=0.0) as sim:
        answer = await sim.write()
        await receiver.until(lambda: len(receiver.posts) == 1)
        assert (await sim.ledger())[0]["acked"] is False
        assert sim.cloud.sender.stats["dropped"] == 1
        assert answer["wamid"] == wamids(receiver.posts[0])[0]


async def test_webhooks_in_flight_are_bounded(receiver: Receiver) -> None:
    async with run_simulator(receiver, webhook_concurrency=2) as sim:
        receiver.gate.clear()
        for number in range(6):
            await sim.write(str(number))
        await receiver.until(lambda: receiver.waiting == 2)
        _, stats = await sim.call("GET", "/simulator/stats")
        assert (stats["webhooks"]["posted"], stats["webhooks"]["pending"]) == (2, 6)
        receiver.gate.set()
        await receiver.until(lambda: len(receiver.messages) == 6)
    assert receiver.most_waiting == 2


async def test_endpoint_that_answers_too_late_is_tried_again(receiver: Receiver) -> None:
    async with run_simulator(receiver, webhook_timeout_seconds=0.05) as sim:
        receiver.gate.clear()
        wamid = (await sim.write())["wamid"]
        await receiver.until(lambda: receiver.most_waiting >= 2)
        receiver.gate.set()
        await receiver.until(lambda: wamid in [item["id"] for item in receiver.messages])


async def test_ledger_says_which_messages_were_acknowledged(sim: Simulator) -> None:
    await sim.write(wait=True)
    sim.receiver.gate.clear()
    await sim.write()
    assert [entry["acked"] for entry in await sim.ledger()] == [True, False]


# --- Faults ----------------------------------------------------------------------------------------------------------


async def test_duplicate_posts_the_same_message_twice(sim: Simulator) -> None:
    await sim.faults(duplicate=1)
    wamid = (await sim.write())["wamid"]
    await sim.receiver.until(lambda: len(sim.receiver.posts) == 2)
    assert [wamids(post) for post in sim.receiver.posts] == [[wamid], [wamid]]
    assert sim.cloud.sender.stats["duplicated"] == 1


async def test_reorder_lets_later_messages_overtake(sim: Simulator) -> None:
    await sim.faults(reorder=0.5, reorder_window_seconds=0.2, seed=7)
    sent = [(await sim.write(str(number)))["wamid"] for number in range(12)]
    await sim.receiver.until(lambda: len(sim.receiver.messages) == 12)
    received = [item["id"] for item in sim.receiver.messages]
    assert sorted(received) == sorted(sent)
    assert received != sent


async def test_batch_merges_updates_of_several_numbers_of_one_app(sim: Simulator) -> None:
    await sim.faults(batch=4, batch_window_seconds=0.5)
    for number in (NUMBER, SISTER, NUMBER, FOREIGN, SISTER):
        await sim.write(phone_number_id=number)
    await sim.receiver.until(lambda: len(sim.receiver.messages) == 5)
    numbers = [[value["metadata"]["phone_number_id"] for _, value in post.changes] for post in sim.receiver.posts]
    assert [NUMBER, SISTER, NUMBER, SISTER] in numbers
    assert [FOREIGN] in numbers
    assert all(
        post.signature == expected_signature(SECRET, post.body)
        for post in sim.receiver.posts
        if post.path == "/webhook"
    )


async def test_batch_puts_accounts_of_one_app_side_by_side(receiver: Receiver) -> None:
    async with run_simulator(receiver) as sim:
        numbers = tuple(replace(number, app="default") for number in sim.cloud.config.numbers)
        sim.cloud.apply(replace(sim.cloud.config, numbers=numbers))
        await sim.faults(batch=2, batch_window_seconds=30)
        await sim.write()
        await sim.write(phone_number_id=FOREIGN)
        await receiver.until(lambda: len(receiver.messages) == 2)
    assert [waba for waba, _ in receiver.posts[0].changes] == [WABA, FOREIGN_WABA]


async def test_batch_stays_below_metas_largest_body(sim: Simulator) -> None:
    await sim.faults(batch=40, batch_window_seconds=0.2)
    message = {"type": "text", "text": {"body": "x" * 100_000}}
    for _ in range(40):
        receive(sim.cloud, InboundRequest(phone_number_id=NUMBER, sender=CUSTOMER, message=message))
    await sim.receiver.until(lambda: len(sim.receiver.messages) == 40)
    assert len(sim.receiver.posts) == 2
    assert all(len(post.body) <= limits.WEBHOOK_BYTES for post in sim.receiver.posts)


async def test_refused_batch_may_be_retried_in_another_shape(sim: Simulator) -> None:
    await sim.faults(batch=3, batch_window_seconds=30)
    sim.receiver.script.append(500)
    sim.receiver.gate.clear()
    sent = {(await sim.write(str(number)))["wamid"] for number in range(3)}
    await sim.faults()
    sim.receiver.gate.set()
    await sim.receiver.until(lambda: len(sim.receiver.messages) == 3)
    assert {item["id"] for item in sim.receiver.messages} == sent
    assert len(sim.receiver.posts[0].changes) == 3
    assert len(sim.receiver.accepted) == 3


async def test_delay_holds_every_webhook(sim: Simulator) -> None:
    await sim.faults(delay_seconds=3600)
    await sim.write()
    await sim.faults()
    await sim.write("second", wait=True)
    assert [item["text"]["body"] for item in sim.receiver.messages] == ["second"]


async def test_status_may_come_before_the_answer_to_the_send(sim: Simulator) -> None:
    await sim.write(wait=True)
    await sim.faults(status_first=1)
    wamid = await sim.send_text()
    assert sim.receiver.statuses_of(wamid)[:1] == ["sent"]


async def test_graph_that_is_down_answers_503_everywhere(sim: Simulator) -> None:
    await sim.write()
    await sim.faults(graph_down=True)
    for answer in (await sim.send(TEXT), await sim.call("GET", f"/v26.0/{NUMBER}")):
        assert answer[0] == 503
        assert answer[1]["error"]["is_transient"] is True
    await sim.faults()
    await sim.send_text()


async def test_slow_graph_answers_late(sim: Simulator) -> None:
    await sim.write()
    await sim.faults(graph_slow_seconds=3600)
    with pytest.raises(TimeoutError):
        await sim.call("POST", f"/v26.0/{NUMBER}/messages", json=TEXT, timeout=aiohttp.ClientTimeout(total=0.05))


async def test_lost_answer_drops_the_connection_of_an_accepted_send(sim: Simulator) -> None:
    await sim.write()
    await sim.faults(graph_lose_answer=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await sim.send(TEXT | {"biz_opaque_callback_data": "turn-1"})
    [entry] = await sim.ledger(direction="out")
    await sim.receiver.until(lambda: "delivered" in sim.receiver.statuses_of(entry["wamid"]))
    assert {item["biz_opaque_callback_data"] for item in sim.receiver.statuses} == {"turn-1"}


@pytest.mark.parametrize(("code", "status"), [(131016, 503), (130429, 429), (190, 401), (131026, 400), (131000, 500)])
async def test_graph_error_refuses_with_the_code_asked_for(sim: Simulator, code: int, status: int) -> None:
    await sim.write()
    await sim.faults(graph_error={"code": code})
    answer = await sim.send(TEXT)
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)
    error = parse_error(json.dumps(answer[1]).encode())
    assert error is not None
    assert error.code == code
    assert not await sim.ledger(direction="out")


async def test_accepted_send_may_fail_later(sim: Simulator) -> None:
    await sim.write(wait=True)
    await sim.faults(fail_later={"code": 131026})
    wamid = await sim.send_text()
    await sim.receiver.until(lambda: sim.receiver.statuses_of(wamid) == ["failed"])
    [status] = sim.receiver.statuses
    assert status["errors"][0]["code"] == 131026
    assert "pricing" not in status
    assert "contacts" not in sim.receiver.posts[-1].changes[0][1]


async def test_same_seed_strikes_the_same_sends(sim: Simulator) -> None:
    outcomes = []
    for _ in range(2):
        await sim.faults(graph_error={"code": 131000, "probability": 0.5}, seed=11)
        outcomes.append([(await sim.send(TEMPLATE, to=f"5690000{n:04}"))[0] for n in range(16)])
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0]) == {200, 500}


@pytest.mark.parametrize(
    "faults", [{"duplicate": 2}, {"batch": 0}, {"unknown": 1}, {"graph_error": {}}, {"delay_seconds": -1}]
)
async def test_impossible_faults_are_refused(sim: Simulator, faults: dict[str, object]) -> None:
    status, answer = await sim.call("PUT", "/simulator/faults", json=faults)
    assert (status, answer["code"]) == (400, "simulator_control")


async def test_override_of_an_account_takes_its_webhooks_elsewhere(sim: Simulator) -> None:
    target = sim.receiver.url + "/elsewhere"
    override = {"override_callback_uri": target, "verify_token": sim.receiver.verify_token}
    assert await sim.call("POST", f"/v26.0/{WABA}/subscribed_apps", json=override) == (200, {"success": True})
    await sim.write(wait=True)
    assert sim.receiver.posts[-1].path == "/webhook/elsewhere"
    await sim.call("POST", f"/v26.0/{WABA}/subscribed_apps")
    await sim.write(wait=True)
    assert sim.receiver.posts[-1].path == "/webhook"


async def test_override_needs_the_right_challenge(sim: Simulator) -> None:
    override = {"override_callback_uri": sim.receiver.url, "verify_token": "wrong"}
    status, answer = await sim.call("POST", f"/v26.0/{WABA}/subscribed_apps", json=override)
    assert (status, answer["error"]["code"]) == (400, 100)


async def test_unsubscribed_account_is_silent(sim: Simulator) -> None:
    await sim.call("DELETE", f"/v26.0/{WABA}/subscribed_apps")
    await sim.write()
    await sim.send_text()
    await sim.write(wait=True, phone_number_id=FOREIGN)
    assert [post.path for post in sim.receiver.posts] == ["/webhook/sushi"]
