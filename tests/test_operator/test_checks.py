"""What Meta says of a number: judged, asked for over HTTP, and told in the tenant's status."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_kube.resources import EVENTS
from comanda_operator.checks import SCOPES, Answers, Health, NumberNode, TokenNode, finding_before, judge, unknown
from comanda_operator.graph import GraphReader, MetaUnavailableError
from comanda_operator.reasons import REASONS
from comanda_operator.reconcile import TENANTS
from comanda_operator.records import TenantStatus, read_tenant
from comanda_operator.status import status_json, tenant_status
from comanda_simulator.config import AppConfig, NumberConfig, SimulatorConfig, Standing
from tests.harness import until
from tests.test_operator.cluster import TOKEN, Cluster, Nodes, cluster
from tests.test_operator.plans import tenant
from tests.test_operator.test_status import HAS, verdict
from tests.test_simulator.harness import Simulator, run_receiver, run_simulator

APP = "1029384756"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAPOLI = tenant()
NUMBER, WABA = NAPOLI.spec.phone_number_id, NAPOLI.spec.waba_id
WELL_NUMBER = NumberNode("CONNECTED", "GREEN", "CLOUD_API", Health("AVAILABLE"), "TIER_2K")
WELL = Answers(
    TokenNode(is_valid=True, app_id=APP, scopes=SCOPES),
    WELL_NUMBER,
    frozenset({NUMBER, "1"}),
    frozenset({APP, "2"}),
)


def with_token(**changes: Any) -> Answers:
    return replace(WELL, token=msgspec.structs.replace(WELL.token, **changes))


def with_number(**changes: Any) -> Answers:
    return replace(WELL, number=msgspec.structs.replace(WELL_NUMBER, **changes))


def in_days(days: int) -> int:
    return int((NOW + timedelta(days=days)).timestamp())


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (WELL, "Connected"),
        (with_token(expires_at=in_days(15)), "Connected"),
        (with_token(expires_at=in_days(13)), "TokenExpiring"),
        (with_token(is_valid=False), "TokenInvalid"),
        (with_token(app_id="3"), "TokenOfAnotherApp"),
        (with_token(scopes=SCOPES[:1]), "PermissionMissing"),
        (replace(WELL, number=None), "NumberUnknown"),
        (replace(WELL, account_numbers=frozenset({"1"})), "NumberOfAnotherAccount"),
        (replace(WELL, account_numbers=None), "NumberOfAnotherAccount"),
        (with_number(status="BANNED"), "NumberNotConnected"),
        (with_number(platform_type="ON_PREMISE"), "NumberNotConnected"),
        (replace(WELL, subscribed_apps=frozenset({"2"})), "NotSubscribed"),
        (with_number(health_status=Health("BLOCKED")), "SendingBlocked"),
        (with_number(health_status=Health("LIMITED")), "Connected"),
    ],
)
def test_what_is_wrong_is_named(answers: Answers, reason: str) -> None:
    finding = judge(NAPOLI, APP, answers, NOW)
    assert finding.condition.reason == reason
    assert finding.condition.status == ("True" if reason in {"Connected", "TokenExpiring"} else "False")
    assert reason in REASONS


def test_quality_and_the_end_of_the_token_are_told() -> None:
    finding = judge(NAPOLI, APP, with_token(expires_at=in_days(30)), NOW)
    assert (finding.rating, finding.limit) == ("GREEN", "TIER_2K")
    assert finding.token_expires_at == "2026-12-24T12:00:00Z"


words = st.text(max_size=40)


@given(words, words, words, words, st.integers(-(2**63), 2**63))
def test_whatever_meta_says_the_status_is_one_that_the_schema_takes(
    status: str, rating: str, limit: str, app: str, expires: int
) -> None:
    number = NumberNode(status, rating, status, Health(rating), limit)
    for app_id in (app, APP):
        answers = replace(with_token(app_id=app_id, expires_at=expires), number=number)
        finding = judge(NAPOLI, APP, answers, NOW)
        said = status_json(tenant_status(NAPOLI, verdict(), HAS, HAS, None, finding=finding))
        read = msgspec.convert(said, TenantStatus)
        assert finding_before(msgspec.structs.replace(NAPOLI, status=read)) == finding
        assert all(word.isascii() and word.isupper() for word in said.get("quality", {}).values())


def test_what_was_found_goes_when_the_tenant_is_not_served() -> None:
    status = tenant_status(NAPOLI, verdict(""), None, None, None, finding=unknown(NAPOLI, "timeout"))
    assert status.condition("Connected") is None


@pytest.fixture
async def meta() -> AsyncIterator[Simulator]:
    """A Meta that knows one number, by the token of the tests."""
    number = NumberConfig(phone_number_id=NUMBER, waba_id=WABA, display_phone_number="56911112222", access_token=TOKEN)
    apps = {"default": AppConfig(app_secret="canary-app-secret", app_id=APP)}
    async with (
        run_receiver() as receiver,
        run_simulator(receiver, SimulatorConfig(apps=apps, numbers=(number,))) as sim,
    ):
        sim.clock.now = time.time()
        yield sim


def put(meta: Simulator, number_id: str = NUMBER, **standing: Any) -> None:
    """Have Meta know its number under this id, and how it stands."""
    number = msgspec.structs.replace(
        meta.cloud.config.numbers[0], phone_number_id=number_id, standing=Standing(**standing)
    )
    meta.cloud.apply(msgspec.structs.replace(meta.cloud.config, numbers=(number,)))


async def ask(meta: Simulator, token: str = TOKEN) -> str:
    """Return what is found when Meta is asked now."""
    async with GraphReader(meta.url) as graph:
        answers = await graph.ask("v26.0", token, NUMBER, WABA)
    return judge(NAPOLI, APP, answers, datetime.now(UTC)).condition.reason


async def test_meta_is_asked(meta: Simulator) -> None:
    assert await ask(meta) == "Connected"
    assert await ask(meta, "another-token") == "TokenInvalid"
    put(meta, token_expires_at=int(time.time()) + 3600)
    assert await ask(meta) == "TokenExpiring"
    put(meta, token_expires_at=int(time.time()) - 1)
    assert await ask(meta) == "TokenInvalid"
    put(meta, token_scopes=("whatsapp_business_messaging",))
    assert await ask(meta) == "PermissionMissing"
    put(meta, number_id="999999")
    assert await ask(meta) == "NumberUnknown"
    put(meta, status="RESTRICTED")
    assert await ask(meta) == "NumberNotConnected"
    put(meta)
    meta.cloud.unsubscribed.add(WABA)
    assert await ask(meta) == "NotSubscribed"
    async with GraphReader(meta.url) as graph:
        await graph.subscribe("v26.0", TOKEN, WABA)
    assert await ask(meta) == "Connected"


async def test_a_meta_that_is_down_is_an_error_without_any_token(meta: Simulator) -> None:
    await meta.faults(graph_down=True)
    async with GraphReader(meta.url) as graph:
        with pytest.raises(MetaUnavailableError) as down:
            await graph.ask("v26.0", TOKEN, NUMBER, WABA)
    async with GraphReader("http://127.0.0.1:9") as graph:
        with pytest.raises(MetaUnavailableError) as away:
            await graph.ask("v26.0", TOKEN, NUMBER, WABA)
    assert down.value.code == "code_2"
    assert away.value.code == "ClientConnectorError"
    assert TOKEN not in f"{down.value!r} {away.value!r} {away.value.__cause__!r}"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        await made.app()
        await made.pool()
        yield made


@pytest.mark.timeout(240)
async def test_a_tenant_says_what_meta_says_of_it(site: Cluster, meta: Simulator) -> None:
    shop = await site.namespace()
    meta.cloud.unsubscribed.add(WABA)
    site.numbers[f"{shop}/napoli"] = NUMBER
    await site.tenant(shop, "napoli", wabaId=WABA)
    async with site.operator(GRAPH_URL=meta.url, META_CHECK_HOURS="0.0005") as operator, Nodes(site).running():
        await site.becomes(TENANTS, shop, "napoli", "NotSubscribed", "Connected")
        assert await site.condition(TENANTS, shop, "napoli") == ("True", "Acknowledged"), (
            "its pods have it all the same"
        )
        await site.tenant(shop, "napoli", wabaId=WABA, subscribe=True)
        found = await site.becomes(TENANTS, shop, "napoli", "Connected", "Connected")
        assert found["status"]["quality"] == {"rating": "GREEN", "limit": "TIER_2K"}
        assert WABA not in meta.cloud.unsubscribed
        put(meta, quality_rating="RED", token_expires_at=int(time.time()) + 24 * 3600)
        found = await site.becomes(TENANTS, shop, "napoli", "TokenExpiring", "Connected")
        assert found["status"]["quality"]["rating"] == "RED"
        assert read_tenant(msgspec.json.encode(found)).status.token_expires_at

        await meta.faults(graph_down=True)
        await site.secret(shop, "napoli-token", accessToken="another-token")
        await until(operator.is_settled)
        assert (await site.condition(TENANTS, shop, "napoli", "Connected"))[1] == "TokenExpiring", (
            "as it was found last"
        )
        await meta.faults()
        await site.becomes(TENANTS, shop, "napoli", "TokenInvalid", "Connected")

        async def is_told() -> bool:
            reasons = {event["reason"] for event in await site.all(EVENTS, shop)}
            return {"NotSubscribed", "TokenExpiring", "TokenInvalid"} <= reasons

        await until(is_told, what="Events tell of it")
        assert TOKEN not in operator.log.read_text()


@pytest.mark.timeout(240)
async def test_a_new_leader_keeps_what_was_found_and_writes_nothing_of_it(site: Cluster, meta: Simulator) -> None:
    shop = await site.namespace()
    site.numbers[f"{shop}/napoli"] = NUMBER
    await site.tenant(shop, "napoli", wabaId=WABA)
    async with site.operator(GRAPH_URL=meta.url, META_CHECK_HOURS="6") as operator, Nodes(site).running():
        await site.becomes(TENANTS, shop, "napoli", "Connected", "Connected")
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        await until(operator.is_settled)
        await operator.end()
        seen = len(site.server.audit())
        await operator.again()
        await until(operator.leads)
        await until(operator.is_settled)
        assert site.writes(seen) == []
        assert await site.condition(TENANTS, shop, "napoli", "Connected") == ("True", "Connected")
