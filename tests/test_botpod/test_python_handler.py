from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from comanda_botpod.handlers import HandlerFailed, HandlerInterrupted
from comanda_store import NewTimer, OrderLineRecord, OrderRecord
from tests.harness import NOW, serving, until
from tests.test_botpod.conftest import PHONE
from tests.test_botpod.python_handlers import Customer, World, install, said, settings_of


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    install(tmp_path, monkeypatch)
    made = World(tmp_path)
    yield made
    await made.close()


def pid_of(greeting: str) -> int:
    return int(greeting.rsplit(" ", 1)[1])


def count_of(outcome: str) -> float:
    return REGISTRY.get_sample_value("comanda_botpod_handler_turns_total", {"outcome": outcome}) or 0.0


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def text(body: str) -> dict[str, Any]:
    return {"type": "text", "text": {"body": body}}


class TestTurns:
    async def test_the_state_is_kept_from_turn_to_turn_in_one_process(self, world: World) -> None:
        ana = world.use(settings_of())
        first, second = await ana.say("hola"), await ana.say("hola")
        assert first.startswith("turn 1 of default/t10000011")
        assert second.startswith("turn 2 of default/t10000011")
        assert pid_of(first) == pid_of(second) != os.getpid()

    async def test_an_entry_point_is_found_by_what_it_points_to_as_well(self, world: World) -> None:
        assert "turn 1" in await world.use(settings_of("hostile_bot:handle")).say("hola")

    async def test_a_reply_goes_to_whoever_wrote(self, world: World) -> None:
        result = await world.use(settings_of()).turn(text("hola"))
        assert msgspec.json.decode(result.messages[0])["to"] == f"+{PHONE}"

    async def test_conversations_run_side_by_side(self, world: World) -> None:
        world.use(settings_of())
        first, second = world.customer(1), world.customer(2)
        assert list(await asyncio.gather(first.say("meet first"), second.say("meet second"))) == [
            "met first",
            "met second",
        ]

    async def test_every_tenant_has_a_process_of_its_own(self, world: World) -> None:
        world.use(settings_of(), settings_of(number="10000022"))
        greetings = [await world.customer(1, index).say("hola") for index in (0, 1)]
        assert pid_of(greetings[0]) != pid_of(greetings[1])

    async def test_an_order_is_priced_from_the_menu_and_written_with_the_turn(self, world: World) -> None:
        result = await world.use(settings_of()).turn(text("order MARG"))
        assert result.order is not None
        assert (result.order.total, result.order.customer_name, result.order.lines[0].name) == (
            17980,
            "Ana",
            "Pizza Margarita",
        )
        assert said(result) == f"{result.order.code} 17980"

    async def test_a_changed_menu_is_what_the_next_turn_sees(self, world: World) -> None:
        ana = world.use(settings_of())
        pid = pid_of(await ana.say("hola"))
        settings = settings_of()
        dearer = msgspec.json.decode(msgspec.json.encode(settings.restaurant).replace(b"8990", b"9990"))
        ana.tenant = world.use(msgspec.structs.replace(settings, restaurant=dearer)).tenant
        assert (await ana.say("order MARG")).endswith(" 19980")
        assert pid_of(await ana.say("hola")) == pid

    async def test_past_orders_are_read_when_they_are_asked_for(self, world: World) -> None:
        ana = world.use(settings_of())
        world.orders = [past_order("OLD01", 1), past_order("NEW01", 2)]
        assert await ana.say("recall") == "NEW01 8990, OLD01 8990"

    async def test_a_timer_is_asked_for_and_comes_back_with_its_payload(self, world: World) -> None:
        ana = world.use(settings_of())
        result = await ana.turn(text("wait pizza"))
        assert result.timers == (NewTimer(300_000, '{"about":"pizza"}'),)
        assert said(await ana.turn({"about": "pizza"}, "timer")) == 'timer: {"about": "pizza"}'

    async def test_staff_have_the_conversation_after_a_handover(self, world: World) -> None:
        ana = world.use(settings_of())
        assert await ana.say("hand-over") == "Ya te atienden."
        assert await ana.say("hola") == ""
        later = await ana.turn({"about": "pizza"}, "timer")
        assert (later.messages, [timer.payload for timer in later.timers]) == ((), ['{"about":"pizza"}'])

    async def test_a_state_that_is_no_handlers_is_not_given_to_it(self, world: World) -> None:
        ana = world.use(settings_of())
        ana.state, ana.flow_version = b'{"turns": 41}', "0123456789abcdef"
        assert "turn 1" in await ana.say("hola")

    async def test_a_message_without_a_file_brings_none(self, world: World) -> None:
        assert await world.use(settings_of()).say("ask-for-a-file") == "This message brought no file. again=False"

    async def test_without_a_token_a_file_has_to_wait(self, world: World) -> None:
        picture = {"type": "image", "image": {"id": "1", "mime_type": "image/png", "caption": "ask-for-a-file"}}
        result = await world.use(settings_of()).turn(picture)
        assert said(result) == "The tenant has no access token. again=True"

    async def test_other_services_can_be_called(self, world: World) -> None:
        async def answer(_request: Request) -> PlainTextResponse:
            return PlainTextResponse("it rains")

        async with serving(Starlette(routes=[Route("/", answer)])) as url:
            assert await world.use(settings_of()).say(f"call {url}/") == "it rains"


class TestMisuse:
    @pytest.mark.parametrize(
        ("deed", "problem"),
        [
            ("say-too-much", "text.body: has 4097 characters, WhatsApp allows 4096"),
            ("say-too-much-in-all", "send: the turn has 1953 KiB as JSON, 1024 are allowed"),
            ("say-no-unicode", "send: holds a text that is no Unicode"),
            ("nest-too-deep", "send: is nested too deep"),
            ("keep-too-much", "state: has 65547 bytes as JSON, 65536 are allowed"),
            ("keep-a-set", "state.cart[0].skus: is a set"),
            ("wrong-type", "Expected `bool`, got `str` - at `$.messages[0].preview_url`"),
            ("order NOPE", "lines[0].sku: is not on the menu today"),
            ("fetch-too-often", "media: a turn may have 4 of these at most"),
            ("hand-over-too-much", "media.size: is more than the 5120 KiB allowed"),
            ("hand-over-a-disguise", "media.type: does not agree with how the file begins"),
        ],
    )
    async def test_the_turn_fails_and_says_what_is_wrong(self, world: World, deed: str, problem: str) -> None:
        ana = world.use(settings_of())
        pid = pid_of(await world.customer(2).say("hola"))
        with pytest.raises(HandlerFailed, match=re.escape(problem)):
            await ana.say(deed)
        greeting = await ana.say("hola")
        assert (greeting.startswith("turn 1"), pid_of(greeting)) == (True, pid)


class TestFailures:
    async def test_one_that_raises_fails_alone_and_its_words_are_not_logged(self, world: World) -> None:
        ana = world.use(settings_of())
        pid, failed = pid_of(await ana.say("hola")), count_of("failed")
        with capture_logs() as logs, pytest.raises(HandlerFailed, match="The handler raised RuntimeError") as caught:
            await ana.say("raise SECRET")
        (event,) = [event for event in logs if event["event"] == "handler_raised"]
        assert re.search(r"hostile_bot\.py:\d+ in raises$", event["frames"][-1])
        assert not re.search(f"SECRET|{PHONE}", f"{logs}{caught.value}")
        assert pid_of(await ana.say("hola")) == pid
        assert count_of("failed") == failed + 1

    @pytest.mark.parametrize(
        ("deed", "line"),
        [
            ("raise", r"RuntimeError at \S*hostile_bot\.py:\d+ in raises\."),
            ("call http://127.0.0.1:1/", r"ClientConnectorError at \S*hostile_bot\.py:\d+ in calls\."),
        ],
    )
    async def test_the_failure_names_the_line_of_the_handlers_own_code(
        self, world: World, deed: str, line: str
    ) -> None:
        with pytest.raises(HandlerFailed, match=line):
            await world.use(settings_of()).say(deed)

    async def test_one_that_logs_without_end_is_not_taken_for_a_blocked_one(self, world: World) -> None:
        ana = world.use(settings_of())
        pid = pid_of(await ana.say("hola"))
        assert await ana.say("log 5000") == "logged"
        assert pid_of(await ana.say("hola")) == pid

    async def test_one_that_exits_by_exception_fails_alone(self, world: World) -> None:
        ana = world.use(settings_of())
        pid = pid_of(await ana.say("hola"))
        with pytest.raises(HandlerFailed, match="SystemExit"):
            await ana.say("ask-to-leave")
        assert pid_of(await ana.say("hola")) == pid

    async def test_one_that_never_returns_is_cancelled_alone(self, world: World) -> None:
        ana = world.use(settings_of(timeout_seconds=1))
        pid, timed_out = pid_of(await ana.say("hola")), count_of("timeout")
        with pytest.raises(HandlerFailed, match="took longer than 1 s"):
            await ana.say("hang")
        assert pid_of(await ana.say("hola")) == pid
        assert count_of("timeout") == timed_out + 1

    async def test_one_that_will_not_be_cancelled_loses_its_process(self, world: World) -> None:
        ana = world.use(settings_of(timeout_seconds=1))
        pid = pid_of(await ana.say("hola"))
        with pytest.raises(HandlerFailed, match="took longer than 1 s"):
            await ana.say("stubborn")
        await until(lambda: world.mark("cancelled").exists() and not alive(pid))
        assert "turn 2" in await ana.say("hola")

    @pytest.mark.parametrize("deed", ["sleep", "spin"])
    async def test_one_that_blocks_the_loop_is_killed_and_the_others_go_on(self, world: World, deed: str) -> None:
        ana = world.use(settings_of(), settings_of(number="10000022"))
        pid, killed = pid_of(await ana.say("hola")), count_of("killed")
        with pytest.raises(HandlerFailed, match="blocked its event loop"):
            await ana.say(deed)
        await goes_on(world, ana, pid)
        assert count_of("killed") == killed + 1

    async def test_one_that_crashes_its_process_fails_and_the_others_go_on(self, world: World) -> None:
        ana = world.use(settings_of(), settings_of(number="10000022"))
        pid, restarts = (
            pid_of(await ana.say("hola")),
            REGISTRY.get_sample_value("comanda_botpod_handler_restarts_total"),
        )
        with pytest.raises(HandlerFailed, match="The handler's process ended with status 3"):
            await ana.say("leave")
        await goes_on(world, ana, pid)
        assert REGISTRY.get_sample_value("comanda_botpod_handler_restarts_total") == (restarts or 0) + 1

    async def test_what_a_dead_process_forked_is_killed_with_it(self, world: World) -> None:
        ana = world.use(settings_of())
        pid = pid_of(await ana.say("hola"))
        with pytest.raises(HandlerFailed, match="ended with status 5"):
            await ana.say("fork")
        await until(lambda: not any(os.getpgid(each) == pid for each in pids_of_groups() if alive(each)))

    async def test_one_that_holds_too_much_memory_is_killed_and_the_others_go_on(self, world: World) -> None:
        ana = world.use(settings_of(memory_mib=256), settings_of(number="10000022"))
        pid = pid_of(await ana.say("hola"))
        with pytest.raises(HandlerFailed, match="held more than 256 MiB of memory"):
            await ana.say("hoard 300")
        await goes_on(world, ana, pid)

    async def test_one_that_wants_too_much_memory_at_once_does_not_get_it(self, world: World) -> None:
        ana = world.use(settings_of())
        pid = pid_of(await ana.say("hola"))
        with pytest.raises(HandlerFailed, match="MemoryError"):
            await ana.say("gulp")
        assert pid_of(await ana.say("hola")) == pid

    @pytest.mark.parametrize(
        "frame",
        [
            "no JSON",
            '{"type":"pong","number":-1}',
            '{"type":"done","id":99,"effects":{"state":{}}}',
            '{"type":"done","id":1,"effects":{"state":{},"messages":[{"type":"text","text":""}]}}',
            '{"type":"askpast","id":99}',
            "[" * 100_000,
            "long",
        ],
    )
    async def test_one_that_forges_what_the_pod_reads_loses_its_process(self, world: World, frame: str) -> None:
        ana = world.use(settings_of(), settings_of(number="10000022"))
        pid = pid_of(await ana.say("hola"))
        with pytest.raises(HandlerFailed, match="sent what is no valid frame"):
            await ana.say(f"garble {frame}")
        await goes_on(world, ana, pid)

    async def test_one_that_asks_for_more_files_than_a_turn_may_have_loses_its_process(self, world: World) -> None:
        ana = world.use(settings_of(), settings_of(number="10000022"))
        pid = pid_of(await ana.say("hola"))
        with pytest.raises(HandlerFailed, match="sent what is no valid frame"):
            await ana.say("ask-behind-the-back")
        await goes_on(world, ana, pid)

    async def test_a_flood_of_output_is_bounded(self, world: World) -> None:
        ana = world.use(settings_of())
        with capture_logs() as logs:
            assert await ana.say("flood") == "flooded"
            await world.handler.close()
        lines = [event for event in logs if event["event"] == "handler_output"]
        left_out = sum(event["lines"] for event in logs if event["event"] == "handler_output_left_out")
        assert 0 < len(lines) < 2_000
        assert len(lines) + left_out > 1_000
        assert all(len(event["line"]) <= 500 for event in lines)


async def goes_on(world: World, ana: Customer, pid: int) -> None:
    """The same conversation, another one of the same tenant, and another tenant's are answered; the process is new."""
    for customer in (ana, world.customer(2), world.customer(3, 1)):
        assert "turn" in await customer.say("hola")
    assert pid_of(await ana.say("hola")) != pid
    assert not alive(pid)


def pids_of_groups() -> list[int]:
    return [pid for pid in psutil.pids() if psutil.pid_exists(pid)]


class TestSuspects:
    async def test_the_innocent_ones_end_well_and_the_guilty_one_alone_fails(self, world: World) -> None:
        world.use(settings_of())
        names = [f"customer-{number}" for number in range(2, 6)]
        innocents = [
            asyncio.create_task(world.customer(number).say(f"bear {name}")) for number, name in enumerate(names, 2)
        ]
        await until(lambda: all(world.mark(f"{name}.begun").exists() for name in names))
        done, killed = count_of("done"), count_of("killed")
        with pytest.raises(HandlerFailed, match="status 3"):
            await world.customer(1).say("leave")
        assert await asyncio.gather(*innocents) == [f"{name} survived" for name in names]
        assert (count_of("done"), count_of("killed")) == (done + len(names), killed + 1)

    async def test_other_turns_do_not_wait_for_the_suspects(self, world: World) -> None:
        world.use(settings_of())
        innocent = asyncio.create_task(world.customer(2).say("bear with-me"))
        await until(lambda: world.mark("with-me.begun").exists())
        guilty = asyncio.create_task(world.customer(1).say("sleep"))
        await until(lambda: world.mark("asleep").exists())
        world.mark("asleep").unlink()
        await until(lambda: world.mark("asleep").exists(), what="the second try of the guilty turn, apart")
        assert "turn 1" in await world.customer(3).say("hola")
        assert not guilty.done()
        with pytest.raises(HandlerFailed, match="blocked"):
            await guilty
        assert await innocent == "with-me survived"

    async def test_a_stop_interrupts_turns_and_blames_none(self, world: World) -> None:
        world.use(settings_of())
        turn = asyncio.create_task(world.customer(1).say("bear up"))
        await until(lambda: world.mark("up.begun").exists())
        await world.handler.close()
        with pytest.raises(HandlerInterrupted, match="is being stopped"):
            await turn

    async def test_after_a_stop_nothing_is_started(self, world: World) -> None:
        ana = world.use(settings_of())
        await world.handler.close()
        with capture_logs() as logs:
            await world.handler.keep(world.tenants)
            with pytest.raises(HandlerInterrupted, match="is being stopped"):
                await ana.say("hola")
        assert logs == []

    async def test_a_cancelled_turn_leaves_its_process_to_the_others(self, world: World) -> None:
        ana = world.use(settings_of())
        pid = pid_of(await ana.say("hola"))
        turn = asyncio.create_task(world.customer(2).say("bear it"))
        await until(lambda: world.mark("it.begun").exists())
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)
        assert pid_of(await ana.say("hola")) == pid


class TestStart:
    @pytest.mark.parametrize(
        ("entry_point", "problem"),
        [
            ("nobody", r"nobody .* is no entry point of the group comanda\.handlers\. Installed are: .*hostile"),
            ("not-callable", "is a str and cannot be called"),
            ("not-async", "is no coroutine function; write `async def`"),
            ("no-such-object", "could not be imported: AttributeError: module 'hostile_bot' has no attribute 'nobody'"),
            ("breaks", "could not be imported: ModuleNotFoundError: No module named 'a_library_that_nobody_has'"),
            ("dies", "could not be imported: its process ended with status 7"),
        ],
    )
    async def test_a_handler_that_cannot_be_used_is_named_and_its_messages_wait(
        self, world: World, entry_point: str, problem: str
    ) -> None:
        ana = world.use(settings_of(entry_point, timeout_seconds=3), settings_of(number="10000022"))
        with pytest.raises(HandlerInterrupted, match=problem) as caught:
            await ana.say("hola")
        assert entry_point in caught.value.message
        assert world.handler.problems == {"default/t10000011": caught.value.message}
        assert "turn 1" in await world.customer(2, 1).say("hola")

    async def test_a_mended_handler_starts_without_a_new_pod(self, world: World) -> None:
        ana = world.use(settings_of("nobody"))
        with pytest.raises(HandlerInterrupted, match="is no entry point"):
            await ana.say("hola")
        entry_points = next(world.folder.glob("installed/*/entry_points.txt"))
        entry_points.write_text("[comanda.handlers]\nnobody = hostile_bot:handle\n")
        assert "turn 1" in await ana.say("hola")
        assert world.handler.problems == {}

    async def test_it_is_started_before_the_first_message_and_ended_with_its_tenant(self, world: World) -> None:
        world.use(settings_of())
        with capture_logs() as logs:
            await world.handler.keep(world.tenants)
            await until(lambda: any(event["event"] == "handler_started" for event in logs))
        pid = pid_of(await world.customer(1).say("hola"))
        await world.handler.keep(())
        assert not alive(pid)

    async def test_changed_settings_give_a_new_process(self, world: World) -> None:
        ana = world.use(settings_of())
        pid = pid_of(await ana.say("hola"))
        ana.tenant = world.use(settings_of(memory_mib=300)).tenant
        assert pid_of(await ana.say("hola")) != pid
        assert not alive(pid)


class TestConfinement:
    async def test_it_sees_the_environment_that_it_names_and_no_key_of_the_pod(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("COMANDA_BOTPOD_GROUP_KEY", "SOMEBODYS_TOKEN", "BOT_KEY"):
            monkeypatch.setenv(name, "s3cret-value")
        ana = world.use(settings_of(env=("MARKS_DIR", "BOT_KEY", "COMANDA_BOTPOD_GROUP_KEY", "NOT_SET")))
        seen = msgspec.json.decode(await ana.say("show"))["environment"]
        assert set(seen) - {"LC_CTYPE", "LANG", "LC_ALL", "TZ"} == {"PATH", "PYTHONPATH", "MARKS_DIR", "BOT_KEY"}

    async def test_the_pods_memory_is_hidden_from_processes_of_its_user(self, world: World) -> None:
        await world.use(settings_of()).say("hola")
        pr_get_dumpable = 3
        assert ctypes.CDLL(None).prctl(pr_get_dumpable, 0, 0, 0, 0) == 0

    async def test_it_inherits_no_descriptor_but_its_output_and_the_channel(self, world: World) -> None:
        path = world.folder / "the pod's own file"
        with path.open("w") as own:
            os.set_inheritable(own.fileno(), True)  # noqa: FBT003 - the function's own signature
            shown = msgspec.json.decode(await world.use(settings_of()).say("show"))["descriptors"]
        kinds = {name: target.split(":")[0] for name, target in shown.items()}
        assert (kinds.pop("0"), kinds.pop("1"), kinds.pop("2")) == ("/dev/null", "pipe", "pipe")
        assert set(kinds.values()) <= {"socket", "anon_inode"}
        assert str(path) not in shown.values()

    async def test_what_it_prints_and_logs_is_logged_without_numbers_and_keys(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BOT_KEY", "s3cret-value")
        with capture_logs() as logs:
            assert await world.use(settings_of(env=("BOT_KEY", "MARKS_DIR"))).say("tell") == "told"
            await world.handler.close()
        lines = [event["line"] for event in logs if event["event"] == "handler_output"]
        assert sorted(lines) == ["[…] and […]", "phone […] and […], key […]"]
        (logged,) = [event for event in logs if event["event"] == "handler_log"]
        assert (logged["log_level"], logged["said"]) == ("warning", "told")
        assert logged["facts"] == {"phone": "[…]", "note": "key […]", "lines": 2}

    async def test_it_dies_with_its_pod(self, world: World) -> None:
        script = world.folder / "pod.py"
        script.write_text(POD)
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert process.stdout is not None
        pid = int(await process.stdout.readline())
        assert alive(pid)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await until(lambda: not alive(pid), what="the end of the worker")


POD = """
import asyncio
import uvloop
from comanda_botpod.handlers.contained.child import Watch, Worker, WorkerPlan

async def main():
    worker = await Worker.start(WorkerPlan("default/a", "hostile", 10, 512), Watch())
    print(worker.pid, flush=True)
    await asyncio.Event().wait()

uvloop.run(main())
"""
"""A pod as far as it matters here, on the event loop that pods run on."""


def past_order(code: str, created_at: int) -> OrderRecord:
    line = OrderLineRecord(
        sku="MARG", name="Pizza Margarita", options="", notes="", quantity=1, unit_price=8990, total=8990
    )
    return OrderRecord(
        tenant="default/t10000011",
        code=code,
        status="placed",
        customer_name="Ana",
        fulfilment="pickup",
        address="",
        latitude=None,
        longitude=None,
        notes="",
        currency="CLP",
        subtotal=8990,
        delivery_fee=0,
        total=8990,
        created_at=NOW * 1000 + created_at,
        lines=(line,),
    )
