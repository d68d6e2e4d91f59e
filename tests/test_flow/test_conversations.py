"""Golden conversations: `conversations/NAME.yaml` holds what a customer does and what the bot answered.

After a change of wording, `UPDATE_GOLDEN=1 pytest tests/test_flow/test_conversations.py` rewrites the answers; read
the difference before keeping it.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from comanda_flow import Turn
from tests.test_flow.chat import HERE, SANTIAGO, TUESDAY_LUNCH, Customer, readable, restaurant

CONVERSATIONS = sorted((HERE / "conversations").glob("*.yaml"))
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))
ACTIONS = ("says", "taps", "taps_id", "orders", "locates", "sends")


@pytest.mark.parametrize("path", CONVERSATIONS, ids=[path.stem for path in CONVERSATIONS])
def test_conversation_goes_as_recorded(path: Path) -> None:
    recorded = yaml.safe_load(path.read_text(encoding="utf-8"))
    played = play(recorded)
    if UPDATE:
        path.write_text(_dump(path, played), encoding="utf-8")
    assert played == yaml.safe_load(path.read_text(encoding="utf-8"))


def play(recorded: dict[str, Any]) -> dict[str, Any]:
    """Play a conversation's customer and return it with the bot's answers."""
    setting = {key: value for key, value in recorded.items() if key not in {"turns", "cart", "node"}}
    customer = Customer(
        restaurant(recorded.get("restaurant", "pizzeria"), **recorded.get("but", {})),
        name=recorded.get("customer", "Ana"),
        now=_when(recorded.get("at")),
    )
    turns = [_play_turn(customer, turn) for turn in recorded["turns"]]
    assert customer.state is not None
    cart = [
        f"{line.quantity} {line.sku} {' '.join(line.options)} {line.notes}".split() for line in customer.state.lines
    ]
    return setting | {"turns": turns, "node": customer.state.node, "cart": [" ".join(line) for line in cart]}


def _when(text: str | None) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SANTIAGO) if text else TUESDAY_LUNCH


def _play_turn(customer: Customer, turn: dict[str, Any]) -> dict[str, Any]:
    action = next(key for key in turn if key in ACTIONS)
    customer.waits(turn.get("after_hours", 0))
    argument = turn[action]
    done = getattr(customer, action)(*argument) if isinstance(argument, list) else getattr(customer, action)(argument)
    kept = {key: value for key, value in turn.items() if key == "after_hours"}
    return kept | {action: argument} | _outcome(done)


def _outcome(turn: Turn) -> dict[str, Any]:
    outcome: dict[str, Any] = {"replies": [readable(reply) for reply in turn.replies]}
    if turn.order is not None:
        outcome["order"] = {key: value for key, value in _plain(turn.order).items() if value not in ("", None)}
    if turn.handover:
        outcome["handover"] = True
    return outcome


def _plain(order: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(order)
    plain["lines"] = [{key: value for key, value in line.items() if value != ""} for line in plain["lines"]]
    return plain


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _dump(path: Path, played: dict[str, Any]) -> str:
    comments = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith("#")]
    body: str = yaml.dump(played, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
    return "".join(comments) + body
