"""What `POST /{phone_number_id}/messages` accepts and refuses, over HTTP."""

from __future__ import annotations

import io

import pytest

from comanda_contract.cloud import limits
from comanda_contract.cloud.graph_errors import parse_error
from tests.test_simulator.harness import (
    CUSTOMER,
    DISPLAY,
    FOREIGN,
    NUMBER,
    SISTER,
    TEMPLATE,
    TEXT,
    TOKEN,
    Json,
    Receiver,
    Simulator,
    run_simulator,
)


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (100, b"{"),
        (100, b"[]"),
        (100, b"\xff"),
        (100, b'{"to":"+56933334444","type":"text","text":{"body":"x"}}'),
        (100, b'{"messaging_product":"whatsapp","type":"text","text":{"body":"x"}}'),
        (100, b'{"messaging_product":"whatsapp","to":56933334444,"type":"text","text":{"body":"x"}}'),
        (131009, b'{"messaging_product":"whatsapp","to":"12","type":"text","text":{"body":"x"}}'),
        (131009, b'{"messaging_product":"whatsapp","to":"CL.ABC123","type":"text","text":{"body":"x"}}'),
        (131009, b'{"messaging_product":"whatsapp","recipient":"ABC","type":"text","text":{"body":"x"}}'),
        (100, b'{"messaging_product":"whatsapp","to":"+56933334444","text":{"body":"' + b"x" * 1_100_000 + b'"}}'),
    ],
)
async def test_malformed_envelope_is_refused(sim: Simulator, code: int, body: bytes) -> None:
    _, answer = await sim.call("POST", f"/v26.0/{NUMBER}/messages", data=io.BytesIO(body))
    assert answer["error"]["code"] == code


@pytest.mark.parametrize(("token", "code"), [(None, 190), ("wrong", 190), ("", 190)])
async def test_wrong_token_is_refused(sim: Simulator, token: str | None, code: int) -> None:
    status, answer = await sim.send(TEXT, token=token)
    assert (status, answer["error"]["code"]) == (401, code)


@pytest.mark.parametrize("number", ["404", FOREIGN])
async def test_number_the_token_may_not_see_does_not_exist(sim: Simulator, number: str) -> None:
    status, answer = await sim.send(TEXT, number=number)
    assert (status, answer["error"]["code"], answer["error"]["error_subcode"]) == (400, 100, 33)


async def test_one_token_speaks_for_every_number_that_carries_it(sim: Simulator) -> None:
    await sim.write(phone_number_id=SISTER)
    assert await sim.send_text(number=SISTER, token=TOKEN)


async def test_unversioned_path_is_unknown(sim: Simulator) -> None:
    async with sim.http.post(f"{sim.url}/{NUMBER}/messages", json=TEXT) as response:
        assert response.status == 404


async def test_business_cannot_write_to_itself(sim: Simulator) -> None:
    _, answer = await sim.send(TEXT, to=DISPLAY)
    assert answer["error"]["code"] == 131021


async def test_customer_without_phone_is_reached_by_user_id(sim: Simulator) -> None:
    await sim.write(sender="", user_id="CL.HIDDEN1")
    status, answer = await sim.send(TEXT | {"recipient": "CL.HIDDEN1"}, to=None)
    assert status == 200
    assert answer["contacts"] == [{"input": "CL.HIDDEN1", "user_id": "CL.HIDDEN1"}]
    await sim.receiver.until(lambda: len(sim.receiver.statuses) >= 2)
    assert {item["recipient_user_id"] for item in sim.receiver.statuses} == {"CL.HIDDEN1"}
    assert all("recipient_id" not in item for item in sim.receiver.statuses)


async def test_to_wins_over_recipient(sim: Simulator) -> None:
    await sim.write()
    _, answer = await sim.send(TEXT | {"recipient": "CL.SOMEBODY"})
    assert answer["contacts"][0]["wa_id"] == CUSTOMER


# --- Window ----------------------------------------------------------------------------------------------------------


async def test_free_form_message_needs_the_customer_first(sim: Simulator) -> None:
    _, answer = await sim.send(TEXT)
    assert answer["error"]["code"] == 131047


async def test_window_closes_after_a_day_and_a_new_message_opens_it(sim: Simulator) -> None:
    await sim.write()
    sim.clock.advance(24 * 3600 - 1)
    await sim.send_text()
    sim.clock.advance(1)
    _, answer = await sim.send(TEXT)
    assert answer["error"]["code"] == 131047
    await sim.write()
    await sim.send_text()


async def test_window_counts_from_the_messages_own_time(sim: Simulator) -> None:
    await sim.write(timestamp=int(sim.clock.now) - 25 * 3600)
    _, answer = await sim.send(TEXT)
    assert answer["error"]["code"] == 131047


async def test_template_goes_outside_the_window(sim: Simulator) -> None:
    status, answer = await sim.send(TEMPLATE)
    assert status == 200
    assert answer["messages"][0]["message_status"] == "accepted"


async def test_window_belongs_to_one_number(sim: Simulator) -> None:
    await sim.write(phone_number_id=SISTER)
    _, answer = await sim.send(TEXT)
    assert answer["error"]["code"] == 131047


async def test_window_is_not_enforced_when_switched_off(receiver: Receiver) -> None:
    async with run_simulator(receiver, enforce_window=False) as sim:
        await sim.send_text()


# --- Rates -----------------------------------------------------------------------------------------------------------


async def test_number_may_move_eighty_messages_a_second_both_ways_together(sim: Simulator) -> None:
    await sim.write()
    for customer in range(limits.MESSAGES_PER_SECOND - 1):
        status, _ = await sim.send(TEMPLATE, to=f"569{customer:08}")
        assert status == 200
    status, answer = await sim.send(TEMPLATE, to="56900009999")
    assert (status, answer["error"]["code"], answer["error"]["is_transient"]) == (429, 130429, True)
    sim.clock.advance(1)
    assert (await sim.send(TEMPLATE, to="56900009999"))[0] == 200


async def test_throughput_of_another_number_is_its_own(sim: Simulator) -> None:
    for customer in range(limits.MESSAGES_PER_SECOND):
        await sim.send(TEMPLATE, to=f"569{customer:08}")
    assert (await sim.send(TEMPLATE, number=SISTER))[0] == 200


async def test_same_customer_takes_a_burst_and_then_one_message_in_six_seconds(sim: Simulator) -> None:
    await sim.write()
    for _ in range(limits.PAIR_BURST):
        await sim.send_text()
    status, answer = await sim.send(TEXT)
    assert (status, answer["error"]["code"]) == (429, 131056)
    sim.clock.advance(limits.PAIR_SECONDS)
    await sim.send_text()
    assert (await sim.send(TEXT))[1]["error"]["code"] == 131056
    assert (await sim.send(TEMPLATE, to="56900000001"))[0] == 200


async def test_limits_are_not_enforced_when_switched_off(receiver: Receiver) -> None:
    async with run_simulator(receiver, enforce_limits=False, enforce_pair_limit=False) as sim:
        await sim.write()
        for _ in range(limits.MESSAGES_PER_SECOND + 5):
            await sim.send_text()


# --- Read marks ------------------------------------------------------------------------------------------------------


async def test_message_is_marked_read_and_typing_shown(sim: Simulator) -> None:
    wamid = (await sim.write())["wamid"]
    mark = {"status": "read", "message_id": wamid, "typing_indicator": {"type": "text"}}
    status, answer = await sim.send(mark, to=None)
    assert (status, answer) == (200, {"success": True})
    [entry] = await sim.ledger(direction="mark")
    assert (entry["wamid"], entry["customer"]) == (wamid, CUSTOMER)
    assert entry["payload"]["typing_indicator"] == {"type": "text"}


@pytest.mark.parametrize(
    ("code", "mark"),
    [
        (131008, {"status": "read"}),
        (131009, {"status": "read", "message_id": "wamid.unknown"}),
        (131009, {"status": "unread", "message_id": "wamid.unknown"}),
        (131009, {"status": "read", "message_id": "wamid.unknown", "typing_indicator": {"type": "smoke"}}),
    ],
)
async def test_wrong_mark_is_refused(sim: Simulator, code: int, mark: Json) -> None:
    _, answer = await sim.send(mark, to=None)
    assert answer["error"]["code"] == code


async def test_message_of_another_number_cannot_be_marked(sim: Simulator) -> None:
    wamid = (await sim.write(phone_number_id=SISTER))["wamid"]
    _, answer = await sim.send({"status": "read", "message_id": wamid}, to=None)
    assert answer["error"]["code"] == 131009


async def test_reaction_goes_to_a_recent_message_only(sim: Simulator) -> None:
    wamid = (await sim.write())["wamid"]
    reaction = {"type": "reaction", "reaction": {"message_id": wamid, "emoji": "👍"}}
    assert (await sim.send(reaction))[0] == 200
    sim.clock.advance(31 * 24 * 3600)
    await sim.write()
    assert (await sim.send(reaction))[1]["error"]["code"] == 131009


async def test_refusal_reads_as_the_contracts_error(sim: Simulator) -> None:
    async with sim.http.post(f"{sim.url}/v26.0/{NUMBER}/messages", json=TEXT) as response:
        error = parse_error(await response.read())
    assert error is not None
    assert (error.code, error.type) == (190, "OAuthException")
