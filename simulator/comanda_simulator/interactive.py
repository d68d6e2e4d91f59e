"""Meta's rules for interactive messages: buttons, lists, links, location and contact requests, catalogue, flows."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from comanda_contract.cloud import limits
from comanda_simulator.fields import (
    Json,
    invalid,
    missing,
    need_distinct,
    need_list,
    need_object,
    need_text,
    need_url,
    need_value,
    optional_text,
)

_FLOW_CTA = 20
"""Meta advises 30, clients hold to 20: the smaller stands."""


class Facts(msgspec.Struct, frozen=True):
    """What a message may refer to: media ids of the sending number and products of its catalogue."""

    has_media: Callable[[str], bool]
    skus: frozenset[str] = frozenset()


def check_media(media: Json, path: str, facts: Facts) -> None:
    """Check a reference to media: exactly one of `id` (known) and `link` (a URL)."""
    if ("id" in media) == ("link" in media):
        raise invalid(path, "needs exactly one of id and link")
    if "link" in media:
        need_url(media, "link", f"{path}.link")
    elif not facts.has_media(need_text(media, "id", f"{path}.id", 256)):
        raise invalid(f"{path}.id", "is not a media id of this phone number")


def check_interactive(message: Json, facts: Facts) -> None:
    """Check the `interactive` object of a send. Raises `GraphRefusal`."""
    interactive = need_object(message, "interactive", "interactive")
    kind = need_value(interactive, "type", "interactive.type", *_KINDS)
    check_action, header_kinds, body_limit = _KINDS[kind]
    _check_header(interactive, header_kinds, facts)
    _check_body(interactive, body_limit, required=kind != "product")
    if interactive.get("footer") is not None:
        if kind == "location_request_message":
            raise invalid("interactive.footer", f"is not allowed with type {kind}")
        footer = need_object(interactive, "footer", "interactive.footer")
        need_text(footer, "text", "interactive.footer.text", limits.FOOTER_TEXT)
    check_action(need_object(interactive, "action", "interactive.action"), facts)


def _check_header(interactive: Json, kinds: tuple[str, ...], facts: Facts) -> None:
    header_required = "required" in kinds
    if interactive.get("header") is None:
        if header_required:
            raise missing("interactive.header")
        return
    allowed = [kind for kind in kinds if kind != "required"]
    if not allowed:
        raise invalid("interactive.header", f"is not allowed with type {interactive['type']}")
    header = need_object(interactive, "header", "interactive.header")
    kind = need_value(header, "type", "interactive.header.type", *allowed)
    if kind == "text":
        need_text(header, "text", "interactive.header.text", limits.HEADER_TEXT)
    else:
        check_media(need_object(header, kind, f"interactive.header.{kind}"), f"interactive.header.{kind}", facts)


def _check_body(interactive: Json, most: int, *, required: bool) -> None:
    if required or interactive.get("body") is not None:
        body = need_object(interactive, "body", "interactive.body")
        need_text(body, "text", "interactive.body.text", most)


def _check_buttons(action: Json, _facts: Facts) -> None:
    buttons = need_list(action, "buttons", "interactive.action.buttons", 1, limits.BUTTONS)
    replies = []
    for index, button in enumerate(buttons):
        path = f"interactive.action.buttons[{index}]"
        need_value(button, "type", f"{path}.type", "reply")
        reply = need_object(button, "reply", f"{path}.reply")
        need_text(reply, "id", f"{path}.reply.id", limits.BUTTON_ID)
        need_text(reply, "title", f"{path}.reply.title", limits.BUTTON_TITLE)
        replies.append(reply)
    need_distinct([reply["id"] for reply in replies], "interactive.action.buttons[].reply.id")
    need_distinct([reply["title"] for reply in replies], "interactive.action.buttons[].reply.title")


def _check_list(action: Json, _facts: Facts) -> None:
    need_text(action, "button", "interactive.action.button", limits.LIST_BUTTON)
    sections = need_list(action, "sections", "interactive.action.sections", 1, limits.LIST_SECTIONS)
    rows: list[Json] = []
    for index, section in enumerate(sections):
        path = f"interactive.action.sections[{index}]"
        _check_section_title(section, path, several=len(sections) > 1)
        rows += need_list(section, "rows", f"{path}.rows", 1, limits.LIST_ROWS)
    if len(rows) > limits.LIST_ROWS:
        raise invalid("interactive.action.sections", f"has {len(rows)} rows in all, allowed are {limits.LIST_ROWS}")
    for row in rows:
        path = "interactive.action.sections[].rows[]"
        need_text(row, "id", f"{path}.id", limits.ROW_ID)
        need_text(row, "title", f"{path}.title", limits.ROW_TITLE)
        optional_text(row, "description", f"{path}.description", limits.ROW_DESCRIPTION)
    need_distinct([row["id"] for row in rows], "interactive.action.sections[].rows[].id")


def _check_section_title(section: Json, path: str, *, several: bool) -> None:
    if several:
        need_text(section, "title", f"{path}.title", limits.SECTION_TITLE)
    else:
        optional_text(section, "title", f"{path}.title", limits.SECTION_TITLE)


def _check_cta_url(action: Json, _facts: Facts) -> None:
    need_value(action, "name", "interactive.action.name", "cta_url")
    parameters = need_object(action, "parameters", "interactive.action.parameters")
    need_text(parameters, "display_text", "interactive.action.parameters.display_text", limits.CTA_DISPLAY_TEXT)
    need_url(parameters, "url", "interactive.action.parameters.url")


def _check_location_request(action: Json, _facts: Facts) -> None:
    need_value(action, "name", "interactive.action.name", "send_location")


def _check_contact_request(action: Json, _facts: Facts) -> None:
    need_value(action, "name", "interactive.action.name", "request_contact_info")


def _check_product(action: Json, facts: Facts) -> None:
    need_text(action, "catalog_id", "interactive.action.catalog_id", 256)
    _check_sku(action, "product_retailer_id", "interactive.action.product_retailer_id", facts)


def _check_product_list(action: Json, facts: Facts) -> None:
    need_text(action, "catalog_id", "interactive.action.catalog_id", 256)
    sections = need_list(action, "sections", "interactive.action.sections", 1, limits.PRODUCT_SECTIONS)
    total = 0
    for index, section in enumerate(sections):
        path = f"interactive.action.sections[{index}]"
        _check_section_title(section, path, several=len(sections) > 1)
        items = need_list(section, "product_items", f"{path}.product_items", 1, limits.PRODUCTS)
        total += len(items)
        for item in items:
            _check_sku(item, "product_retailer_id", f"{path}.product_items[].product_retailer_id", facts)
    if total > limits.PRODUCTS:
        raise invalid("interactive.action.sections", f"has {total} products in all, allowed are {limits.PRODUCTS}")


def _check_catalog(action: Json, facts: Facts) -> None:
    need_value(action, "name", "interactive.action.name", "catalog_message")
    if not facts.skus:
        raise invalid("interactive.action", "needs a catalogue that is connected to this phone number")
    parameters = action.get("parameters")
    if parameters is None:
        return
    path = "interactive.action.parameters"
    parameters = need_object(action, "parameters", path)
    if parameters.get("thumbnail_product_retailer_id") is not None:
        _check_sku(parameters, "thumbnail_product_retailer_id", f"{path}.thumbnail_product_retailer_id", facts)


def _check_sku(parent: Json, key: str, path: str, facts: Facts) -> None:
    if need_text(parent, key, path, 256) not in facts.skus:
        raise invalid(path, "is no product of this phone number's catalogue")


def _check_flow(action: Json, _facts: Facts) -> None:
    need_value(action, "name", "interactive.action.name", "flow")
    path = "interactive.action.parameters"
    parameters = need_object(action, "parameters", path)
    need_value(parameters, "flow_message_version", f"{path}.flow_message_version", "3")
    if (parameters.get("flow_id") is None) == (parameters.get("flow_name") is None):
        raise invalid(path, "needs exactly one of flow_id and flow_name")
    need_text(parameters, "flow_cta", f"{path}.flow_cta", _FLOW_CTA)
    if parameters.get("mode") is not None:
        need_value(parameters, "mode", f"{path}.mode", "draft", "published")


_MEDIA_HEADER = ("text", "image", "video", "document")
_BODY = limits.INTERACTIVE_BODY

_KINDS: dict[str, tuple[Callable[[Json, Facts], None], tuple[str, ...], int]] = {
    "button": (_check_buttons, _MEDIA_HEADER, _BODY),
    "list": (_check_list, ("text",), _BODY),
    "cta_url": (_check_cta_url, _MEDIA_HEADER, _BODY),
    "location_request_message": (_check_location_request, (), _BODY),
    "product": (_check_product, (), _BODY),
    "product_list": (_check_product_list, ("text", "required"), _BODY),
    "catalog_message": (_check_catalog, (), _BODY),
    "flow": (_check_flow, _MEDIA_HEADER, _BODY),
    "request_contact_info": (_check_contact_request, (), _BODY),
}
"""Each kind: the check of its action, the headers it may have, and the length of its body."""
