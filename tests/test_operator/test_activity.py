"""When a tenant's last message came: in its status, within an hour, and not a write for each."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from comanda_operator.activity import NEWS_SECONDS, is_news, time_of
from comanda_operator.reconcile import TENANTS
from tests.harness import until
from tests.test_operator.cluster import Cluster, Nodes, cluster


@pytest.mark.parametrize(("later", "news"), [(0, False), (NEWS_SECONDS - 1, False), (NEWS_SECONDS, True)])
def test_a_message_an_hour_later_is_news(later: int, *, news: bool) -> None:
    assert is_news(1_800_000_000 + later, time_of(1_800_000_000)) == news
    assert is_news(1, ""), "the first one is, whenever it came"


async def told(site: Cluster, namespace: str, name: str) -> str:
    return str((await site.get(TENANTS, namespace, name))["status"].get("lastMessageTime", ""))


@pytest.mark.timeout(240)
async def test_the_status_says_when_the_last_message_came(tmp_path: Path) -> None:
    now = int(time.time())
    async with cluster(tmp_path) as site:
        await site.app()
        await site.pool()
        shop = await site.namespace()
        for name in ("napoli", "farol"):
            await site.tenant(shop, name)
        nodes = Nodes(site)
        numbers = [site.numbers[f"{shop}/{name}"] for name in ("napoli", "farol")]
        async with site.operator(ACTIVITY_SECONDS="0.2") as operator, nodes.running():
            for name in ("napoli", "farol"):
                await site.becomes(TENANTS, shop, name, "Acknowledged")
            nodes.last_messages = {numbers[0]: now - 5000}

            async def is_told() -> bool:
                return await told(site, shop, "napoli") == time_of(now - 5000)

            await until(is_told)
            await until(operator.is_settled)
            seen = len(site.server.audit())
            nodes.last_messages = {numbers[0]: now - 4000, numbers[1]: now - 10}

            async def is_first_told() -> bool:
                return await told(site, shop, "farol") == time_of(now - 10)

            await until(is_first_told)
            assert await is_told(), "half an hour later is no news"
            await until(operator.is_settled)
            assert [each["objectRef"]["name"] for each in site.writes(seen)] == ["farol"]
            for hostile in (
                b'{"last_messages": {"\xff": 1}}',
                b"[" * 100_000,
                b"{}" * 3_000_000,
                b'{"last_messages": {"1": 1e300}}',
            ):
                nodes.raw_activity = hostile
                seen = len(operator.log.read_text())
                nodes.asked.clear()
                await asyncio.wait_for(nodes.asked.wait(), 60)
                await until(operator.leads)
                assert "part_ended" not in operator.log.read_text()[seen:]
            nodes.raw_activity = None
            await site.tenant(shop, "napoli", displayName="Another name")
            await until(operator.is_settled)
            assert await told(site, shop, "napoli") >= time_of(now - 5000), "an edit forgets nothing"
