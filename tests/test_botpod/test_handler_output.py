from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from comanda_botpod.handlers.contained.output import FLOOD_EVENTS, LINES, WINDOW_SECONDS, Output, Redaction
from comanda_botpod.handlers.contained.process import environment
from comanda_botpod.handlers.contained.wire import Said

redact = Redaction({"BOT_KEY": "s3cret-value", "LEVEL": "info"})


class TestRedaction:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("order 123456 is ready", "order 123456 is ready"),
            ("call 1234567 now", "call […] now"),
            ("+56 9 1111-2222", "[…]"),
            ("id=wamid.HBgLNTY5MTExMQ==;", "id=[…];"),
            ("Bearer EAAGm0PX4ZCpsBAO1a2b3c4d5", "Bearer […]"),
            ("key s3cret-value, level info", "key […], level info"),
            ("2026-11-24 21:30:00 took 12.5 ms", "2026-11-24 21:30:00 took 12.5 ms"),
        ],
    )
    def test_what_is_personal_or_secret_is_blacked_out(self, text: str, shown: str) -> None:
        assert redact(text) == shown

    @given(st.text(), st.from_regex(r"\A[0-9]{7,20}\Z"), st.text())
    def test_no_long_number_is_ever_shown(self, before: str, number: str, after: str) -> None:
        assert number not in redact(f"{before}{number}{after}", 10_000)

    @given(st.text(), st.integers(1, 600))
    def test_no_text_is_longer_than_its_limit(self, text: str, limit: int) -> None:
        assert len(redact(text, limit)) <= limit

    def test_facts_keep_their_types_where_they_show_nothing(self) -> None:
        facts = {"ok": True, "n": 12, "phone": 56911112222, "ratio": 0.5, "none": None, "s3cret-value": "x"}
        assert redact.facts(facts) == {
            "ok": True,
            "n": 12,
            "phone": "[…]",
            "ratio": 0.5,
            "none": None,
            "[…]": "x",
        }


class TestOutput:
    def test_a_window_has_room_for_so_many_events_and_the_next_one_for_as_many(self) -> None:
        now = 0.0
        output = Output("default/a", redact, lambda: now)
        with capture_logs() as logs:
            for number in range(LINES + 5):
                output.said(Said(level="info", event=f"e{number}"))
            now = WINDOW_SECONDS
            output.said(Said(level="info", event="later"))
        said = [event["said"] for event in logs if event["event"] == "handler_log"]
        assert said == [*(f"e{number}" for number in range(LINES)), "later"]
        assert [event["lines"] for event in logs if event["event"] == "handler_output_left_out"] == [5]

    def test_a_flood_of_events_waits_now_and_then_alone(self) -> None:
        output = Output("default/a", redact, lambda: 0.0)
        goes_on = [output.said(Said(level="info", event="e")) for _ in range(LINES + 3 * FLOOD_EVENTS)]
        waits = [number for number, at_once in enumerate(goes_on, 1) if not at_once]
        assert waits == [LINES + FLOOD_EVENTS * times for times in (1, 2, 3)]

    async def test_an_endless_line_is_cut(self) -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(b"x" * 400_000 + b"\nnext\n\n  \nlast")
        stream.feed_eof()
        with capture_logs() as logs:
            await Output("default/a", redact).capture(stream, "stdout")
        first, second, third = [event["line"] for event in logs]
        assert (len(first), first[-1], second, third) == (500, "…", "next", "last")


def test_a_worker_sees_what_is_named_and_nothing_of_the_pods_own() -> None:
    pod = {"PATH": "/bin", "COMANDA_BOTPOD_GROUP_KEY": "k", "BOT_KEY": "b", "OTHER": "o"}
    assert environment(pod, ["BOT_KEY", "COMANDA_BOTPOD_GROUP_KEY", "MISSING"]) == {"PATH": "/bin", "BOT_KEY": "b"}
