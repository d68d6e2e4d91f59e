"""Shards: their digests depend on what is in them and on nothing else, and show nothing of it."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.tenancy import TenantSettings, decode_credentials, decode_tenants
from comanda_operator.manifests import shards
from comanda_operator.manifests.shards import (
    STOP_BYTES,
    TARGET_BYTES,
    Source,
    content_digest,
    make_shard,
    shard_secret,
    sources_digest,
    token_digest,
)
from comanda_operator.plan import plan_pool
from tests.test_operator.plans import pool

KEY = bytes(32)
CANARY = "EAAG-canary-token"


def settings_of(number: int, menu: str = "") -> TenantSettings:
    return TenantSettings(
        tenant=f"shop/t{number}",
        phone_number_id=f"10000{number}",
        waba_id="20000",
        display_name="Pizzería",
        app="default",
        restaurant={"menu": menu},
    )


TEXT = st.text("abc/:,\0", max_size=4)
SOURCES = st.lists(
    st.builds(Source, TEXT, TEXT, st.tuples(TEXT, TEXT, TEXT, TEXT)), max_size=5, unique_by=lambda each: each.tenant
)


@given(SOURCES, st.randoms(use_true_random=False))
def test_the_order_of_tenants_does_not_matter_for_what_a_shard_was_made_from(
    sources: list[Source], chance: random.Random
) -> None:
    shuffled = list(sources)
    chance.shuffle(shuffled)
    assert sources_digest("uid", shuffled) == sources_digest("uid", sources)


@given(SOURCES, SOURCES)
def test_different_sources_have_different_digests(one: list[Source], other: list[Source]) -> None:
    same = sorted(one, key=repr) == sorted(other, key=repr)
    assert (sources_digest("uid", one) == sources_digest("uid", other)) == same


@pytest.mark.parametrize("field", range(4))
def test_any_edition_that_changed_shows(field: int) -> None:
    versions = ["1", "2", "3", "4"]
    before = Source("shop/a", "uid", tuple(versions))
    versions[field] = "9"
    assert sources_digest("g", [before]) != sources_digest("g", [replace(before, versions=tuple(versions))])


def test_a_group_or_tenant_that_was_made_anew_shows() -> None:
    source = Source("shop/a", "uid", ("1",))
    assert sources_digest("g", [source]) != sources_digest("h", [source])
    assert sources_digest("g", [source]) != sources_digest("g", [replace(source, uid="other")])


def test_a_new_format_makes_every_shard_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sources_digest("uid", [])
    monkeypatch.setattr(shards, "FORMAT", "another")
    assert sources_digest("uid", []) != before


@given(st.permutations(range(4)))
def test_the_order_of_tenants_does_not_matter_for_what_a_shard_holds(order: list[int]) -> None:
    tokens = {f"10000{number}": f"token-{number}" for number in order}
    made = make_shard("s", KEY, [settings_of(number) for number in order], tokens)
    usual = make_shard("s", KEY, [settings_of(number) for number in range(4)], dict(sorted(tokens.items())))
    assert made == usual


def test_a_shard_holds_what_was_put_into_it() -> None:
    made = make_shard("s", KEY, [settings_of(1), settings_of(2)], {"100001": CANARY})
    assert decode_tenants(made.files["tenants.json"]).tenants == (settings_of(1), settings_of(2))
    assert decode_credentials(made.files["credentials.json"]).access_tokens == {"100001": CANARY}
    assert CANARY.encode() not in made.files["tenants.json"]
    assert made.size == sum(len(content) for content in made.files.values())


def test_the_size_of_a_shard_counts_every_byte_that_a_secret_would_hold() -> None:
    made = make_shard("s", KEY, [settings_of(1, "ñ" * STOP_BYTES)], {})
    assert made.size > 2 * STOP_BYTES
    assert TARGET_BYTES < STOP_BYTES < 1024 * 1024


def test_the_digest_of_a_shard_is_keyed_and_tells_each_of_its_files() -> None:
    files = {"tenants.json": b"t", "credentials.json": b"c"}
    digest = content_digest(KEY, files)
    assert digest != content_digest(b"\1" * 32, files)
    assert digest != content_digest(KEY, {**files, "tenants.json": b"T"})
    assert digest != content_digest(KEY, {**files, "credentials.json": b"C"})
    assert digest != content_digest(KEY, {"tenants.json": b"c", "credentials.json": b"t"})
    assert content_digest(KEY, {}) == content_digest(KEY, {"tenants.json": b"", "credentials.json": b""})


def test_the_secret_of_a_shard_shows_its_digests_and_no_token() -> None:
    made = make_shard("sources", KEY, [settings_of(1)], {"100001": CANARY})
    secret = shard_secret(plan_pool(pool()), 7, made)
    metadata = secret["metadata"]
    assert metadata["name"] == "pool-default-shard-07"
    assert metadata["labels"]["comanda.dev/shard"] == "07"
    assert metadata["annotations"]["comanda.dev/content"] == made.content
    assert metadata["annotations"]["comanda.dev/sources"] == "sources"
    assert {name: base64.b64decode(value) for name, value in secret["data"].items()} == made.files
    assert not shown(CANARY, json.dumps(metadata))
    assert CANARY not in repr(made)


@given(st.text(min_size=1, max_size=20))
def test_the_digest_of_a_token_tells_whether_it_is_the_same_and_nothing_else(token: str) -> None:
    digest = token_digest(KEY, "uid", token)
    assert digest == token_digest(KEY, "uid", token)
    assert digest != token_digest(KEY, "uid", f"{token}.")
    assert digest != token_digest(KEY, "another tenant", token), "two tenants with one token cannot be seen to be that"
    assert digest != token_digest(b"\1" * 32, "uid", token), "who has no key can try no tokens"
    assert len(digest) == 32
    assert not shown(token, digest) or len(token) < 4


def shown(secret: str, text: str) -> bool:
    """Tell whether a text gives a secret away, as it is or by a digest that anybody can make."""
    content = secret.encode()
    digests = (hashlib.sha256(content).hexdigest()[:16], hashlib.md5(content).hexdigest()[:16])
    return any(each in text for each in (secret, base64.b64encode(content).decode(), *digests))
