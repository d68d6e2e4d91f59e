from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import NOW, text_message, until
from tests.test_botpod.conftest import PHONE, tenant
from tests.test_botpod.media_server import PNG
from tests.test_botpod.python_handlers import install, settings_of
from tests.test_botpod.test_handler_example import EXAMPLE

NAPOLI = "[comanda.handlers]\nnapoli = napoli_bot.handler:handle\n"


def picture(wamid: str, media_id: str, caption: str) -> dict[str, Any]:
    message = text_message(wamid) | {"type": "image", "image": {"id": media_id, "caption": caption}}
    return {name: value for name, value in message.items() if name != "text"}


def tap(wamid: str, identifier: str, timestamp: int) -> dict[str, Any]:
    tapped = {"type": "button_reply", "button_reply": {"id": identifier, "title": "Lo mismo"}}
    message = text_message(wamid, timestamp=timestamp) | {"type": "interactive", "interactive": tapped}
    return {name: value for name, value in message.items() if name != "text"}


async def test_the_example_bot_repeats_an_order_that_the_flow_took(
    make_pod: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, EXAMPLE / "src", entry_points=NAPOLI)
    pod = await make_pod(tenant())
    for index, text in enumerate(["2 margarita", "retiro", "Ana", "sí"]):
        await pod.write_items(text_message(f"w{index}", text=text, timestamp=NOW + index))
    await pod.count_replies(4)
    before = pod.pod.tenants.loaded
    pod.mount(settings_of("napoli"))
    await until(lambda: pod.pod.tenants.loaded != before)
    await pod.write_items(text_message("w4", timestamp=NOW + 4))
    offer = (await pod.count_replies(5, PHONE))[-1]
    assert "2 × Pizza Margarita\nTotal $ 17.980" in offer["interactive"]["body"]["text"]
    await pod.write_items(tap("w5", "again", NOW + 5))
    await pod.count_replies(6, PHONE)
    await pod.sql_gives("select total from orders order by id", [(17980,), (17980,)])
    assert await pod.sql("select count(*) from timers") == [(1,)]


async def test_a_file_comes_in_and_goes_out_through_the_pod(
    make_pod: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    pod = await make_pod(settings_of())
    content = PNG + bytes(4 * 1024 * 1024)
    brought = pod.cloud.media.add("10000011", "image/png", content)
    await pod.write_items(picture("w1", brought.id, "echo"))
    (reply,) = await pod.count_replies(1)
    assert reply["image"]["caption"] == f"{len(content)} image/png"
    sent = pod.cloud.media.get(reply["image"]["id"])
    assert (sent.id != brought.id, sent.phone_number_id, sent.content) == (True, "10000011", content)


@pytest.mark.parametrize(
    ("number", "mime_type", "content", "problem"),
    [
        ("10000022", "image/png", PNG, "Meta refused the call with error 100."),
        (
            "10000011",
            "application/pdf",
            b"%PDF-" + bytes(5 * 1024 * 1024),
            "media.size: is more than the 5120 KiB allowed",
        ),
        ("10000011", "image/png", b"MZ" + bytes(600), "media.type: does not agree with how the file begins"),
    ],
    ids=["another-numbers", "too-large", "disguised"],
)
async def test_a_file_that_is_not_taken_is_an_error_that_says_why(  # noqa: PLR0917
    make_pod: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: str,
    mime_type: str,
    content: bytes,
    problem: str,
) -> None:
    install(tmp_path, monkeypatch)
    pod = await make_pod(settings_of())
    brought = pod.cloud.media.add(number, mime_type, content)
    await pod.write_items(picture("w1", brought.id, "ask-for-a-file"))
    (reply,) = await pod.count_replies(1)
    assert problem in reply["text"]["body"]


async def test_a_crashing_handler_parks_its_message_and_the_next_one_is_answered(
    make_pod: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    monkeypatch.setattr("comanda_botpod.turn.RETRY_SECONDS", (0.0,))
    pod = await make_pod(settings_of(), tenant("10000022"))
    await pod.write_items(text_message("w1", text="leave"), text_message("w2", timestamp=NOW + 1))
    await pod.write_items(text_message("w3"), number="10000022")
    await pod.count_replies(2)
    states = await pod.sql("select wamid, state, attempts from inbox order by wamid")
    assert states == [("w1", "parked", 5), ("w2", "done", 1), ("w3", "done", 1)]


async def test_a_handler_that_does_not_start_costs_its_messages_no_try(
    make_pod: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    pod = await make_pod(settings_of("nobody"))
    await pod.write_items(text_message("w1"))
    await until(lambda: "is no entry point" in str(pod.pod.handlers.problems))
    entry_points = next(tmp_path.glob("installed/*/entry_points.txt"))
    entry_points.write_text("[comanda.handlers]\nnobody = hostile_bot:handle\n")
    await pod.count_replies(1)
    await pod.sql_gives("select state, attempts from inbox", [("done", 1)])
