"""Finding a handler: an entry point of the group `comanda.handlers`, by its name or by what it points to."""

from __future__ import annotations

import inspect
import traceback
from importlib.metadata import EntryPoint, entry_points
from types import TracebackType
from typing import Any

from comanda_botpod.handlers.sdk.turn import HandlerFunction

GROUP = "comanda.handlers"
_FRAMES = 20


class LoadError(Exception):
    """A handler cannot be used; the text is the end of a sentence that begins with its name."""


def load_handler(reference: str) -> HandlerFunction:
    """Return the handler that a reference names: an entry point's name, or its `module:object`. Raises `LoadError`."""
    found = _find(reference)
    try:
        handler = found.load()
    except AttributeError as error:
        message = f"could not be imported: {_what(error)}"
        raise LoadError(message) from error
    except (Exception, SystemExit) as error:
        # No customer has written anything yet, so what the error says can be shown.
        message = f"could not be imported: {_what(error)} at {' < '.join(frames_of(error.__traceback__)[::-1])}"
        raise LoadError(message) from error
    if not callable(handler):
        raise LoadError(f"is a {type(handler).__name__} and cannot be called; name a coroutine function.")
    if not (inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))):  # noqa: B004
        raise LoadError("is no coroutine function; write `async def`.")
    checked: HandlerFunction = handler
    return checked


def frames_of(trace: TracebackType | None, *, skip: str = "") -> list[str]:
    """Return `file:line in function` of a traceback, the innermost last; no source and no values.

    Frames of files under `skip`, and of the import system, are left out.
    """
    frames = [
        f"{frame.filename}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(trace)
        if not frame.filename.startswith("<frozen importlib") and not (skip and frame.filename.startswith(skip))
    ]
    return frames[-_FRAMES:]


def line_of(trace: TracebackType | None, module: str) -> str:
    """Return `file:line in function` of the innermost frame in a module's package; "" when none is."""
    package = module.partition(".")[0]
    own = [
        f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(trace)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return own[-1] if own else ""


def _find(reference: str) -> EntryPoint:
    known = entry_points(group=GROUP)
    found = {each.value: each for each in known if reference in {each.name, each.value.replace(" ", "")}}
    if not found:
        names = ", ".join(sorted(f"{each.name} ({each.value})" for each in known)) or "none"
        raise LoadError(f"is no entry point of the group {GROUP}. Installed are: {names}.")
    if len(found) > 1:
        raise LoadError(f"names more than one entry point of the group {GROUP}: {', '.join(sorted(found))}.")
    return next(iter(found.values()))


def _what(error: BaseException) -> Any:
    return f"{type(error).__name__}: {error}"
