"""The whole product with its pool on PostgreSQL: the same YAML, one Secret more."""

from __future__ import annotations

import asyncio

from tests.e2e.test_faults import PHONES
from tests.e2e.world import NAPOLI, ORDER_TOTAL, World, kill
from tests.harness import change, text_message, webhook
from tests.postgres import DatabaseUrls, PostgresServer, postgres_server

SECRET = """
---
apiVersion: v1
kind: Secret
metadata:
  name: pool-database
stringData:
  url: {url}
"""


def use(world: World, urls: DatabaseUrls) -> None:
    """Let the folder's pool keep its data in a PostgreSQL database."""
    platform = world.folder / "platform.yaml"
    text = platform.read_text().replace("  replicas: 2\n", "  replicas: 2\n  database:\n    name: pool-database\n")
    assert "pool-database" in text
    url = urls.service.replace("postgresql://", "postgresql+asyncpg://")
    platform.write_text(text.rstrip("\n") + SECRET.format(url=url))


async def test_orders_are_taken_although_a_pod_is_killed(world: World, database: DatabaseUrls) -> None:
    use(world, database)
    running = await world.up()
    ordering = asyncio.gather(*(world.order(phone) for phone in PHONES[:12]))
    await world.let_write(PHONES[20], "hola")
    kill(running.pid_of("pool-default-0"))
    await ordering
    assert await database.sql("select tenant, total, count(*) from orders group by 1, 2") == [
        ("default/napoli", ORDER_TOTAL, 12)
    ]


async def test_a_pool_that_names_no_database_uses_the_one_that_up_was_given(
    world: World, database: DatabaseUrls
) -> None:
    running = await world.up("--database-url", database.service, "--host", "0.0.0.0")
    assert running.named("ready")[0]["router"] == world.router_url
    await world.order(PHONES[0])
    assert await database.sql("select count(*) from orders") == [(1,)]
    assert not list(world.data_dir.glob("groups/default/pool-*/comanda.db"))


async def test_while_the_database_is_away_meta_is_told_to_come_again_and_nothing_is_lost(world: World) -> None:
    with postgres_server() as server:
        await server.accepts()
        await server.prepare()
        await _away_and_back(world, server)


async def _away_and_back(world: World, server: PostgresServer) -> None:
    urls = await server.new_database()
    use(world, urls)
    await world.up()
    await world.let_write(PHONES[0], "hola")
    await world.count_replies(1)
    server.freeze()
    # Meta's side repeats what is not acknowledged; the customers' messages go out now and arrive when they can.
    writing = asyncio.gather(*(world.let_write(phone, "hola", NAPOLI) for phone in PHONES[1:11]))
    body = webhook(change(NAPOLI, messages=[text_message("wamid.refused", PHONES[30], "menú")]))
    assert await world.post(body) == 503
    server.thaw()
    await writing
    await world.count_replies(11)
