"""Plain JSON of bounded size: what a handler may keep from one turn to the next."""

from __future__ import annotations

import json
import re
from typing import Any

from comanda_botpod.handlers.sdk.gathered import UsageError

_WORD = re.compile(r"[A-Za-z_]\w{0,39}", re.ASCII)
_HINT = "JSON knows objects with text keys, lists, texts, numbers, true, false and null."
_LARGEST = 2**63


def plain_json(path: str, value: Any, limit: int) -> bytes:
    """Write a value as JSON. Raises `UsageError` when it is not plain JSON or has more than `limit` bytes."""
    try:
        _check(path, value)
        content = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except RecursionError:
        raise UsageError(path, "is nested too deep, or holds itself") from None
    except UnicodeEncodeError:
        raise UsageError(path, "holds a text that is no Unicode") from None
    if len(content) > limit:
        hint = "Keep what the next turn needs, and the rest in a service of your own."
        raise UsageError(path, f"has {len(content)} bytes as JSON, {limit} are allowed", hint=hint)
    return content


def _check(path: str, value: Any) -> None:
    match value:
        case None | bool() | str():
            return
        case int():
            if not -_LARGEST <= value < _LARGEST:
                raise UsageError(path, "is a number of more than 64 bits", hint="Keep it as a text.")
        case float():
            if value in {float("inf"), float("-inf")} or value != value:  # noqa: PLR0124 - NaN alone differs from itself
                raise UsageError(path, "is no number that JSON knows", hint=_HINT)
        case list() | tuple():
            for index, each in enumerate(value):
                _check(f"{path}[{index}]", each)
        case dict():
            for key, each in value.items():
                _check_key(path, key)
                _check(f"{path}.{_shown(key)}", each)
        case _:
            raise UsageError(path, f"is a {type(value).__name__}", hint=_HINT)


def _check_key(path: str, key: Any) -> None:
    if not isinstance(key, str):
        raise UsageError(path, f"has a key that is a {type(key).__name__}", hint=_HINT)


def _shown(key: str) -> str:
    """Return a key that may be shown: one that looks like a name in code, not like something a customer wrote."""
    return key if _WORD.fullmatch(key) else "*"
