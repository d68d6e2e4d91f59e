"""Every reason that a condition may have is explained, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import comanda_operator
from comanda_operator.reasons import REASONS

ROOM = Path(comanda_operator.__file__).parent
SOURCES = [ROOM / f"{name}.py" for name in ("checks", "plan", "status", "state", "reconcile")]
GOOD = {"Accepted", "CredentialsReady", "Scheduled", "Acknowledged", "Answered", "Available", "Connected"}
OTHER_WORDS = {"WhatsAppTenant", "WhatsAppApp", "BotPool", "StatefulSet", "CSafeLoader", "ShardTooLarge"}
"""Kinds, and the reason of an Event."""


def words() -> set[str]:
    """Return all that is written as one CamelCase word where conditions are made."""
    found = (
        node.value
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {word for word in found if re.fullmatch(r"[A-Z][a-z]+([A-Z][a-z]+)+|Updating|Moving", word)} - OTHER_WORDS


def test_every_reason_is_explained_and_none_that_nobody_gives() -> None:
    assert words() - GOOD == REASONS.keys() - GOOD


def test_each_has_a_meaning_and_a_bad_one_a_cure() -> None:
    assert REASONS.keys() >= GOOD
    for name, reason in REASONS.items():
        assert reason.meaning.endswith("."), name
        assert bool(reason.cure) == (name not in GOOD), name
