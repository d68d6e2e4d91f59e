"""Numbers, accounts, tokens and media on the Graph API."""

from __future__ import annotations

import base64
import hashlib
import io

import aiohttp
import msgspec
import pytest

from comanda_contract.cloud import limits
from comanda_simulator.config import Standing
from tests.test_simulator.harness import (
    FOREIGN,
    FOREIGN_WABA,
    NUMBER,
    OTHER_TOKEN,
    SECRET,
    SISTER,
    TOKEN,
    WABA,
    Json,
    Simulator,
)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def upload(
    sim: Simulator, content: bytes = PNG, mime_type: str = "image/png", number: str = NUMBER
) -> tuple[int, Json]:
    form = aiohttp.FormData()
    form.add_field("messaging_product", "whatsapp")
    form.add_field("type", mime_type)
    form.add_field("file", io.BytesIO(content), filename="a.png", content_type=mime_type)
    return await sim.call("POST", f"/v26.0/{number}/media", data=form)


# --- Numbers and accounts --------------------------------------------------------------------------------------------


async def test_number_answers_its_usual_fields(sim: Simulator) -> None:
    _, node = await sim.call("GET", f"/v26.0/{NUMBER}")
    assert node == {
        "id": NUMBER,
        "display_phone_number": "+56911112222",
        "verified_name": "Pizzería Napoli",
        "quality_rating": "GREEN",
        "code_verification_status": "VERIFIED",
    }


async def test_number_answers_the_fields_asked_for(sim: Simulator) -> None:
    fields = (
        "status,throughput,platform_type,account_mode,health_status{can_send_message,entities},webhook_configuration"
    )
    _, node = await sim.call("GET", f"/v26.0/{NUMBER}", params={"fields": fields})
    assert node["status"] == "CONNECTED"
    assert node["throughput"] == {"level": "STANDARD"}
    assert (node["platform_type"], node["account_mode"]) == ("CLOUD_API", "LIVE")
    assert node["health_status"]["can_send_message"] == "AVAILABLE"
    assert node["webhook_configuration"] == {"application": sim.receiver.url}
    assert set(node) == {"id", "webhook_configuration", "health_status", *fields.partition(",health")[0].split(",")}


async def test_field_that_does_not_exist_is_refused(sim: Simulator) -> None:
    status, answer = await sim.call("GET", f"/v26.0/{NUMBER}?fields=id,hat_size")
    assert (status, answer["error"]["code"]) == (400, 100)
    assert "hat_size" in answer["error"]["message"]


async def test_account_lists_its_numbers(sim: Simulator) -> None:
    _, answer = await sim.call("GET", f"/v26.0/{WABA}/phone_numbers")
    assert [node["id"] for node in answer["data"]] == [NUMBER, SISTER]


async def test_account_names_the_subscribed_app(sim: Simulator) -> None:
    _, answer = await sim.call("GET", f"/v26.0/{FOREIGN_WABA}/subscribed_apps", token=OTHER_TOKEN)
    [data] = answer["data"]
    assert data["whatsapp_business_api_data"]["id"] == "300000000000002"
    assert await sim.call("POST", f"/v26.0/{WABA}/subscribed_apps") == (200, {"success": True})


@pytest.mark.parametrize(
    "path", [FOREIGN, FOREIGN_WABA, "404", f"{FOREIGN_WABA}/phone_numbers", f"{FOREIGN_WABA}/subscribed_apps"]
)
async def test_object_of_another_token_does_not_exist(sim: Simulator, path: str) -> None:
    status, answer = await sim.call("GET", f"/v26.0/{path}")
    assert (status, answer["error"]["code"], answer["error"]["error_subcode"]) == (400, 100, 33)


@pytest.mark.parametrize("path", [NUMBER, WABA, f"{WABA}/phone_numbers", "debug_token"])
async def test_every_object_needs_a_token(sim: Simulator, path: str) -> None:
    status, answer = await sim.call("GET", f"/v26.0/{path}", token=None)
    assert (status, answer["error"]["code"]) == (401, 190)


async def test_registration_wants_a_pin_of_six_digits(sim: Simulator) -> None:
    path = f"/v26.0/{NUMBER}/register"
    assert (await sim.call("POST", path, json={"messaging_product": "whatsapp", "pin": "123456"}))[0] == 200
    assert (await sim.call("POST", path, json={"messaging_product": "whatsapp", "pin": "12"}))[0] == 400


async def test_token_is_described(sim: Simulator) -> None:
    _, answer = await sim.call("GET", "/v26.0/debug_token", params={"input_token": TOKEN})
    data = answer["data"]
    assert data["is_valid"] is True
    assert {"whatsapp_business_messaging", "whatsapp_business_management"} <= set(data["scopes"])
    assert data["granular_scopes"][0]["target_ids"] == [WABA]
    assert data["app_id"].isdigit()


async def test_app_token_may_ask_about_any_token(sim: Simulator) -> None:
    app_token = f"{sim.cloud.config.app_id_of('default')}|{SECRET}".encode().decode("utf-8")
    params = {"input_token": OTHER_TOKEN, "access_token": app_token}
    _, answer = await sim.call("GET", "/v26.0/debug_token", token=None, params=params)
    assert answer["data"]["app_id"] == "300000000000002"


async def test_unknown_token_is_not_valid(sim: Simulator) -> None:
    _, answer = await sim.call("GET", "/v26.0/debug_token", params={"input_token": "gone"})
    assert answer["data"]["is_valid"] is False


async def test_a_number_and_its_token_stand_as_configured(sim: Simulator) -> None:
    numbers = sim.cloud.config.numbers
    standing = Standing(quality_rating="RED", token_expires_at=int(sim.clock.now) + 60, token_scopes=("one",))
    changed = tuple(msgspec.structs.replace(number, standing=standing) for number in numbers)
    sim.cloud.apply(msgspec.structs.replace(sim.cloud.config, numbers=changed))
    _, number = await sim.call("GET", f"/v26.0/{NUMBER}", params={"fields": "quality_rating"})
    assert number["quality_rating"] == "RED"
    _, answer = await sim.call("GET", "/v26.0/debug_token", params={"input_token": TOKEN})
    assert (answer["data"]["scopes"], answer["data"]["expires_at"]) == (["one"], standing.token_expires_at)
    sim.clock.advance(60)
    status, answer = await sim.call("GET", f"/v26.0/{NUMBER}")
    assert (status, answer["error"]["code"]) == (401, 190), "it has ended"


# --- Media -----------------------------------------------------------------------------------------------------------


async def test_media_is_uploaded_described_sent_and_downloaded(sim: Simulator) -> None:
    _, answer = await upload(sim)
    media_id = answer["id"]
    _, node = await sim.call("GET", f"/v26.0/{media_id}")
    assert (node["mime_type"], node["file_size"], node["id"]) == ("image/png", len(PNG), media_id)
    assert node["sha256"] == hashlib.sha256(PNG).hexdigest()
    async with sim.http.get(node["url"], headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        assert (response.status, await response.read()) == (200, PNG)
        assert response.headers["Content-Type"] == "image/png"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response.headers["Content-Security-Policy"]
    await sim.write()
    assert (await sim.send({"type": "image", "image": {"id": media_id}}))[0] == 200


async def test_download_needs_the_token_of_the_number(sim: Simulator) -> None:
    _, answer = await upload(sim)
    _, node = await sim.call("GET", f"/v26.0/{answer['id']}")
    async with sim.http.get(node["url"]) as response:
        assert response.status == 401
    async with sim.http.get(node["url"], headers={"Authorization": f"Bearer {OTHER_TOKEN}"}) as response:
        assert response.status == 400


async def test_download_url_lives_five_minutes(sim: Simulator) -> None:
    _, answer = await upload(sim)
    _, node = await sim.call("GET", f"/v26.0/{answer['id']}")
    sim.clock.advance(300)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with sim.http.get(node["url"], headers=headers) as response:
        assert response.status == 200
    sim.clock.advance(1)
    for url in (node["url"], node["url"].replace("ticket=", "ticket=0"), node["url"].partition("?")[0]):
        async with sim.http.get(url, headers=headers) as response:
            assert response.status == 404


async def test_media_of_another_number_cannot_be_sent(sim: Simulator) -> None:
    _, answer = await upload(sim, number=SISTER)
    await sim.write()
    _, refusal = await sim.send({"type": "image", "image": {"id": answer["id"]}})
    assert refusal["error"]["code"] == 131009


async def test_media_may_be_deleted(sim: Simulator) -> None:
    _, answer = await upload(sim)
    assert await sim.call("DELETE", f"/v26.0/{answer['id']}") == (200, {"success": True})
    assert (await sim.call("GET", f"/v26.0/{answer['id']}"))[0] == 400


@pytest.mark.parametrize(
    ("code", "content", "mime_type"),
    [
        (100, PNG, "image/bmp"),
        (131053, b"", "image/png"),
        (131053, b"x" * (limits.IMAGE_BYTES + 1), "image/jpeg"),
        (131053, b"x" * (500 * 1024 + 1), "image/webp"),
    ],
)
async def test_media_beyond_metas_limits_is_refused(sim: Simulator, code: int, content: bytes, mime_type: str) -> None:
    _, answer = await upload(sim, content, mime_type)
    assert answer["error"]["code"] == code


async def test_upload_needs_a_file_and_the_product(sim: Simulator) -> None:
    for fields in ({"messaging_product": "whatsapp"}, {"type": "image/png"}):
        form = aiohttp.FormData(fields)
        _, answer = await sim.call("POST", f"/v26.0/{NUMBER}/media", data=form)
        assert answer["error"]["code"] == 100


async def test_customers_picture_reaches_the_bot_with_type_and_digest(sim: Simulator) -> None:
    path = f"/simulator/media?phone_number_id={NUMBER}&filename=a.png"
    _, stored = await sim.call("POST", path, data=PNG, token=None)
    assert stored["code"] == "simulator_control"
    async with sim.http.post(sim.url + path, data=PNG, headers={"Content-Type": "image/png"}) as response:
        stored = await response.json()
    await sim.write(message={"type": "image", "image": {"id": stored["id"], "caption": "mi casa"}}, wait=True)
    image = sim.receiver.messages[0]["image"]
    assert (image["mime_type"], image["caption"]) == ("image/png", "mi casa")
    assert base64.b64decode(image["sha256"]) == hashlib.sha256(PNG).digest()
    assert (await sim.call("GET", f"/v26.0/{image['id']}"))[0] == 200
    async with sim.http.get(f"{sim.url}/simulator/media/{stored['id']}") as response:
        assert await response.read() == PNG
