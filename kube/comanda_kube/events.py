"""Events that people read in `kubectl describe`: few, and each once, with a count.

The same thing said again of the same object within ten minutes is one Event whose series counts. Per object there is a
burst and then a trickle; what is over it is counted and not written. Writing happens in the background and never fails
anybody: an Event is a courtesy. Source of the numbers: client-go's event correlator.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Literal

import structlog

from comanda_kube.client import Client
from comanda_kube.errors import ApiError
from comanda_kube.resources import EVENTS, Json

_log = structlog.get_logger()

SERIES_SECONDS = 600.0
BURST = 25
TRICKLE_SECONDS = 300.0
"""After the burst one Event of an object is written in so many seconds."""
BURST_ALL, TRICKLE_ALL_SECONDS = 200, 0.5
"""The same for all objects together: thousands that become ready at once are no news each."""
NOTE_CHARACTERS = 1024
KNOWN = 4096
"""Series and objects that are remembered."""
WAITING = 1000


@dataclass(frozen=True)
class Said:
    """One thing to be told of an object; `regarding` is its reference (apiVersion, kind, namespace, name, uid)."""

    regarding: Mapping[str, str] = field(hash=False)
    reason: str
    note: str
    type: Literal["Normal", "Warning"] = "Normal"
    action: str = "Reconcile"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two of them one series."""
        return (self.regarding.get("uid", ""), self.reason, self.type, self.note)


@dataclass
class _Series:
    name: str
    begun: datetime
    last_at: float
    count: int = 1


class Ledger:
    """Which Event a thing said becomes. Pure: `now` is monotonic in seconds, `wall` is the time to write down."""

    def __init__(self) -> None:
        self.suppressed = 0
        self._series: OrderedDict[tuple[str, str, str, str], _Series] = OrderedDict()
        self._owed: OrderedDict[str, float] = OrderedDict()
        """By object: when all that was written of it will have been earned again."""
        self._owed_by_all = 0.0

    def take(self, said: Said, now: float, wall: datetime) -> _Series | None:
        """Count a thing said; None when too much was said of its object lately."""
        uid = said.regarding.get("uid", "")
        owed, by_all = max(now, self._owed.get(uid, 0.0)), max(now, self._owed_by_all)
        too_much = by_all - now > (BURST_ALL - 1) * TRICKLE_ALL_SECONDS
        if too_much or owed - now > (BURST - 1) * TRICKLE_SECONDS:
            self.suppressed += 1
            return None
        self._owed_by_all = by_all + TRICKLE_ALL_SECONDS
        _remember(self._owed, uid, owed + TRICKLE_SECONDS)
        known = self._series.get(said.key)
        if known is not None and now - known.last_at <= SERIES_SECONDS:
            known.count += 1
            known.last_at = now
            return known
        digest = hashlib.sha256("\0".join((*said.key, wall.isoformat())).encode()).hexdigest()[:16]
        made = _Series(f"{said.regarding['name'][:200]}.{digest}", wall, now)
        _remember(self._series, said.key, made)
        return made


class Recorder:
    """Writes Events in the background: `run` it, and `say` things meanwhile. `instance` names this replica."""

    def __init__(self, client: Client, controller: str, instance: str) -> None:
        self.dropped = self.failed = 0
        """What waited too long, and what the API did not take."""
        self._client = client
        self._by = {"reportingController": controller, "reportingInstance": instance}
        self._ledger = Ledger()
        self._waiting: asyncio.Queue[tuple[Said, _Series]] = asyncio.Queue(WAITING)

    @property
    def suppressed(self) -> int:
        """How much was said too often to be written."""
        return self._ledger.suppressed

    def say(self, said: Said) -> None:
        """Have something told; returns at once."""
        series = self._ledger.take(said, monotonic(), datetime.now(UTC))
        if series is None:
            return
        try:
            self._waiting.put_nowait((said, series))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            said, series = await self._waiting.get()
            try:
                await self._client.apply(EVENTS, self._event(said, series))
            except ApiError as error:
                self.failed += 1
                _log.warning("event_not_written", reason=said.reason, code=error.code)

    def _event(self, said: Said, series: _Series) -> Json:
        event: dict[str, Any] = {
            "metadata": {"namespace": said.regarding.get("namespace") or "default", "name": series.name},
            "eventTime": _time(series.begun),
            "regarding": dict(said.regarding),
            "reason": said.reason,
            "note": said.note[:NOTE_CHARACTERS],
            "type": said.type,
            "action": said.action,
            **self._by,
        }
        if series.count > 1:
            event["series"] = {"count": series.count, "lastObservedTime": _time(datetime.now(UTC))}
        return event


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _remember(known: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > KNOWN:
        known.popitem(last=False)
