"""The router reads webhooks as a Cloud API library does that nobody here wrote: pywa."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pywa import handlers
from pywa.client import WhatsApp
from pywa.utils import webhook_updates_validator

from comanda_contract.cloud.messages_in import parse_contact
from comanda_contract.cloud.webhook import decode_item_keys
from comanda_contract.deliveries import Delivery
from comanda_router.signature import Key, check_signature
from comanda_router.split import split
from tests.harness import change, sign, webhook

NUMBER, WABA = "106540352242922", "102290129340398"
PHONE, USER_ID = "56933334444", "CL.A1b2C3"

# --- Signatures ------------------------------------------------------------------------------------------------------

secrets = st.text(min_size=1, max_size=64)
bodies = st.binary(max_size=2000)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)


def router_accepts(secret: str, body: bytes, header: str) -> bool:
    return check_signature((Key(secret.encode()),), body, header.encode()) == "current"


def pywa_accepts(secret: str, body: bytes, header: str) -> bool:
    return bool(webhook_updates_validator(secret, body, header))


@given(secrets, bodies)
def test_both_accept_what_is_signed(secret: str, body: bytes) -> None:
    assert router_accepts(secret, body, sign(body, secret))
    assert pywa_accepts(secret, body, sign(body, secret))


@given(data=st.data(), secret=secrets, body=bodies)
def test_both_judge_a_tampered_webhook_alike(data: st.DataObject, secret: str, body: bytes) -> None:
    signer = data.draw(st.just(secret) | secrets, "the secret it was signed with")
    signed = data.draw(st.just(body) | bodies, "the body that was signed")
    honest = sign(signed, signer)
    place, digit = data.draw(st.integers(7, 70)), data.draw(st.sampled_from("0123456789abcdef"))
    changed = honest[:place] + digit + honest[place + 1 :]
    cut = honest[: data.draw(st.integers(7, 71))]
    header = data.draw(st.sampled_from([honest, changed, cut, honest + digit]) | digests.map("sha256={}".format))
    verdict = router_accepts(secret, body, header)
    assert verdict is pywa_accepts(secret, body, header)
    assert verdict is (header == sign(body, secret))


@given(secrets, bodies, st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_both_refuse_what_is_no_signature(secret: str, body: bytes, header: str) -> None:
    assert not router_accepts(secret, body, header)
    assert not pywa_accepts(secret, body, header)


@given(secrets, bodies)
def test_the_router_alone_insists_on_the_prefix(secret: str, body: bytes) -> None:
    bare = sign(body, secret).removeprefix("sha256=")
    assert pywa_accepts(secret, body, bare)
    assert not router_accepts(secret, body, bare)


# --- Messages and statuses -------------------------------------------------------------------------------------------

CONTEXT = {"from": "56911112222", "id": "wamid.OUT9"}
MEDIA = {"id": "M1", "mime_type": "image/jpeg", "sha256": "b64="}
MESSAGES: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": {"body": "2 pizzas"}},
    "answer": {"type": "text", "text": {"body": "this one"}, "context": CONTEXT},
    "forwarded": {"type": "text", "text": {"body": "fwd"}, "context": {"forwarded": True}},
    "from an ad": {
        "type": "text",
        "text": {"body": "saw the ad"},
        "referral": {
            "source_type": "ad",
            "source_id": "AD1",
            "source_url": "https://fb.me/x",
            "headline": "2x1",
            "body": "Only today",
            "media_type": "image",
            "image_url": "https://x.example/1",
            "ctwa_clid": "CL1",
        },
    },
    "image": {"type": "image", "image": MEDIA | {"caption": "this"}},
    "video": {"type": "video", "video": MEDIA | {"mime_type": "video/mp4"}},
    "audio": {"type": "audio", "audio": MEDIA | {"mime_type": "audio/ogg; codecs=opus", "voice": True}},
    "document": {"type": "document", "document": MEDIA | {"mime_type": "application/pdf", "filename": "menu.pdf"}},
    "sticker": {"type": "sticker", "sticker": MEDIA | {"mime_type": "image/webp", "animated": False}},
    "location": {"type": "location", "location": {"latitude": -33.44, "longitude": -70.66, "name": "Home"}},
    "contacts": {
        "type": "contacts",
        "contacts": [
            {
                "name": {"formatted_name": "Leo P", "first_name": "Leo"},
                "phones": [{"phone": "+56 9 5555 6666", "wa_id": "56955556666", "type": "CELL"}],
            }
        ],
    },
    "reaction": {"type": "reaction", "reaction": {"message_id": "wamid.OUT1", "emoji": "👍"}},
    "button reply": {
        "type": "interactive",
        "interactive": {"type": "button_reply", "button_reply": {"id": "ok:42", "title": "Confirm"}},
        "context": CONTEXT,
    },
    "list reply": {
        "type": "interactive",
        "interactive": {
            "type": "list_reply",
            "list_reply": {"id": "item:7", "title": "Lasagna", "description": "350 g"},
        },
        "context": CONTEXT,
    },
    "form reply": {
        "type": "interactive",
        "interactive": {
            "type": "nfm_reply",
            "nfm_reply": {"name": "flow", "body": "Sent", "response_json": '{"flow_token":"t1","qty":"2"}'},
        },
        "context": CONTEXT,
    },
    "template button": {"type": "button", "button": {"payload": "REORDER", "text": "Again"}, "context": CONTEXT},
    "order": {
        "type": "order",
        "order": {
            "catalog_id": "C1",
            "text": "no onion",
            "product_items": [{"product_retailer_id": "SKU7", "quantity": 2, "item_price": 7.5, "currency": "USD"}],
        },
    },
    "unsupported": {
        "type": "unsupported",
        "errors": [{"code": 131051, "title": "Unknown", "message": "m", "error_data": {"details": "d"}}],
        "unsupported": {"type": "poll_creation"},
    },
    "edit": {
        "type": "edit",
        "edit": {"original_message_id": "wamid.X1", "message": {"type": "text", "text": {"body": "3 pizzas"}}},
    },
    "revoke": {"type": "revoke", "revoke": {"original_message_id": "wamid.X1"}},
}
FAILURE = {"code": 131047, "title": "Re-engagement message", "message": "m", "error_data": {"details": "d"}}


KNOWN = {"from": PHONE, "from_user_id": USER_ID}
"""A sender as Meta shows one whose phone number the restaurant may see."""
HIDDEN = {"from_user_id": USER_ID}
"""A sender who keeps the phone number to themselves."""
SEEN_BY_PYWA = [
    handlers.MessageHandler,
    handlers.CallbackButtonHandler,
    handlers.CallbackSelectionHandler,
    handlers.FlowCompletionHandler,
    handlers.EditedMessageHandler,
    handlers.DeletedMessageHandler,
    handlers.MessageStatusHandler,
    handlers.PhoneNumberChangeHandler,
]


class Pywa:
    """pywa's webhook side: hands out the one update that it finds in a body."""

    def __init__(self, http: httpx.Client) -> None:
        self._client = WhatsApp(
            phone_id=NUMBER, token="t", session=http, waba_id=WABA, verify_token="v", app_secret="s"
        )
        self._seen: list[Any] = []
        self._client.add_handlers(*(kind(self._collect) for kind in SEEN_BY_PYWA))

    def _collect(self, _client: WhatsApp, update: Any) -> None:
        self._seen.append(update)

    def read(self, body: bytes) -> Any:
        assert self._client.webhook_update_handler(body) == ("ok", 200)
        [update] = self._seen
        return update


@pytest.fixture
def pywa() -> Iterator[Pywa]:
    with httpx.Client() as http:
        yield Pywa(http)


def split_one(body: bytes) -> Delivery:
    result = split("default", body)
    assert result.unroutable == ()
    [delivery] = result.deliveries
    return delivery


@pytest.mark.parametrize("identity", [KNOWN, HIDDEN], ids=["phone known", "phone hidden"])
@pytest.mark.parametrize("name", MESSAGES)
def test_both_find_the_same_message_sender_and_number(pywa: Pywa, name: str, identity: dict[str, str]) -> None:
    item = {"id": f"wamid.{name}", "timestamp": "1795000000"} | identity | MESSAGES[name]
    contact = {"profile": {"name": "Ana"}, "user_id": USER_ID} | ({"wa_id": PHONE} if "from" in identity else {})
    body = msgspec.json.encode(webhook(change(NUMBER, messages=[item], contacts=[contact]), waba=WABA))
    update, delivery = pywa.read(body), split_one(body)
    keys = decode_item_keys(delivery.item)
    assert (delivery.kind, delivery.key) == ("message", update.id)
    assert (delivery.phone_number_id, delivery.waba_id) == (update.metadata.phone_number_id, update.waba_id)
    assert (keys.sender or None, keys.from_user_id) == (update.from_user.wa_id, update.from_user.bsuid)
    assert parse_contact(delivery.contact).name == update.from_user.name == "Ana"


@pytest.mark.parametrize("status", ["sent", "delivered", "read", "failed"])
def test_both_find_the_same_status(pywa: Pywa, status: str) -> None:
    item = {
        "id": "wamid.OUT1",
        "status": status,
        "timestamp": "1795000010",
        "recipient_id": PHONE,
        "recipient_user_id": USER_ID,
    } | ({"errors": [FAILURE]} if status == "failed" else {})
    contact = {"profile": {"name": "Ana"}, "wa_id": PHONE, "user_id": USER_ID}
    body = msgspec.json.encode(webhook(change(NUMBER, statuses=[item], contacts=[contact]), waba=WABA))
    update, delivery = pywa.read(body), split_one(body)
    assert (delivery.kind, delivery.key) == ("status", f"{update.id}/{update.status}")
    assert (delivery.phone_number_id, delivery.waba_id) == (update.metadata.phone_number_id, update.waba_id)
    assert decode_item_keys(delivery.item).recipient_id == update.from_user.wa_id


def test_both_find_the_number_that_changed(pywa: Pywa) -> None:
    change_of_number = {"type": "user_changed_number", "body": "User A changed", "wa_id": "56977778888"}
    item = {"id": "wamid.S", "from": PHONE, "timestamp": "1795000000", "type": "system", "system": change_of_number}
    body = msgspec.json.encode(webhook(change(NUMBER, messages=[item]), waba=WABA))
    update, delivery = pywa.read(body), split_one(body)
    assert (delivery.kind, delivery.key) == ("message", update.id)
    assert delivery.phone_number_id == update.metadata.phone_number_id
    assert decode_item_keys(delivery.item).sender == update.from_user.wa_id
