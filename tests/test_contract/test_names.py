from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.names import SHARDS_PER_POOL, group_key, group_name, pod_name, redacted, shard_of

names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?", fullmatch=True)


@given(names, st.integers(0, 999))
def test_pods_of_any_group_have_valid_names(name: str, ordinal: int) -> None:
    group = group_name("tenant", name)
    assert len(group) <= 52
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", pod_name(group, ordinal))
    assert len(pod_name(group, ordinal)) <= 63


def test_long_names_do_not_meet() -> None:
    assert group_name("tenant", "a" * 100 + "x") != group_name("tenant", "a" * 100 + "y")


@given(st.from_regex(r"\d{5,20}", fullmatch=True))
def test_a_number_stays_in_its_shard(number: str) -> None:
    assert shard_of(number) == shard_of(number)
    assert 0 <= shard_of(number) < SHARDS_PER_POOL


def test_each_group_has_a_key_of_its_own() -> None:
    master = bytes(range(32))
    assert group_key(master, "shop/g", "a") != group_key(master, "shop/g", "b")
    assert group_key(master, "shop/g", "a") != group_key(master, "other/g", "a")
    assert group_key(master, "shop/g", "a") != group_key(bytes(32), "shop/g", "a")


def test_a_redacted_number_shows_no_digit_run_of_it() -> None:
    assert "56933334444"[:6] not in redacted("56933334444")
    assert redacted("56933334444") == redacted("56933334444")
