"""Nothing that names a person or opens a door reaches a pod's output: planted, then searched for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.harness import until
from tests.postgres import DatabaseUrls
from tests.torture.world import GROUP_KEY, NUMBERS, World

PHONE = "56998877665"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.timeout(200)
async def test_logs_and_metrics_hold_no_phone_text_token_or_key(
    tmp_path: Path, database: DatabaseUrls, kind: str
) -> None:
    async with World(tmp_path, database if kind == "postgresql" else None, seed=5) as world:
        # Sends are refused, lost and cut short, so that whatever may be logged is.
        world.graph.refuse = 1.0
        ordering = asyncio.gather(world.order(NUMBERS[0], PHONE), world.order(NUMBERS[1], PHONE + "1"))
        await until(lambda: world.graph.refusals > 0, 30, "a send was refused")
        world.graph.refuse, world.graph.lose_answer = 0.0, 1.0
        await until(lambda: any(send.lost for send in world.history.sends), 30, "an answer was lost")
        world.graph.lose_answer = 0.0
        await ordering
        await world.settle()
        metrics = []
        for pod in world.pods:
            async with world.session.get(f"http://127.0.0.1:{pod.port}/metrics") as response:
                metrics.append(await response.text())
        logs = [pod.log.read_text() for pod in world.pods]
    assert "send_refused" in "".join(logs)
    assert 'comanda_botpod_turns_total{outcome="done",plan="standard"}' in "".join(metrics)
    for canary in (PHONE, "margarita", f"token-{NUMBERS[0]}", f"token-{NUMBERS[1]}", GROUP_KEY, '"Ana"'):
        for text in (*logs, *metrics):
            assert canary not in text, canary
