"""How one field of a send is read: present, of the right kind, within its limit, or refused with Meta's code.

A field of the wrong JSON kind is an invalid parameter (100), a missing one 131008, a value beyond a rule 131009.
"""

from __future__ import annotations

from typing import Any

from comanda_contract.cloud import limits
from comanda_simulator.errors import GraphRefusal

Json = dict[str, Any]


def missing(path: str) -> GraphRefusal:
    """Return the refusal of a required field that is absent."""
    return GraphRefusal(131008, f"Parameter {path} is missing.")


def invalid(path: str, rule: str) -> GraphRefusal:
    """Return the refusal of a value that breaks a rule."""
    return GraphRefusal(131009, f"{path} {rule}.")


def wrong_kind(path: str, kind: str) -> GraphRefusal:
    """Return the refusal of a parameter that is not of the JSON kind or size that Meta's schema wants."""
    rule = f"Param {path} must be {kind}."
    return GraphRefusal(100, rule, title=f"(#100) {rule}")


def need_object(parent: Json, key: str, path: str) -> Json:
    """Return a required JSON object."""
    value = parent.get(key)
    if value is None:
        raise missing(path)
    if not isinstance(value, dict):
        raise wrong_kind(path, "a JSON object")
    return value


def need_list(parent: Json, key: str, path: str, least: int, most: int) -> list[Json]:
    """Return a required list of JSON objects with `least` to `most` entries."""
    value = parent.get(key)
    if value is None:
        raise missing(path)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise wrong_kind(path, "an array of JSON objects")
    if not least <= len(value) <= most:
        raise invalid(path, f"has {len(value)} entries, allowed are {least} to {most}")
    return value


def need_text(parent: Json, key: str, path: str, most: int) -> str:
    """Return a required, non-blank text of at most `most` characters."""
    text = optional_text(parent, key, path, most)
    if text is None:
        raise missing(path)
    if not text.strip():
        raise invalid(path, f"length invalid. Min length: 1, Max length: {most}")
    return text


def optional_text(parent: Json, key: str, path: str, most: int) -> str | None:
    """Return a text of at most `most` characters, or None when it is absent."""
    text = parent.get(key)
    if text is None:
        return None
    if not isinstance(text, str):
        raise wrong_kind(path, "a string")
    # At most two UTF-16 units a code point, so short texts need no counting.
    if 2 * len(text) > most and limits.length(text) > most:
        raise invalid(path, f"length invalid. Min length: 1, Max length: {most}")
    return text


def check_parameter(text: Any, name: str, most: int) -> None:
    """Check one of the texts whose excess Meta calls an invalid parameter (100) rather than an invalid value."""
    if not isinstance(text, str):
        raise wrong_kind(name, "a string")
    if 2 * len(text) > most and limits.length(text) > most:
        raise wrong_kind(name, f"at most {most} characters long")


def need_value(parent: Json, key: str, path: str, *allowed: str) -> str:
    """Return a required text that is one of `allowed`."""
    value = parent.get(key)
    if value is None:
        raise missing(path)
    if value not in allowed:
        raise invalid(path, f"must be one of {', '.join(allowed)}")
    return str(value)


def need_number(parent: Json, key: str, path: str, least: float, most: float) -> float:
    """Return a required number from `least` to `most`; Meta takes numbers written as text too."""
    value = parent.get(key)
    if value is None:
        raise missing(path)
    try:
        number = float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError) as error:
        raise wrong_kind(path, "a number") from error
    if not least <= number <= most:
        raise invalid(path, f"must lie between {least:g} and {most:g}")
    return number


def need_distinct(values: list[str], path: str) -> None:
    """Refuse values that occur twice."""
    if len(set(values)) < len(values):
        raise invalid(path, "must be unique")


def need_url(parent: Json, key: str, path: str) -> str:
    """Return a required URL with an http or https scheme."""
    url = need_text(parent, key, path, limits.URL)
    if not url.startswith(("https://", "http://")):
        raise invalid(path, "is not a valid URL, it needs a scheme")
    return url
