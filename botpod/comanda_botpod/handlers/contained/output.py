"""What a worker prints and logs: taken in bounded amounts, with what names a person or is secret blacked out.

A worker that prints without end is read slowly and for the most part thrown away: it is the worker that waits.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping

import structlog

from comanda_botpod.handlers.contained.wire import Said
from comanda_botpod.handlers.sdk.context import Fact

_log = structlog.get_logger()

LINES = 100
"""Lines that are logged in a window; the others are counted."""
WINDOW_SECONDS = 10.0
LINE_CHARACTERS = 500
_CHUNK = 64 * 1024
_FLOOD_BYTES = 1024 * 1024
"""What a stream may give in a window at full speed."""
FLOOD_EVENTS = 256
"""Events that are left out between two pauses: about 20,000 a second are read, and what comes after them in time."""
_PAUSE_SECONDS = 0.02
"""Between chunks of a flood: about 3 MB/s are read of it."""

_PERSONAL = re.compile(r"wamid\.[\w+/=-]*|EAA\w{17,}|\+\d[\d ().\-]{5,}\d|\d{7,}")
"""Meta's message ids (which hold a phone number), its access tokens, written phone numbers, long runs of digits."""
_MARK = "[…]"


class Redaction:
    """Blacks out personal numbers, and the values of the environment variables that the handler may see."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        # Short values are no secrets, and would black out half of every line.
        self._secrets = sorted((value for value in secrets.values() if len(value) >= 6), key=len, reverse=True)

    def __call__(self, text: str, limit: int = LINE_CHARACTERS) -> str:
        """Return a text that may be logged, cut to a limit."""
        for secret in self._secrets:
            text = text.replace(secret, _MARK)
        text = _PERSONAL.sub(_MARK, text)
        return text if len(text) <= limit else text[: limit - 1] + "…"

    def facts(self, facts: Mapping[str, Fact]) -> dict[str, Fact]:
        """Return facts that may be logged."""
        return {self(name, 60): self._fact(value) for name, value in facts.items()}

    def _fact(self, value: Fact) -> Fact:
        if value is None or isinstance(value, bool):
            return value
        text = self(str(value), 200)
        return value if text == str(value) else text


class Output:
    """Logs for one worker: a fixed number of lines in a window of time, then a count of what was left out."""

    def __init__(self, tenant: str, redact: Redaction, clock: Callable[[], float] = time.monotonic) -> None:
        self._tenant = tenant
        self._redact = redact
        self._clock = clock
        self._window = clock()
        self._lines = 0
        self._bytes = 0
        self._left_out = 0

    async def capture(self, stream: asyncio.StreamReader, name: str) -> None:
        """Log a stream's lines until it ends."""
        rest = b""
        while chunk := await stream.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._line(name, line)
            # The beginning of an endless line is enough of it.
            rest = rest[: LINE_CHARACTERS * 4]
            self._bytes += len(chunk)
            if self._bytes > _FLOOD_BYTES:
                await asyncio.sleep(_PAUSE_SECONDS)
        if rest:
            self._line(name, rest)
        self.settle()

    def said(self, said: Said) -> bool:
        """Log an event of the handler's own; false when so many were too many that the next one shall wait."""
        if not self._room():
            return self._left_out % FLOOD_EVENTS != 0
        facts = self._redact.facts(said.facts)
        _log.log(
            _LEVELS[said.level], "handler_log", tenant=self._tenant, said=self._redact(said.event, 200), facts=facts
        )
        return True

    def settle(self) -> None:
        """Say how much was left out, and begin a new window."""
        if self._left_out:
            _log.warning("handler_output_left_out", tenant=self._tenant, lines=self._left_out)
        self._window, self._lines, self._bytes, self._left_out = self._clock(), 0, 0, 0

    def _line(self, name: str, line: bytes) -> None:
        if not line.isspace() and line and self._room():
            text = line[: LINE_CHARACTERS * 4].decode(errors="replace").rstrip()
            _log.info("handler_output", tenant=self._tenant, stream=name, line=self._redact(text))

    def _room(self) -> bool:
        if self._clock() - self._window >= WINDOW_SECONDS:
            self.settle()
        if self._lines >= LINES:
            self._left_out += 1
            return False
        self._lines += 1
        return True


_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
