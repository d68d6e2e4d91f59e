"""A disk that fills up: nothing more is acknowledged, nothing acknowledged is lost, and room alone mends it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from comanda_contract.deliveries import Answer, Delivery, DeliveryBatch, decode_answers, encode_batch
from comanda_contract.names import DELIVERIES_PATH
from tests.harness import text_message, until
from tests.torture.world import HEADERS, NUMBERS, World

MIB = 2**20


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a file system of this size on a folder."""
    assert os.geteuid() == 0, "this test mounts a small disk: run it as root"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def deliver(world: World, serial: int, size: int = 20_000) -> Answer:
    """Deliver one message of so many bytes that gets no turn."""
    item = text_message(f"wamid.{serial:06}", text="x" * size) | {"type": "reaction"}
    delivery = Delivery(
        kind="message",
        phone_number_id=NUMBERS[0],
        key=f"wamid.{serial:06}",
        app="default",
        item=msgspec.Raw(msgspec.json.encode(item)),
    )
    url = f"http://127.0.0.1:{world.pods[0].port}{DELIVERIES_PATH}"
    body = encode_batch(DeliveryBatch(deliveries=[delivery]))
    async with world.session.post(url, data=body, headers=HEADERS) as response:
        (answer,) = decode_answers(await response.read()).answers
    return answer


@pytest.mark.timeout(200)
async def test_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 12) as disk:
        # The guard that stops earlier is off: this is what happens when something else fills the disk.
        async with World(tmp_path, None, seed=0, environment={"FREE_BYTES": "0"}) as world:
            ballast = disk / "ballast"
            ballast.write_bytes(b"x" * 5 * MIB)
            stored: set[int] = set()
            refused: set[int] = set()
            for serial in range(2000):
                answer = await deliver(world, serial)
                (stored if answer.outcome == "stored" else refused).add(serial)
                if len(refused) == 5:
                    break
            assert stored
            assert len(refused) == 5, "the disk did not fill up"
            ballast.unlink()

            async def takes() -> bool:
                return (await deliver(world, min(refused))).outcome != "refused"

            await until(takes, 30, "the pod stores again")
            rows = await world.rows("select wamid from inbox")
            assert {f"wamid.{serial:06}" for serial in stored} <= {wamid for (wamid,) in rows}
            for serial in stored:
                assert (await deliver(world, serial)).outcome == "duplicate"


@pytest.mark.timeout(200)
async def test_a_nearly_full_disk_is_noticed_before_it_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 100) as disk:
        async with World(tmp_path, None, seed=0) as world:
            assert (await deliver(world, 1)).outcome == "stored"
            ballast = disk / "ballast"
            ballast.write_bytes(b"x" * 50 * MIB)

            async def refuses() -> bool:
                return (await deliver(world, 2)).reason == "overloaded"

            await until(refuses, 30, "the pod refuses")
            ballast.unlink()

            async def takes() -> bool:
                return (await deliver(world, 3)).outcome in {"stored", "duplicate"}

            await until(takes, 30, "the pod stores again")
