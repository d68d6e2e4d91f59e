"""A Cloud API client that nobody here wrote (pywa) speaks to the simulator and accepts its webhooks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pywa import handlers
from pywa.client import WhatsApp
from pywa.errors import WhatsAppError
from pywa.types.callback import Button, Section, SectionList, SectionRow
from pywa.types.message_status import MessageStatusType
from pywa.utils import webhook_updates_validator

from tests.test_simulator.harness import CUSTOMER, DISPLAY, NUMBER, SECRET, TOKEN, WABA, Json, Receiver, Simulator
from tests.test_simulator.test_nodes import PNG


class Client:
    """pywa's synchronous client, pointed at the simulator."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client()
        self.whatsapp = WhatsApp(
            phone_id=NUMBER, token=TOKEN, session=self.http, app_secret=SECRET, waba_id=WABA, verify_token="v"
        )
        # pywa writes Meta's address into the session it is given; afterwards it may be changed.
        self.http.base_url = f"{url}/v26.0"
        self.seen: list[Any] = []
        collect = self._collect
        self.whatsapp.add_handlers(
            handlers.MessageHandler(collect),
            handlers.CallbackButtonHandler(collect),
            handlers.CallbackSelectionHandler(collect),
            handlers.MessageStatusHandler(collect),
        )

    def _collect(self, _client: WhatsApp, update: Any) -> None:
        self.seen.append(update)

    async def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a blocking method of pywa beside the running simulator."""
        return await asyncio.to_thread(method, *args, **kwargs)

    def receive(self, body: bytes) -> None:
        """Hand a webhook to pywa as its own server would."""
        assert self.whatsapp.webhook_update_handler(body) == ("ok", 200)


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[Client]:
    made = Client(sim.url)
    yield made
    made.http.close()


async def outgoing(sim: Simulator) -> Json:
    return dict((await sim.ledger(direction="out"))[-1]["payload"])


async def test_text_is_sent(sim: Simulator, client: Client) -> None:
    await sim.write()
    sent = await client.call(client.whatsapp.send_message, CUSTOMER, "Hola *Ana*", tracker="turn-1")
    payload = await outgoing(sim)
    assert payload["text"]["body"] == "Hola *Ana*"
    assert payload["biz_opaque_callback_data"] == "turn-1"
    assert sent.id == (await sim.ledger(direction="out"))[-1]["wamid"]


async def test_buttons_are_sent(sim: Simulator, client: Client) -> None:
    await sim.write()
    buttons = [Button(title="Sí", callback_data="yes"), Button(title="No", callback_data="no")]
    await client.call(client.whatsapp.send_message, CUSTOMER, "¿Confirmas?", "Pedido 12", "Napoli", buttons)
    assert (await outgoing(sim))["interactive"]["action"]["buttons"][0]["reply"] == {"id": "yes", "title": "Sí"}


async def test_list_is_sent(sim: Simulator, client: Client) -> None:
    await sim.write()
    rows = [SectionRow(title="Margherita", callback_data="MARG", description="Tomate")]
    menu = SectionList(button_title="Ver la carta", sections=[Section(title="Pizzas", rows=rows)])
    await client.call(client.whatsapp.send_message, CUSTOMER, "¿Qué quieres?", buttons=menu)
    assert (await outgoing(sim))["interactive"]["action"]["button"] == "Ver la carta"


async def test_picture_is_uploaded_and_sent(sim: Simulator, client: Client) -> None:
    await sim.write()
    await client.call(client.whatsapp.send_image, CUSTOMER, PNG, caption="Hoy", mime_type="image/png")
    image = (await outgoing(sim))["image"]
    stored = sim.cloud.media.get(image["id"])
    assert image["caption"] == "Hoy"
    assert stored is not None
    assert stored.content == PNG


async def test_place_catalogue_and_location_request_are_sent(sim: Simulator, client: Client) -> None:
    await sim.write()
    await client.call(client.whatsapp.send_location, CUSTOMER, -33.4, -70.6, "Local", "Av. 1")
    assert (await outgoing(sim))["location"]["name"] == "Local"
    await client.call(client.whatsapp.request_location, CUSTOMER, "¿Dónde?")
    assert (await outgoing(sim))["interactive"]["type"] == "location_request_message"
    await client.call(client.whatsapp.send_catalog, CUSTOMER, "Catálogo", thumbnail_product_sku="MARG")
    assert (await outgoing(sim))["interactive"]["type"] == "catalog_message"


async def test_message_is_marked_read_with_typing(sim: Simulator, client: Client) -> None:
    wamid = (await sim.write())["wamid"]
    await client.call(client.whatsapp.mark_message_as_read, wamid)
    await client.call(client.whatsapp.indicate_typing, wamid)
    assert [("typing_indicator" in mark["payload"]) for mark in await sim.ledger(direction="mark")] == [False, True]


async def test_media_is_found_and_downloaded(sim: Simulator, client: Client) -> None:
    media = await client.call(client.whatsapp.upload_media, PNG, "image/png", "a.png")
    url = await client.call(client.whatsapp.get_media_url, media.id)
    assert (url.mime_type, url.file_size) == ("image/png", len(PNG))
    assert await client.call(client.whatsapp.get_media_bytes, url.url) == PNG


async def test_number_is_described(sim: Simulator, client: Client) -> None:
    number = await client.call(client.whatsapp.get_business_phone_number)
    assert number.verified_name == "Pizzería Napoli"


@pytest.mark.parametrize(("code", "faults"), [(131047, {}), (131016, {"graph_error": {"code": 131016}})])
async def test_refusal_is_understood(sim: Simulator, client: Client, code: int, faults: Json) -> None:
    await sim.faults(**faults)
    with pytest.raises(WhatsAppError) as caught:
        await client.call(client.whatsapp.send_message, CUSTOMER, "Hola")
    assert caught.value.code == code


async def test_signature_is_accepted_and_a_changed_body_is_not(sim: Simulator, client: Client) -> None:
    await sim.write("¿Tienen pizza? 🍕", wait=True)
    [post] = sim.receiver.posts
    assert webhook_updates_validator(SECRET, post.body, post.signature)
    assert not webhook_updates_validator(SECRET, post.body + b" ", post.signature)
    assert client.whatsapp.webhook_update_validator(post.body, post.signature) is None


async def receive_one(sim: Simulator, client: Client, message: Json) -> Any:
    await sim.write(message=message, wait=True)
    client.receive(sim.receiver.posts[-1].body)
    [update] = client.seen
    return update


async def test_text_is_parsed(sim: Simulator, client: Client) -> None:
    update = await receive_one(sim, client, {"type": "text", "text": {"body": "hola"}})
    assert (update.text, update.from_user.wa_id, update.from_user.name) == ("hola", CUSTOMER, "Ana")
    assert update.metadata.display_phone_number == DISPLAY


async def test_tapped_button_and_row_are_parsed(sim: Simulator, client: Client) -> None:
    reply = {"type": "button_reply", "button_reply": {"id": "yes", "title": "Sí"}}
    context = {"from": DISPLAY, "id": "wamid.X"}
    update = await receive_one(sim, client, {"type": "interactive", "interactive": reply, "context": context})
    assert (update.data, update.title) == ("yes", "Sí")
    client.seen.clear()
    chosen = {"type": "list_reply", "list_reply": {"id": "MARG", "title": "Margherita", "description": "Tomate"}}
    update = await receive_one(sim, client, {"type": "interactive", "interactive": chosen, "context": context})
    assert (update.data, update.description) == ("MARG", "Tomate")


async def test_place_and_order_are_parsed(sim: Simulator, client: Client) -> None:
    update = await receive_one(sim, client, {"type": "location", "location": {"latitude": -33.4, "longitude": -70.6}})
    assert (update.location.latitude, update.location.longitude) == (-33.4, -70.6)
    client.seen.clear()
    items = [{"product_retailer_id": "MARG", "quantity": 2, "item_price": 8900, "currency": "CLP"}]
    update = await receive_one(sim, client, {"type": "order", "order": {"catalog_id": "C1", "product_items": items}})
    assert update.order.products[0].sku == "MARG"


async def test_statuses_are_parsed(sim: Simulator, client: Client, receiver: Receiver) -> None:
    await sim.write(wait=True)
    wamid = await sim.send_text()
    await receiver.until(lambda: len(receiver.statuses_of(wamid)) == 2)
    for post in receiver.posts[1:]:
        client.receive(post.body)
    assert client.seen
    assert {update.id for update in client.seen} == {wamid}
    assert client.seen[0].status in {MessageStatusType.SENT, MessageStatusType.DELIVERED}
    assert client.seen[0].pricing is not None


@pytest.fixture(autouse=True)
def quiet_client() -> None:
    logging.getLogger("pywa").setLevel(logging.ERROR)
