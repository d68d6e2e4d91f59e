from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from comanda_kube.client import Client
from comanda_kube.events import BURST, SERIES_SECONDS, TRICKLE_SECONDS, Ledger, Recorder, Said
from comanda_kube.resources import CONFIG_MAPS, EVENTS, Selection
from tests.harness import until
from tests.test_kube.support import config_map

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def said(note: str = "Secret shop/token does not exist.", uid: str = "u1") -> Said:
    regarding = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "napoli", "uid": uid}
    return Said(regarding, "SecretMissing", note, "Warning")


def test_the_same_said_again_is_one_series_and_after_a_while_a_new_event() -> None:
    ledger = Ledger()
    first = ledger.take(said(), 0, NOW)
    again = ledger.take(said(), SERIES_SECONDS, NOW)
    assert first is not None
    assert again is first
    assert first.count == 2
    later = ledger.take(said(), 2 * SERIES_SECONDS + 1, NOW)
    assert later is not None
    assert later.count == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 3)), max_size=200))
def test_an_object_never_gets_more_than_its_burst_and_its_trickle(steps: list[tuple[float, int]]) -> None:
    ledger, now, taken = Ledger(), 0.0, 0
    for wait, note in steps:
        now += wait
        taken += ledger.take(said(str(note)), now, NOW) is not None
        assert taken <= BURST + now / TRICKLE_SECONDS
    assert taken + ledger.suppressed == len(steps)


def test_a_chatty_object_does_not_silence_another() -> None:
    ledger = Ledger()
    for note in range(2 * BURST):
        ledger.take(said(str(note)), 0, NOW)
    assert ledger.take(said(uid="u2"), 0, NOW) is not None


async def test_events_are_there_for_kubectl_describe_with_a_count(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAPS, config_map(namespace, "napoli"))
    regarding = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "namespace": namespace,
        "name": "napoli",
        "uid": made["metadata"]["uid"],
    }
    recorder = Recorder(client, "comanda.dev/operator", "operator-0")
    task = asyncio.create_task(recorder.run())
    for _ in range(3):
        recorder.say(Said(regarding, "SecretMissing", "Secret token does not exist; create it.", "Warning"))
    recorder.say(Said({**regarding, "namespace": "no-such-namespace"}, "Lost", "Nobody sees this."))
    recorder.say(Said(regarding, "Ready", "It is served."))
    found: dict[str, Any] = {}

    async def are_there() -> bool:
        async for page in client.list(Selection(EVENTS, namespace)):
            for raw in page.items:
                event = msgspec.json.decode(raw)
                found[event["reason"]] = event
        return found.keys() == {"SecretMissing", "Ready"} and "series" in found["SecretMissing"]

    await until(are_there)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert found["SecretMissing"]["series"]["count"] == 3
    assert found["SecretMissing"]["type"] == "Warning"
    assert found["Ready"]["reportingController"] == "comanda.dev/operator"
    assert recorder.failed == 1
