"""A tenant moves between the pods of two groups: let go, handed over, gone on with, by HTTP as the operator does it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from comanda_contract.moves import MOVES_PATH, PARTS, Page, Rest, Standing
from comanda_contract.tenancy import Departure
from tests.harness import text_message, until
from tests.test_botpod.conftest import GROUP_KEY, PodUnderTest, tenant

NUMBER = "10000011"
MOVE = "shop/pool-a>shop/pool-b@2026-11-28T10:00:00Z"
NAPOLI = tenant()
DEPARTURE = Departure(tenant=NAPOLI.tenant, phone_number_id=NUMBER, move=MOVE)
OTHER = tenant("10000022")


@pytest.fixture
async def destination(make_pod: Callable[..., Any]) -> PodUnderTest:
    """A pod of another group, which serves another tenant."""
    made: PodUnderTest = await make_pod(OTHER, name="b-0", group="b")
    return made


async def call(pod: PodUnderTest, method: str, path: str, body: object = None, **query: str) -> tuple[int, bytes]:
    content = msgspec.json.encode(body) if body is not None else None
    headers = {"Authorization": f"Bearer {GROUP_KEY}"}
    url = f"{pod.url}{MOVES_PATH}/{NUMBER}{path}"
    async with pod.session.request(method, url, data=content, params=query, headers=headers) as response:
        return response.status, await response.read()


async def leave(pod: PodUnderTest) -> None:
    pod.mount(leaving=[DEPARTURE])
    await until(pod.has_loaded, what="the tenant is let go")


async def copy(origin: PodUnderTest, destination: PodUnderTest) -> None:
    for part in PARTS:
        status, content = await call(origin, "GET", f"/parts/{part}", move=MOVE)
        assert status == 200, content
        page = msgspec.json.decode(content, type=Page)
        status, content = await call(destination, "POST", f"/parts/{part}", page, tenant=NAPOLI.tenant)
        assert status == 204, content
    status, content = await call(origin, "POST", "/rest", move=MOVE)
    assert status == 200, content
    rest = msgspec.json.decode(content, type=Rest)
    status, content = await call(destination, "POST", "/arrival", rest, tenant=NAPOLI.tenant, move=MOVE)
    assert status == 204, content


async def test_a_conversation_goes_on_where_it_was(pod: PodUnderTest, destination: PodUnderTest) -> None:
    assert await pod.write_items(text_message("w1")) == ["stored"]
    await pod.count_replies(1)
    assert await pod.write_items(text_message("w2", text="quiero una pizza")) == ["stored"]
    before = await pod.count_replies(2)
    await leave(pod)
    assert await pod.write_items(text_message("w3")) == ["refused"]
    await copy(pod, destination)
    destination.mount(OTHER, NAPOLI)
    await until(destination.has_loaded)
    assert await destination.write_items(text_message("w2", text="quiero una pizza")) == ["duplicate"]
    assert await destination.write_items(text_message("w3", text="menu")) == ["stored"]
    replies = await destination.count_replies(3)
    assert replies[:2] == before
    versions = await destination.sql("select version from conversations join tenants using (tenant)")
    assert versions == [(3,)], "it is the conversation of before"


async def test_a_message_that_waits_is_answered_after_the_move_and_once(
    pod: PodUnderTest, destination: PodUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    handle = pod.pod.handlers.handle

    async def slowly(*given: Any) -> Any:
        begun.set()
        await may_end.wait()
        return await handle(*given)

    monkeypatch.setattr(pod.pod.handlers, "handle", slowly)
    assert await pod.write_items(text_message("w1"), text_message("w2")) == ["stored", "stored"]
    await begun.wait()
    pod.mount(leaving=[DEPARTURE])
    await until(lambda: pod.pod.tenants.is_leaving(NUMBER))
    before = pod.pod.tenants.loaded
    pod.write("tenants/shard-01.json", b'{"tenants": []}')
    await until(lambda: pod.pod.tenants.loaded != before, what="the pod has looked again")
    assert "shard-00" not in await pod.shards(), "a turn is under way"
    may_end.set()

    async def let_go() -> bool:
        return "shard-00" in await pod.shards()

    await until(let_go)
    await pod.count_replies(1)
    await copy(pod, destination)
    destination.mount(OTHER, NAPOLI)
    replies = await destination.count_replies(2)
    assert len(replies) == 2
    assert await destination.sql("select distinct state from inbox") == [("done",)]


class TestRefusals:
    async def test_who_serves_a_tenant_hands_nothing_out_and_takes_nothing_in(self, pod: PodUnderTest) -> None:
        for method, path in (("GET", "/parts/inbox"), ("POST", "/rest")):
            status, content = await call(pod, method, path, move=MOVE)
            assert (status, b"not_leaving" in content) == (409, True)
        for path, body in (("/parts/inbox", Page([])), ("/arrival", Rest({}))):
            status, content = await call(pod, "POST", path, body, tenant=NAPOLI.tenant, move=MOVE)
            assert (status, b"served_here" in content) == (409, True)

    async def test_a_number_of_another_tenant_is_not_written_into(self, pod: PodUnderTest) -> None:
        status, content = await call(pod, "POST", "/parts/inbox", Page([]), tenant="shop/another")
        assert (status, b"served_here" in content) == (409, True)

    async def test_another_move_of_the_same_tenant_is_not_this_one(self, pod: PodUnderTest) -> None:
        await leave(pod)
        status, content = await call(pod, "POST", "/rest", move=MOVE + "later")
        assert (status, b"not_leaving" in content) == (409, True)
        status, content = await call(pod, "GET", "", tenant=NAPOLI.tenant, move=MOVE)
        assert msgspec.json.decode(content, type=Standing) == Standing(left=True, arrived=False)

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/parts/inbox", {"rows": 7}, 400),
            ("/arrival", [], 400),
            ("/parts/orphans", Page([]), 404),
            ("/arrival", Rest({"orphans": []}), 404),
        ],
    )
    async def test_what_cannot_be_read_is_said(
        self, destination: PodUnderTest, path: str, body: object, status: int
    ) -> None:
        found, content = await call(destination, "POST", path, body, tenant=NAPOLI.tenant, move=MOVE)
        assert found == status
        assert msgspec.json.decode(content)["detail"]["message"]

    async def test_without_the_key_nothing_is_said(self, pod: PodUnderTest) -> None:
        await leave(pod)
        for method, path in (("GET", ""), ("GET", "/parts/inbox"), ("POST", "/rest"), ("POST", "/arrival")):
            url = f"{pod.url}{MOVES_PATH}/{NUMBER}{path}?tenant=x&move={MOVE}"
            async with pod.session.request(method, url, headers={"Authorization": "Bearer wrong"}) as response:
                assert response.status == 401


async def test_a_tenant_that_is_called_back_goes_on(pod: PodUnderTest) -> None:
    await leave(pod)
    assert await pod.write_items(text_message("w1")) == ["refused"]
    pod.mount(NAPOLI)
    await until(pod.has_loaded)
    assert await pod.write_items(text_message("w1")) == ["stored"]
    await pod.count_replies(1)
