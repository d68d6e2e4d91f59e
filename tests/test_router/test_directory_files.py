"""The directory of local mode: a file that is replaced."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from comanda_contract.directory import Directory, encode_directory
from comanda_router.directory.files import FileDirectory
from tests.test_router.conftest import appending


def write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "directory.json"


async def test_it_reads_what_has_been_replaced_and_keeps_the_last_good_one(path: Path) -> None:
    given: list[Directory] = []
    followed = FileDirectory(path, appending(given))
    assert not await followed.refresh()
    write(path, encode_directory(Directory(generation=1)))
    assert [await followed.refresh(), await followed.refresh()] == [True, False]
    write(path, b'{"numbers": [')
    assert not await followed.refresh()
    write(path, encode_directory(Directory(generation=2)))
    assert await followed.refresh()
    assert [each.generation for each in given] == [1, 2]


async def test_it_is_there_at_once_and_followed_from_then_on(path: Path) -> None:
    given: asyncio.Queue[Directory] = asyncio.Queue()
    write(path, encode_directory(Directory(generation=1)))
    followed = FileDirectory(path, given.put)
    async with followed.following(0.01):
        assert given.get_nowait().generation == 1
        write(path, encode_directory(Directory(generation=2)))
        assert (await asyncio.wait_for(given.get(), 30)).generation == 2


async def test_a_file_that_cannot_be_read_for_a_while_is_read_when_it_can_be(path: Path) -> None:
    given: asyncio.Queue[Directory] = asyncio.Queue()
    followed = FileDirectory(path, given.put)
    path.mkdir()  # reading it fails, whoever asks
    for _ in range(2):
        with pytest.raises(OSError, match="directory"):
            await followed.refresh()
    async with followed.following(0.01):
        path.rmdir()
        write(path, encode_directory(Directory(generation=3)))
        assert (await asyncio.wait_for(given.get(), 30)).generation == 3
