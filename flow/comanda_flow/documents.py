"""What flow and restaurant documents share: closed models, texts by language, and schema errors as `Problem`s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema

from comanda_flow.errors import Problem

ANY_LANGUAGE = "*"
"""The language under which a plain string is kept: it serves every customer."""


class Document(BaseModel):
    """Base of every documented object: immutable, and unknown fields are refused, so that a typo is never silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _by_language(value: object) -> object:
    return {ANY_LANGUAGE: value} if isinstance(value, str) else value


def _not_empty(texts: dict[str, str]) -> dict[str, str]:
    if not texts or not all(text.strip() for text in texts.values()):
        raise ValueError("must not be empty")
    return texts


LocalText = Annotated[
    dict[str, str],
    BeforeValidator(_by_language),
    AfterValidator(_not_empty),
    WithJsonSchema(
        {
            "description": "One text for everybody, or a map from language (es, en, pt) to text.",
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}, "minProperties": 1},
            ],
        }
    ),
]
"""A text in one or several languages: a plain string, or a map from language to string."""


def in_language(texts: Mapping[str, str], language: str) -> str:
    """Return a text in a language; else the one for everybody; else the first one written."""
    return texts.get(language) or texts.get(ANY_LANGUAGE) or next(iter(texts.values()), "")


def language_of(locale: str) -> str:
    """Return the language of a locale: `es` of `es-CL`."""
    return locale.replace("_", "-").split("-")[0].lower()


def dotted(location: Iterable[str | int]) -> str:
    """Write a location as people do: `nodes.menu.options[2].goto`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def schema_problems(error: ValidationError, *, tagged: str = "") -> list[Problem]:
    """Turn a schema error into problems.

    `tagged` names the map whose values are told apart by `kind`: pydantic puts the kind into the location, where the
    document has none.
    """
    problems = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        location = list(detail["loc"])
        if tagged and len(location) > 2 and location[0] == tagged:
            del location[2]
        problems.append(Problem(dotted(location), _rule(detail), _HINTS.get(detail["type"], "")))
    return problems


_HINTS = {
    "extra_forbidden": "Check the spelling, or take it out.",
    "missing": "Add it.",
    "union_tag_not_found": "Every node needs a kind.",
    "string_type": "Put it in quotes.",
}


def _rule(detail: Any) -> str:
    if detail["type"] == "extra_forbidden":
        return "is not a known field"
    message: str = detail["msg"].removeprefix("Value error, ")
    return message if message[:2].isupper() else message[:1].lower() + message[1:]
