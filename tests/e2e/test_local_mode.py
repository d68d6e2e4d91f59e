"""`comanda up` as its user meets it: files that change, things in the way, and the words it says about them."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from comanda_cli.local.processes import free_port, port_is_free
from tests.e2e.world import DEMO_TENANTS, FAROL, NAPOLI, Running, World, kill
from tests.harness import until

PHONE = "56990000001"


def comanda(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "comanda_cli.app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def tenants_of(running: Running) -> set[str]:
    """Return the tenants that were told to be ready."""
    return {str(event["tenant"]) for event in running.named("tenant_ready")}


async def test_the_first_event_says_ready_and_where(world: World) -> None:
    running = await world.up()
    first = running.events[0]
    assert (first["event"], first["router"], first["simulator"]) == ("ready", world.router_url, None)
    await until(lambda: tenants_of(running) == {"default/napoli", "default/farol", "parrilla/parrilla"})
    assert not running.named("simulator")


async def test_a_broken_file_is_refused_with_its_line_and_the_rest_keeps_running(world: World) -> None:
    running = await world.up()
    napoli = world.folder / "napoli.yaml"
    good = napoli.read_text()
    napoli.write_text(good.replace("kind: ConfigMap", "kind: [ConfigMap"))
    await until(lambda: bool(running.named("file_refused")))
    refusal = running.named("file_refused")[0]
    assert (refusal["file"], refusal["line"] > 1) == ("napoli.yaml", True)
    # The broken file's own tenant goes on with its last good content, the others are not touched.
    await world.let_write(PHONE, "hola", NAPOLI)
    await world.let_write(PHONE, "hola", FAROL)
    await world.count_replies(2)
    napoli.write_text(good)
    await until(lambda: bool(running.named("file_accepted")))


async def test_a_broken_menu_is_refused_with_the_line_inside_the_file(world: World) -> None:
    running = await world.up()
    napoli = world.folder / "napoli.yaml"
    lines = napoli.read_text().splitlines()
    at = next(index for index, line in enumerate(lines) if "sku: NAPO" in line)
    lines[at] = lines[at].replace("price: 9490", "price: cheap")
    napoli.write_text("\n".join(lines))
    await until(lambda: bool(running.named("file_refused")))
    assert running.named("file_refused")[0]["line"] == at + 1


async def test_a_broken_file_at_the_start_does_not_stop_the_others(world: World) -> None:
    (world.folder / "napoli.yaml").write_text("spec: [")
    running = await world.up()
    assert running.events[0]["event"] == "ready"
    await until(lambda: bool(running.named("file_refused")))
    assert running.named("file_refused")[0]["file"] == "napoli.yaml"
    await world.let_write(PHONE, "hola", FAROL)
    await world.count_replies(1)


async def test_a_new_price_is_in_force_without_restart(world: World) -> None:
    running = await world.up()
    pids = [event["pid"] for event in running.named("process_started")]
    napoli = world.folder / "napoli.yaml"
    napoli.write_text(napoli.read_text().replace("price: 8990", "price: 7000"))
    phones = iter(f"5698{index:07}" for index in range(1000))

    async def new_price() -> bool:
        phone = next(phones)
        await world.let_write(phone, "1 margarita")
        await until(lambda: _answered(world, phone))
        return "7.000" in str((await world.replies(phone))[0]["payload"])

    await until(new_price)
    assert [event["pid"] for event in running.named("process_started")] == pids


async def test_tenants_come_and_go_while_others_are_served(world: World) -> None:
    away = (world.folder / "farol.yaml").rename(world.folder.parent / "farol.yaml")
    running = await world.up()
    await until(lambda: tenants_of(running) == {"default/napoli", "parrilla/parrilla"})
    writing = asyncio.create_task(_keep_writing(world, 40))
    away.rename(world.folder / "farol.yaml")
    await until(lambda: any(event["tenant"] == "default/farol" for event in running.named("tenant_ready")))
    await world.let_write(PHONE, "hola", FAROL)
    await world.count_replies(1, number=FAROL)
    (world.folder / "farol.yaml").unlink()
    await until(lambda: bool(running.named("tenant_removed")))
    await writing
    await world.count_replies(40, number=NAPOLI)


async def test_a_pool_grows_and_shrinks_while_it_is_written_to(world: World) -> None:
    running = await world.up()
    platform = world.folder / "platform.yaml"
    good = platform.read_text()
    writing = asyncio.create_task(_keep_writing(world, 60))
    platform.write_text(good.replace("replicas: 2", "replicas: 3"))
    await until(lambda: any(event["process"] == "pool-default-2" for event in running.named("process_started")))
    platform.write_text(good.replace("replicas: 2", "replicas: 1"))
    await writing
    await world.count_replies(60, number=NAPOLI)


async def test_what_dies_is_started_again(world: World) -> None:
    running = await world.up()
    for name in ("router", "pool-default-0", "tenant-parrilla-0"):
        kill(running.pid_of(name))
    await until(lambda: len(running.named("process_exited")) == 3)
    await until(lambda: len(running.named("process_started")) == 7)
    await world.let_write(PHONE, "hola")
    await world.count_replies(1)


async def test_ctrl_c_stops_everything_and_frees_the_ports(world: World) -> None:
    running = await world.up()
    assert await running.stop(signal.SIGINT) == 0
    assert [event["event"] for event in running.events[-2:]] == ["stopping", "stopped"]
    assert port_is_free(world.router_port)


async def test_children_do_not_outlive_a_killed_parent(world: World) -> None:
    running = await world.up()
    pids = [event["pid"] for event in running.named("process_started")]
    running.process.kill()
    await running.process.wait()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 40)


async def test_a_second_up_on_the_same_data_is_refused(world: World) -> None:
    await world.up()
    result = await asyncio.to_thread(
        comanda, "up", "-f", str(world.folder), "--data-dir", str(world.data_dir),
        "--router-port", str(free_port()), "--graph-url", world.graph_url,
    )  # fmt: skip
    assert result.returncode == 1
    assert "in use by another comanda up" in result.stderr


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for output in ("text", "json"):
            result = comanda(
                "up", "-f", str(DEMO_TENANTS), "--data-dir", str(tmp_path / "d"), "--router-port", port,
                "--simulator-port", str(free_port()), "--output", output,
            )  # fmt: skip
            assert result.returncode == 1
            said = result.stderr if output == "text" else result.stdout
            assert f"port {port} is in use" in said
            assert "--router-port" in said
    assert json.loads(result.stdout.splitlines()[-1])["event"] == "failed"


def test_a_data_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    result = comanda(
        "up", "-f", str(DEMO_TENANTS), "--data-dir", str(tmp_path / "file" / "data"),
        "--router-port", str(free_port()), "--simulator-port", str(free_port()),
    )  # fmt: skip
    assert result.returncode == 1
    assert "cannot be written" in result.stderr
    assert "--data-dir" in result.stderr


@pytest.mark.parametrize("command", ["up", "validate"])
def test_a_missing_folder_is_named_with_the_way_out(tmp_path: Path, command: str) -> None:
    result = comanda(
        command, "-f", str(tmp_path / "nowhere"), *(["--data-dir", str(tmp_path)] if command == "up" else [])
    )
    assert result.returncode != 0
    assert "is no folder" in result.stderr
    assert "Traceback" not in result.stderr


async def test_no_secret_and_no_phone_number_reaches_logs_or_output(world: World) -> None:
    running = await world.up()
    await world.order(PHONE)
    await world.faults(graph_error={"code": 131026, "probability": 1.0})
    await world.let_write("56977777777", "canary-text")
    await world.faults()
    await world.let_write(PHONE, "hola")
    await world.count_replies(4, PHONE)
    await running.stop()
    said = json.dumps(running.events) + "".join(running.stderr)
    said += "".join(path.read_text() for path in (world.data_dir / "logs").iterdir())
    assert "order_placed" in said
    for secret in ("demo-app-secret", "demo-token", "demo-verify", PHONE, "56977777777", "canary-text", "margarita"):
        assert secret not in said, secret


async def _answered(world: World, phone: str) -> bool:
    return bool(await world.replies(phone))


async def _keep_writing(world: World, count: int) -> None:
    for index in range(count):
        await world.let_write(f"5697{index:07}", "hola")
