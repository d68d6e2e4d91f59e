from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from typer.testing import CliRunner

from comanda_cli.app import app
from comanda_cli.local.layout import Layout
from comanda_store import Claim, SendResult, StatusItem, Store
from comanda_store.sqlite.engine import sqlite_url
from tests.cluster import FaultProxy
from tests.harness import until
from tests.postgres import DatabaseUrls, PostgresServer
from tests.postgres.server import SERVICE
from tests.test_store.test_store import MESSAGE, ORDER, PACE, SCOPE, result

runner = CliRunner()


async def park(url: str) -> None:
    store = await Store.open(url, pod="pod-0", incarnation="pod-0:1")
    (ingested,) = await store.ingest([MESSAGE])
    for _ in range(5):
        claim = await store.claim(SCOPE, ingested.customer_id)
        assert isinstance(claim, Claim)
        await store.release(claim, "KeyError in handle")
    assert await store.claim(SCOPE, ingested.customer_id) is None
    await store.close()


def command(*arguments: str) -> tuple[int, str]:
    ran = runner.invoke(app, arguments)
    return ran.exit_code, ran.output


async def invoked(*arguments: str) -> tuple[int, str]:
    # A command has an event loop of its own, as it has when a person runs it.
    return await asyncio.to_thread(command, *arguments)


async def test_parked_messages_of_a_data_folder_are_listed_and_retried(tmp_path: Path) -> None:
    path = Layout(tmp_path).database("default/pool-default")
    path.parent.mkdir(parents=True)
    await park(sqlite_url(path))
    where = ("--tenant", "default/napoli", "--data-dir", str(tmp_path))
    code, said = await invoked("messages", "parked", *where)
    assert (code, "KeyError in handle" in said) == (0, True)
    assert await invoked("messages", "retry", "7", *where) == (1, "default/napoli has no parked message 7.\n")
    assert await invoked("messages", "retry", "1", *where) == (0, "Message 1 will be tried again.\n")
    assert await invoked("messages", "parked", *where) == (0, "No parked messages.\n")


async def test_parked_messages_of_a_server_are_listed_and_retried(database: DatabaseUrls) -> None:
    await park(database.service)
    where = ("--tenant", "default/napoli", "--database-url", database.service)
    code, said = await invoked("messages", "parked", *where)
    assert (code, "KeyError in handle" in said) == (0, True)
    assert (await invoked("messages", "retry", "1", *where))[0] == 0
    assert await database.sql("select actor is not null, action from audit") == [(True, "message.retried")]


async def test_the_orders_of_a_server_are_listed_one_restaurant_at_a_time(database: DatabaseUrls) -> None:
    store = await Store.open(database.service, pod="pod-0", incarnation="pod-0:1")
    (ingested,) = await store.ingest([MESSAGE])
    claim = await store.claim(SCOPE, ingested.customer_id)
    assert isinstance(claim, Claim)
    await store.finish(claim, result(order=ORDER))
    await store.close()
    where = ("--database-url", database.service)
    code, said = await invoked("orders", "list", "--tenant", "default/napoli", "-o", "json", *where)
    assert code == 0
    assert [(order["code"], order["payment"]) for order in json.loads(said)] == [("K7F2M", "Efectivo")]
    assert await invoked("orders", "list", "--tenant", "default/other", *where) == (0, "No orders yet.\n")
    code, said = await invoked("orders", "list", *where)
    assert (code, "--tenant" in said) == (1, True)


async def test_a_database_is_migrated_and_may_be_again(postgres: PostgresServer) -> None:
    urls = await postgres.new_database(template="template0")
    for _ in range(2):
        code, said = await invoked("db", "migrate", "--url", urls.owner, "--service-role", SERVICE)
        assert (code, "is up to date" in said) == (0, True)


async def test_a_server_that_is_not_there_yet_is_waited_for(postgres: PostgresServer) -> None:
    urls = await postgres.new_database(template="template0")
    server, proxy, refused = urlsplit(urls.owner), FaultProxy(urlsplit(urls.owner).port or 5432), 0

    def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        refused += 1
        writer.close()

    later = urls.owner.replace(f":{server.port}/", f":{proxy.port}/")
    async with await asyncio.start_server(refuse, "127.0.0.1", proxy.port):
        waiting = asyncio.create_task(
            invoked("db", "migrate", "--url", later, "--service-role", SERVICE, "--wait=60"),
        )
        await until(lambda: refused >= 2, 30, "it has tried twice")
    async with proxy:
        code, said = await waiting
    assert (code, "is up to date" in said) == (0, True)


async def test_a_database_that_cannot_be_reached_is_an_error_with_a_way_out() -> None:
    code, said = await invoked("db", "migrate", "--url", "postgresql://owner:canary@127.0.0.1:9/x")
    assert code == 1
    assert "could not be brought up to date" in said
    assert "canary" not in said


async def deliver(url: str) -> None:
    """Answer one message twice; one answer is delivered, the other was sent and no more."""
    store = await Store.open(url, pod="pod-0", incarnation="pod-0:1")
    (ingested,) = await store.ingest([replace(MESSAGE, at_once=True)])
    assert ingested.claim is not None
    for place, send in enumerate((await store.finish(ingested.claim, result("{}", "{}"))).sends):
        sent = StatusItem("default/napoli", "11", f"out{place}", "sent", 1, send.outbox_id, "{}")
        kind = replace(sent, category="service", pricing_type="regular", pricing_model="PMP")
        priced = replace(kind, market="Chile", price_micros=12_500, price_currency="USD", price_reason="billed")
        await store.begin_send(send, PACE)
        await store.finish_send(send, SendResult("sent", wamid=priced.wamid))
        delivered = [replace(priced, status="delivered", rank=2)] if place == 0 else []
        await store.ingest([priced, *delivered])
    await store.close()


async def test_costs_are_those_of_delivered_messages_with_a_forecast(tmp_path: Path) -> None:
    path = Layout(tmp_path).database("default/pool-default")
    path.parent.mkdir(parents=True)
    await deliver(sqlite_url(path))
    where = ("--tenant", "default/napoli", "--data-dir", str(tmp_path))
    code, said = await invoked("costs", *where, "--output", "json")
    month = json.loads(said)
    (line,), (forecast,) = month["costs"], month["forecast"]
    assert (code, line["messages"], line["micros"], line["cost"]) == (0, 1, 12_500, "0.0125 USD")
    assert (forecast["phone_number_id"], forecast["left"], forecast["runs_out"]) == ("11", 999, "")
    assert "0.0125 USD" in (await invoked("costs", *where))[1]
    assert "No message has been delivered" in (await invoked("costs", "--tenant", "default/farol", *where[2:]))[1]
    code, said = await invoked("costs", *where, "--timezone", "Mars/Olympus")
    assert (code, "Mars/Olympus is no" in said) == (1, True), said


async def test_costs_of_a_server_are_those_of_one_tenant(database: DatabaseUrls) -> None:
    await deliver(database.service)
    where = ("--database-url", database.service, "--output", "json")
    found = [json.loads((await invoked("costs", "--tenant", f"default/{name}", *where))[1]) for name in ("napoli", "x")]
    assert [[line["messages"] for line in month["costs"]] for month in found] == [[1], []]
