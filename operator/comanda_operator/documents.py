"""Flow and menu of a tenant, from the texts of a ConfigMap.

Whoever may write ConfigMaps in a tenant's namespace writes them, and they share a Secret with those of other tenants: a
text must not make that too large, nor be of a shape that its pods cannot read, nor keep the operator busy. What they
mean is for the pods to judge, one tenant at a time. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from comanda_contract.errors import InvalidInputError
from comanda_contract.resources.tenant import FLOW_KEY, RESTAURANT_KEY

LARGEST_TEXT = 64 * 1024
"""Characters of a flow or a menu; the largest of the examples have 5,000."""
MOST_VALUES = 20_000
"""Values in one of them, those of an alias each time that it stands there: a text can name the same list a million
times in a few lines."""

Documents = Mapping[str, dict[str, Any] | None]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_documents(texts: Mapping[str, str]) -> Documents:
    """Return flow and menu by their keys, as JSON has them. Raises `InvalidInputError` that names the key."""
    return {key: _read(key, texts[key]) for key in (FLOW_KEY, RESTAURANT_KEY) if key in texts}


def _read(key: str, text: str) -> dict[str, Any] | None:
    if len(text) > LARGEST_TEXT:
        raise InvalidInputError(key, f"has {len(text)} characters, more than the {LARGEST_TEXT} that fit.")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - it is a safe one
        _check_size(key, value)
        plain = msgspec.json.decode(msgspec.json.encode(value))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise InvalidInputError(key, f"is no YAML: line {line}.") from None
    except (yaml.YAMLError, msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        # Dates that are none, keys that are lists, numbers that no JSON has, and what is nested without end.
        raise InvalidInputError(key, f"is no document ({type(error).__name__}).") from None
    if plain is not None and not isinstance(plain, dict):
        raise InvalidInputError(key, "must be a mapping of names to values.")
    return plain


def _check_size(key: str, value: Any) -> None:
    waiting, seen = [value], 0
    while waiting:
        seen += 1
        if seen > MOST_VALUES:
            raise InvalidInputError(key, f"holds more than {MOST_VALUES} values.")
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list | set | tuple):
            waiting += each
