from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from comanda_flow import Flow, FlowError, load_flow
from comanda_flow.documents import in_language
from comanda_flow.phrasebook import BUTTON_KEYS, PHRASEBOOK, ROW_KEYS, placeholders_of
from tests.test_flow.chat import standard_document

SMALL: dict[str, Any] = {
    "version": 1,
    "start": "hello",
    "on_order": "sum",
    "locales": ["es", "en"],
    "texts": {
        "hello": {"es": "Hola {name}", "en": "Hello {name}"},
        "go": {"es": "Ver", "en": "See"},
        "stay": {"es": "Seguir", "en": "Stay"},
        "sum": "{cart}",
        "done": "{code}",
    },
    "intents": {"stop": {"goto": "bye", "words": {"es": ["chao"]}}},
    "nodes": {
        "hello": {"kind": "message", "say": "hello", "options": [{"title": "go", "goto": "menu"}]},
        "menu": {"kind": "menu", "say": "go", "goto": "sum"},
        "sum": {"kind": "confirm", "say": "sum", "place": "done", "change": "menu", "cancel": "bye", "empty": "menu"},
        "done": {"kind": "place_order", "say": "done"},
        "bye": {"kind": "message", "say": "go", "end": True},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the small flow with one value set (or taken out, for None) at a dotted path."""
    document = deepcopy(SMALL)
    *parents, last = path.split(".")
    place: Any = document
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return document


def problems(document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(FlowError) as caught:
        load_flow(document)
    assert caught.value.code == "invalid_flow"
    return [(problem.path, problem.rule) for problem in caught.value.problems]


def test_sound_flow_loads() -> None:
    assert load_flow(SMALL).start == "hello"


def test_standard_flow_loads() -> None:
    assert load_flow(standard_document()).locales == ["es", "en", "pt"]


LONG = "x" * 1025
BAD = [
    ("start", None, "start", "field required"),
    ("start", "hallo", "start", "leads to “hallo”, which is no node"),
    ("on_order", "nowhere", "on_order", "leads to “nowhere”, which is no node"),
    ("version", 2, "version", "input should be 1"),
    ("colour", "red", "colour", "is not a known field"),
    ("nodes.hello.kind", "mesage", "nodes.hello", "input tag 'mesage' found"),
    ("nodes.hello.kind", None, "nodes.hello", "unable to extract tag"),
    ("nodes.hello.sya", "hello", "nodes.hello.sya", "is not a known field"),
    ("nodes.hello.options.0.goto", "menuu", "nodes.hello.options[0].goto", "leads to “menuu”, which is no node"),
    ("nodes.hello.options.0.goto", 7, "nodes.hello.options[0].goto", "input should be a valid string"),
    ("nodes.hello.say", "helo", "nodes.hello.say", "says “helo”, which is no text"),
    ("nodes.hello.options.0.title", "see", "nodes.hello.options[0].title", "says “see”, which is no text"),
    ("nodes.hello.options", [], "nodes.hello", "is a dead end"),
    ("nodes.bye.end", False, "nodes.bye", "is a dead end"),
    ("nodes.bye.goto", "bye", "nodes.bye.goto", "goes in a circle without waiting"),
    ("nodes.extra", {"kind": "handover", "say": "go"}, "nodes.extra", "is never reached"),
    ("nodes.menu.goto", "done", "nodes.menu.goto", "places an order without a yes"),
    ("start", "done", "start", "places an order without a yes"),
    ("nodes.sum.place", "bye", "nodes.sum.place", "must lead to a place_order node"),
    ("texts.hello.es", None, "texts.hello.es", "is missing in the default locale"),
    ("texts.hello.fr", "Salut", "texts.hello.fr", "is in a language that locales does not name"),
    ("texts.hello.es", "Hola {nmae}", "texts.hello.es", "uses {nmae}, which is no placeholder"),
    ("texts.hello.es", "Hola {name.__class__}", "texts.hello.es", "uses {name.__class__}, which is no placeholder"),
    ("texts.hello.es", "Hola {name", "texts.hello.es", "has a brace without its partner"),
    ("texts.hello.es", "Hola {name!r}", "texts.hello.es", "has a brace without its partner"),
    ("texts.hello.es", "", "texts.hello", "must not be empty"),
    ("texts.hello.en", LONG, "texts.hello.en", "has 1025 characters, WhatsApp allows 1024"),
    ("texts.go.en", "See the whole long menu", "texts.go.en", "has 23 characters, WhatsApp allows 20"),
    ("texts.more", "More than fits into a row", "texts.more", "has 25 characters, WhatsApp allows 24"),
    ("texts.yes_button", "Yes, place this order", "texts.yes_button", "has 21 characters, WhatsApp allows 20"),
    (
        "nodes.hello.options",
        [{"title": "go", "goto": "menu"}, {"title": "go", "goto": "bye"}],
        "nodes.hello.options",
        "has the same title twice",
    ),
    (
        "nodes.hello.options",
        [{"title": "go", "goto": "menu"}] * 11,
        "nodes.hello.options",
        "list should have at most 10",
    ),
    (
        "nodes.hello.options",
        [{"title": "go", "goto": "menu"}, {"title": "stay", "goto": "menu"}],
        "nodes.hello.options",
        "leads to the same node twice",
    ),
    ("locales", [], "locales", "list should have at least 1 item"),
    ("intents.stop.goto", "by", "intents.stop.goto", "leads to “by”, which is no node"),
    ("nodes", {}, "nodes", "dictionary should have at least 1 item"),
]


@pytest.mark.parametrize(("path", "value", "where", "rule"), BAD, ids=[f"{b[0]}-{b[3][:24]}" for b in BAD])
def test_broken_rule_is_named_with_its_place(path: str, value: Any, where: str, rule: str) -> None:
    found = problems(changed(path, value))
    assert any(place == where and text.startswith(rule) for place, text in found), found


def test_circle_of_several_messages_is_found() -> None:
    document = deepcopy(SMALL)
    document["nodes"]["hello"] = {"kind": "message", "say": "hello", "goto": "again"}
    document["nodes"]["again"] = {"kind": "message", "say": "hello", "goto": "hello", "otherwise": "menu"}
    assert ("nodes.hello.goto", "goes in a circle without waiting") in problems(document)


def test_all_problems_are_told_at_once() -> None:
    document = deepcopy(SMALL)
    document["nodes"]["hello"]["colour"] = "red"
    document["nodes"]["menu"]["goto"] = "smu"
    document["texts"]["go"]["en"] = "See the whole long menu"
    document["texts"]["done"] = "{cod}"
    found = dict(problems(document))
    assert set(found) == {"nodes.hello.colour", "nodes.menu.goto", "texts.done"}
    with pytest.raises(FlowError) as caught:
        load_flow(document)
    assert "(and 2 more)" in str(caught.value)


def test_hint_names_the_node_that_was_meant() -> None:
    with pytest.raises(FlowError) as caught:
        load_flow(changed("nodes.menu.goto", "sums"))
    assert caught.value.problems[0].hint == "Did you mean “sum”?"


def test_published_schema_is_closed_and_described() -> None:
    schema = Flow.model_json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"version", "start", "on_order", "locales", "nodes"}
    (nodes,) = schema["properties"]["nodes"]["patternProperties"].values()
    mapping = nodes["discriminator"]["mapping"]
    assert {"message", "menu", "cart", "ask", "confirm", "place_order", "handover", "info", "repeat"} == set(mapping)


@pytest.mark.parametrize("key", sorted(PHRASEBOOK))
def test_engine_sentence_exists_in_every_language_with_the_same_placeholders(key: str) -> None:
    texts = PHRASEBOOK[key]
    assert set(texts) == {"es", "en", "pt"}
    assert len({placeholders_of(text) for text in texts.values()}) == 1
    most = 20 if key in BUTTON_KEYS else 24 if key in ROW_KEYS else 1024
    assert max(len(text) for text in texts.values()) <= most


@pytest.mark.parametrize("key", sorted(standard_document()["texts"]))
def test_standard_sentence_exists_in_every_language(key: str) -> None:
    texts = load_flow(standard_document()).texts[key]
    assert set(texts) == {"es", "en", "pt"}
    assert in_language(texts, "pt") != ""
