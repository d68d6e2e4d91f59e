"""What local mode says while it runs: lines for people, or one JSON object a line for programs.

Nothing is said before `ready` in the JSON form: what came earlier follows it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

OutputFormat = Literal["text", "json"]

_SENTENCES: dict[str, str] = {
    "starting": "Starting {what}",
    "ready": "Ready. Meta's webhooks go to {router}/webhook",
    "simulator": "Chat with your bots at {url}",
    "process_started": "{process} started (pid {pid})",
    "process_exited": "{process} ended with code {code}; starting it again. Its log: {log}",
    "tenant_ready": "{tenant} is served by {group}",
    "tenant_removed": "{tenant} is no longer served",
    "resource_refused": "{kind} {name}: {message}",
    "file_refused": "{problem}",
    "file_accepted": "{file} is in force again",
    "kind_ignored": "{file}: kind {kind} is not used in local mode",
    "reload_failed": "The folder could not be read again; what was read before stays in force: {message}",
    "stopping": "Stopping: finishing what was acknowledged",
    "stopped": "Stopped",
}
_STYLES = {
    "ready": "bold green",
    "simulator": "bold cyan",
    "process_exited": "yellow",
    "resource_refused": "yellow",
    "file_refused": "red",
    "reload_failed": "red",
}


class Events:
    """Says events, in one of the two forms."""

    def __init__(self, output: OutputFormat, on_ready: Callable[[], None] | None = None) -> None:
        self._json = output == "json"
        self._console = Console(stderr=False, highlight=False, soft_wrap=True)
        self._on_ready = on_ready
        self._held: list[dict[str, Any]] | None = [] if self._json else None

    def say(self, event: str, **facts: Any) -> None:
        """Say one event; `facts` are its fields."""
        if event == "ready" and self._on_ready is not None:
            self._on_ready()
        if self._json:
            self._say_json({"event": event, "at": round(time.time(), 3), **facts})
            return
        sentence = _SENTENCES[event].format(**facts)
        self._console.print(Text(f"{time.strftime('%H:%M:%S')}  {sentence}", style=_STYLES.get(event, "")))

    def _say_json(self, record: dict[str, Any]) -> None:
        if self._held is not None and record["event"] != "ready":
            self._held.append(record)
            return
        held, self._held = self._held or [], None
        for each in (record, *held):
            _to_stdout(json.dumps(each, ensure_ascii=False))

    def release(self) -> None:
        """Say what was held back although nothing became ready: the reasons are in it."""
        held, self._held = self._held or [], None
        for each in held:
            _to_stdout(json.dumps(each, ensure_ascii=False))


def _to_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
