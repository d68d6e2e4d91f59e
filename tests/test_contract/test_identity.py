from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.cloud.identity import (
    CONTROL_FIELDS,
    ECHO_FIELDS,
    SYSTEM_CHANGES,
    Alias,
    Control,
    Echo,
    IdentityLink,
    controls,
    echoes,
    identity_links,
)
from comanda_contract.deliveries import Delivery
from comanda_router.split import split
from tests.test_contract.test_messages_in import json_values

OLD_PHONE, NEW_PHONE = Alias("phone", "56933334444"), Alias("phone", "56977778888")
OLD_ID, NEW_ID = Alias("user_id", "CL.A1b2C3"), Alias("user_id", "CL.Z9")
METADATA = {"display_phone_number": "56911112222", "phone_number_id": "PN1"}
UPDATE = {"user_id": {"previous": OLD_ID.value, "current": NEW_ID.value}}
FLAT = {
    "from": "56911112222",
    "to": OLD_PHONE.value,
    "id": "wamid.E1",
    "timestamp": "1795000100",
    "type": "text",
    "text": {"body": "I take over"},
}
NESTED = {
    "id": "wamid.E1",
    "timestamp": 1795000100,
    "message": {"messaging_product": "whatsapp", "to": "+56 9 3333-4444", "type": "text", "text": {"body": "x"}},
}
ECHO = Echo((OLD_PHONE,), "wamid.E1", "text", 1795000100)
HANDOVER = {
    "messaging_product": "whatsapp",
    "recipient": METADATA,
    "sender": {"phone_number": OLD_PHONE.value},
    "timestamp": "1795000200",
    "type": "control_passed",
    "control_passed": {"previous_owner_app_role": "meta_business_agent", "metadata": "m"},
}


def links_of(item: Any, kind: Literal["message", "change"] = "message", field: str = "messages") -> set[IdentityLink]:
    return set(identity_links(kind, field, msgspec.json.encode(item)))


def system(change: str, before: dict[str, Any] | None = None, **after: Any) -> dict[str, Any]:
    message = {"id": "wamid.S", "timestamp": "1795000000", "type": "system", "system": {"type": change, **after}}
    return message | ({"from": OLD_PHONE.value} if before is None else before)


class TestSystemMessages:
    def test_a_new_number_is_linked_to_the_old_one(self) -> None:
        body = "User A changed from 56933334444 to 56977778888"
        found = links_of(system("user_changed_number", body=body, wa_id=NEW_PHONE.value, user_id=NEW_ID.value))
        assert found == {IdentityLink(OLD_PHONE, NEW_PHONE), IdentityLink(OLD_PHONE, NEW_ID)}

    def test_a_new_user_id_is_linked_to_the_old_one_that_the_sentence_names(self) -> None:
        body = f"User A changed from {OLD_ID.value} to {NEW_ID.value}"
        found = links_of(system("user_changed_user_id", {}, body=body, user_id=NEW_ID.value))
        assert found == {IdentityLink(OLD_ID, NEW_ID)}

    @pytest.mark.parametrize("sender", [{}, {"from_user_id": OLD_ID.value}, {"from_user_id": NEW_ID.value}])
    @pytest.mark.parametrize(
        "told", [{"previous_user_id": OLD_ID.value}, {"body": f"User A changed from {OLD_ID.value} to {NEW_ID.value}"}]
    )
    def test_the_old_user_id_is_known_whoever_the_sender_is_said_to_be(
        self, sender: dict[str, Any], told: dict[str, Any]
    ) -> None:
        after = told | {"user_id": NEW_ID.value}
        found = links_of(system("user_changed_user_id", sender, **after))
        assert found == {IdentityLink(OLD_ID, NEW_ID)}

    def test_a_new_number_brings_a_new_user_id(self) -> None:
        after: dict[str, Any] = {"wa_id": NEW_PHONE.value, "user_id": NEW_ID.value, "previous_user_id": OLD_ID.value}
        found = links_of(system("user_changed_number", **after))
        assert found == {IdentityLink(old, new) for old in (OLD_PHONE, OLD_ID) for new in (NEW_PHONE, NEW_ID)}

    def test_all_addresses_before_are_linked_to_all_after(self) -> None:
        before = {"from": OLD_PHONE.value, "from_user_id": OLD_ID.value}
        found = links_of(system("user_changed_number", before, wa_id=NEW_PHONE.value, user_id=NEW_ID.value))
        assert found == {IdentityLink(old, new) for old in (OLD_PHONE, OLD_ID) for new in (NEW_PHONE, NEW_ID)}

    def test_an_address_that_stays_is_no_link(self) -> None:
        before = {"from": OLD_PHONE.value, "from_user_id": OLD_ID.value}
        found = links_of(system("user_changed_user_id", before, wa_id=OLD_PHONE.value, user_id=NEW_ID.value))
        assert found == {
            IdentityLink(OLD_PHONE, NEW_ID),
            IdentityLink(OLD_ID, OLD_PHONE),
            IdentityLink(OLD_ID, NEW_ID),
        }

    def test_a_changed_identity_alone_gives_no_link(self) -> None:
        identity = {"acknowledged": False, "created_timestamp": "1795000000", "hash": "h"}
        item = system("customer_identity_changed", customer=OLD_PHONE.value, wa_id=OLD_PHONE.value)
        assert links_of(item | {"identity": identity}) == set()

    def test_a_changed_identity_with_another_number_is_linked(self) -> None:
        item = system("customer_identity_changed", {}, customer=OLD_PHONE.value, new_wa_id=NEW_PHONE.value)
        assert links_of(item) == {IdentityLink(OLD_PHONE, NEW_PHONE)}

    @pytest.mark.parametrize(
        "body",
        [
            "User x changed from CL.VICTIM to CL.Z9 changed from CL.A1b2C3 to CL.Z9",
            "User x\nchanged from CL.VICTIM to CL.Z9\n changed from CL.A1b2C3 to CL.Z9",
        ],
    )
    def test_a_customers_name_cannot_speak_for_another(self, body: str) -> None:
        found = links_of(system("user_changed_user_id", {}, body=body, user_id=NEW_ID.value))
        assert found == {IdentityLink(OLD_ID, NEW_ID)}

    @pytest.mark.parametrize(
        "body",
        [
            "User x changed from CL.VICTIM to CL.OTHER",
            "User x changed from CL.VICTIM to CL.Z9 once upon a time",
            "changed from to",
            "",
        ],
    )
    def test_a_sentence_that_does_not_end_in_the_new_address_counts_for_nothing(self, body: str) -> None:
        assert links_of(system("user_changed_user_id", {}, body=body, user_id=NEW_ID.value)) == set()

    @pytest.mark.parametrize(
        "item",
        [
            {"type": "system"},
            {"type": "system", "system": None},
            {"type": "text", "from": OLD_PHONE.value, "text": {"body": "hola"}},
            system("user_changed_number"),
            system("user_changed_number", wa_id=""),
            system("user_changed_number", wa_id=OLD_PHONE.value),
            system("user_changed_number", {}, wa_id=NEW_PHONE.value),
            system("user_changed_number", wa_id="not a phone", user_id="not an id"),
            system("hologram_changed", wa_id=NEW_PHONE.value),
        ],
    )
    def test_what_is_missing_gives_no_link(self, item: dict[str, Any]) -> None:
        assert links_of(item) == set()

    def test_numbers_that_meta_writes_as_numbers_are_read(self) -> None:
        item = system("user_changed_number", {"from": 56933334444}, wa_id=56977778888)
        assert links_of(item) == {IdentityLink(OLD_PHONE, NEW_PHONE)}


class TestUserIdUpdates:
    @pytest.mark.parametrize("value", [UPDATE, {"metadata": METADATA, "user_id_update": [UPDATE]}])
    def test_both_shapes_are_read(self, value: dict[str, Any]) -> None:
        assert links_of(value, "change", "user_id_update") == {IdentityLink(OLD_ID, NEW_ID)}

    def test_the_phone_number_beside_it_is_linked_too(self) -> None:
        value = {"user_id_update": [UPDATE | {"wa_id": OLD_PHONE.value, "timestamp": 1795000000}]}
        found = links_of(value, "change", "user_id_update")
        assert found == {IdentityLink(OLD_ID, NEW_ID), IdentityLink(OLD_ID, OLD_PHONE)}

    def test_every_update_of_a_change_is_read(self) -> None:
        other = {"user_id": {"previous": "CL.X", "current": "CL.Y"}}
        found = links_of({"user_id_update": [UPDATE, None, other]}, "change", "user_id_update")
        assert found == {
            IdentityLink(OLD_ID, NEW_ID),
            IdentityLink(Alias("user_id", "CL.X"), Alias("user_id", "CL.Y")),
        }

    @pytest.mark.parametrize(
        "value", [{}, {"user_id": "CL.A"}, {"user_id": {"current": "CL.A"}}, {"user_id_update": {"user_id": {}}}]
    )
    def test_what_is_missing_gives_no_link(self, value: dict[str, Any]) -> None:
        assert links_of(value, "change", "user_id_update") == set()

    def test_another_field_gives_none(self) -> None:
        assert links_of(UPDATE, "change", "messages") == set()
        assert links_of(system("user_changed_number", wa_id=NEW_PHONE.value), field="standby") == set()


class TestEchoes:
    @pytest.mark.parametrize("field", ["smb_message_echoes", "message_echoes"])
    @pytest.mark.parametrize("entry", [FLAT, NESTED])
    def test_the_customer_is_whom_it_went_to(self, field: str, entry: dict[str, Any]) -> None:
        value = {"metadata": METADATA, "message_echoes": [entry]}
        assert echoes(field, msgspec.json.encode(value)) == (ECHO,)

    @pytest.mark.parametrize("entry", [FLAT, NESTED])
    def test_standby_wraps_them(self, entry: dict[str, Any]) -> None:
        value = {"metadata": METADATA, "standby": {"message_echoes": [entry]}}
        assert echoes("standby", msgspec.json.encode(value)) == (ECHO,)

    def test_a_customer_without_phone_is_known_by_user_id(self) -> None:
        flat = {"id": "wamid.E1", "to_user_id": OLD_ID.value, "type": "text"}
        nested = {"id": "wamid.E2", "message": {"recipient": OLD_ID.value, "type": "text"}}
        found = echoes("message_echoes", msgspec.json.encode({"message_echoes": [flat, nested]}))
        assert found == (Echo((OLD_ID,), "wamid.E1", "text", 0), Echo((OLD_ID,), "wamid.E2", "text", 0))

    def test_both_addresses_are_kept(self) -> None:
        value = {"message_echoes": [FLAT | {"to_user_id": OLD_ID.value}]}
        assert echoes("smb_message_echoes", msgspec.json.encode(value))[0].customer == (OLD_PHONE, OLD_ID)

    @pytest.mark.parametrize(
        "entry",
        [
            {},
            None,
            "echo",
            {"id": "wamid.E1", "to": ""},
            {"id": "wamid.E1", "to": "group-id"},
            {"id": "wamid.E1", "message": {"to": "120363012345678901", "recipient_type": "group"}},
            FLAT | {"group_id": "G1"},
            FLAT | {"to": "120363012345678901"},
        ],
    )
    def test_groups_and_what_is_missing_are_left_out(self, entry: Any) -> None:
        value = {"message_echoes": [entry, FLAT]}
        assert echoes("smb_message_echoes", msgspec.json.encode(value)) == (ECHO,)

    @pytest.mark.parametrize("field", ["messages", "history", "hologram", ""])
    def test_other_fields_hold_none(self, field: str) -> None:
        assert echoes(field, msgspec.json.encode({"message_echoes": [FLAT]})) == ()


class TestControls:
    def control(self, value: dict[str, Any]) -> tuple[Control, ...]:
        return controls("messaging_handovers", msgspec.json.encode(value))

    def test_what_the_agent_gives_away_belongs_to_an_app(self) -> None:
        assert self.control(HANDOVER) == (Control((OLD_PHONE,), "app", "", "PN1", 1795000200),)

    @pytest.mark.parametrize(
        ("passed", "owner", "app_id"),
        [
            ({"previous_owner_role": "ai_agent", "new_owner_role": "escalation"}, "app", ""),
            ({"previous_owner_role": "escalation", "new_owner_role": "ai_agent"}, "ai_agent", ""),
            ({"new_owner_app_role": "meta_business_agent", "new_owner_app_id": "A9"}, "ai_agent", "A9"),
            ({"previous_owner_app_id": "A1", "new_owner_app_id": 123}, "unknown", "123"),
            ({"previous_owner_role": "escalation"}, "unknown", ""),
            ({}, "unknown", ""),
        ],
    )
    def test_who_got_it(self, passed: dict[str, Any], owner: str, app_id: str) -> None:
        (found,) = self.control(HANDOVER | {"control_passed": passed})
        assert (found.owner, found.app_id) == (owner, app_id)

    def test_a_customer_without_phone_is_known_by_user_id(self) -> None:
        (found,) = self.control(HANDOVER | {"sender": {"user_id": OLD_ID.value}})
        assert found.customer == (OLD_ID,)

    @pytest.mark.parametrize("sender", [{}, None, {"phone_number": "?"}])
    def test_without_a_customer_there_is_nothing_to_say(self, sender: Any) -> None:
        assert self.control(HANDOVER | {"sender": sender}) == ()

    def test_what_a_customer_writes_under_standby_is_somebody_elses_thread(self) -> None:
        message = {"from": OLD_PHONE.value, "from_user_id": OLD_ID.value, "id": "wamid.1", "timestamp": "1795000300"}
        value = {"metadata": METADATA, "standby": {"messages": [message, {}, message | {"group_id": "G1"}]}}
        found = controls("standby", msgspec.json.encode(value))
        assert found == (Control((OLD_PHONE, OLD_ID), "other", "", "PN1", 1795000300),)

    def test_standby_statuses_and_echoes_say_nothing_of_control(self) -> None:
        for part in ({"statuses": [{"id": "wamid.1"}]}, {"message_echoes": [FLAT]}, {}):
            assert controls("standby", msgspec.json.encode({"metadata": METADATA, "standby": part})) == ()

    def test_other_fields_hold_none(self) -> None:
        assert controls("messages", msgspec.json.encode(HANDOVER)) == ()


class TestAsTheRouterDeliversThem:
    """What a webhook becomes on its way to the pod."""

    @staticmethod
    def delivered(field: str, **value: Any) -> list[Delivery]:
        envelope = {"entry": [{"id": "WABA1", "changes": [{"field": field, "value": {"metadata": METADATA, **value}}]}]}
        return list(split("default", msgspec.json.encode(envelope)).deliveries)

    def test_a_system_message_is_an_item_of_its_own(self) -> None:
        item = system("user_changed_number", wa_id=NEW_PHONE.value)
        (found,) = self.delivered("messages", messages=[item])
        assert identity_links(found.kind, found.field, found.item) == (IdentityLink(OLD_PHONE, NEW_PHONE),)

    def test_a_new_user_id_is_a_whole_change(self) -> None:
        (found,) = self.delivered("user_id_update", user_id_update=[UPDATE])
        assert identity_links(found.kind, found.field, found.item) == (IdentityLink(OLD_ID, NEW_ID),)

    @pytest.mark.parametrize("field", ["smb_message_echoes", "message_echoes"])
    def test_echoes_are_a_whole_change(self, field: str) -> None:
        (found,) = self.delivered(field, message_echoes=[FLAT, FLAT])
        assert (found.kind, echoes(found.field, found.item)) == ("change", (ECHO, ECHO))

    def test_standby_is_a_whole_change(self) -> None:
        (found,) = self.delivered(
            "standby", standby={"message_echoes": [NESTED], "messages": [{"from": "56933334444"}]}
        )
        assert (found.kind, echoes(found.field, found.item)) == ("change", (ECHO,))
        assert [control.owner for control in controls(found.field, found.item)] == ["other"]


@pytest.mark.parametrize("item", [b"", b"{", b"hola", b"\xff", b'"\xff"', b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_json_raises_the_one_documented_error(item: bytes) -> None:
    for read in (
        lambda: identity_links("message", "messages", item),
        lambda: echoes("standby", item),
        lambda: controls("standby", item),
    ):
        with pytest.raises(msgspec.DecodeError):
            read()


NAMES = (
    *(
        "previous_user_id",
        "system",
        "type",
        "wa_id",
        "new_wa_id",
        "user_id",
        "customer",
        "from",
        "from_user_id",
        "body",
        "previous",
    ),
    *("current", "user_id_update", "standby", "message_echoes", "messages", "message", "to", "to_user_id"),
    *("recipient", "recipient_type", "sender", "phone_number", "control_passed", "previous_owner_role"),
    *("new_owner_role", "metadata", "phone_number_id", "timestamp", "id", "group_id"),
)
WORDS = st.sampled_from(
    (*SYSTEM_CHANGES, "56933334444", "CL.A1", "ai_agent", "group", "changed from CL.A1 to CL.B2", "1795000000")
)
shaped: st.SearchStrategy[Any] = st.recursive(
    WORDS | json_values | st.integers(-(2**63), 2**64 - 1),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=8) | st.lists(inner, max_size=3),
    max_leaves=25,
)


@given(shaped, st.sampled_from((*ECHO_FIELDS, *CONTROL_FIELDS, "messages", "user_id_update", "hologram", "")))
def test_any_json_is_read(value: Any, field: str) -> None:
    item = msgspec.json.encode(value)
    for link in (*identity_links("message", field, item), *identity_links("change", field, item)):
        assert link.previous != link.current
    customers = [echo.customer for echo in echoes(field, item)] + [one.customer for one in controls(field, item)]
    for customer in customers:
        assert 1 <= len(customer) <= 2
        assert all(alias.value for alias in customer)


def test_a_number_of_many_digits_is_no_address() -> None:
    item = b'{"type":"system","from":%s,"system":{"type":"user_changed_number","wa_id":"56977778888"}}'
    assert identity_links("message", "messages", item % (b"9" * 400)) == ()
    with pytest.raises(msgspec.DecodeError):
        identity_links("message", "messages", item % (b"9" * 5000))
