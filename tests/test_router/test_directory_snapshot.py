from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint
from comanda_router.directory import snapshot as module
from comanda_router.directory.snapshot import Snapshot, SnapshotError, load_snapshot, save_snapshot

names = st.text(max_size=8)
directories = st.builds(
    Directory,
    generation=st.integers(0, 2**53),
    apps=st.lists(names, max_size=3).map(tuple),
    numbers=st.lists(
        st.builds(NumberEntry, phone_number_id=names, tenant=names, app=names, group=names, ready=st.booleans()),
        max_size=12,
    ).map(tuple),
    groups=st.lists(
        st.builds(
            Group,
            name=names,
            uid=names,
            pods=st.lists(st.builds(PodEndpoint, name=names, url=names, ready=st.booleans()), max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
)

DIRECTORY = Directory(
    generation=7,
    apps=("default",),
    numbers=tuple(
        NumberEntry(phone_number_id=str(number), tenant="shop/a", app="default", group="shop/g") for number in range(3)
    ),
    groups=(Group(name="shop/g", uid="u", pods=(PodEndpoint(name="g-0", url="http://a:1", ready=True),)),),
)
SNAPSHOT = Snapshot(DIRECTORY, heard_at=1_790_000_000.5)

anew = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
"""Examples may share a folder: each writes its file anew."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "directory.snapshot"


@anew
@given(directories)
def test_what_was_saved_is_loaded(path: Path, directory: Directory) -> None:
    save_snapshot(path, Snapshot(directory, 12.5))
    assert load_snapshot(path) == Snapshot(directory, 12.5)


def test_a_large_one_is_written_in_pieces_and_is_the_same(path: Path) -> None:
    numbers = tuple(
        NumberEntry(phone_number_id=str(number), tenant=f"shop/t{number}", app="default", group="shop/g")
        for number in range(2 * module._PIECE + 1)
    )
    large = Snapshot(msgspec.structs.replace(DIRECTORY, numbers=numbers), 1.0)
    save_snapshot(path, large)
    assert load_snapshot(path) == large
    assert path.read_bytes().count(b"\n") == 7


def test_without_a_file_there_is_none(path: Path) -> None:
    assert load_snapshot(path) is None


def test_a_new_one_replaces_the_one_before_and_leaves_nothing_beside_it(path: Path) -> None:
    save_snapshot(path, SNAPSHOT)
    later = Snapshot(msgspec.structs.replace(DIRECTORY, generation=8), 2.0)
    save_snapshot(path, later)
    assert load_snapshot(path) == later
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_one_that_cannot_be_written_leaves_the_one_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_snapshot(path, SNAPSHOT)

    def full(_: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_snapshot(path, Snapshot(Directory(), 2.0))
    assert load_snapshot(path) == SNAPSHOT
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_it_is_on_the_disk_before_it_has_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, name, folder: a machine that loses its power in between has the one before or the new one."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(fd: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{fd}").resolve().is_dir() else "file")
        fsync(fd)

    def named(aside: Path, target: Path) -> Path:
        done.append("name")
        return replace(aside, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named)
    save_snapshot(path, SNAPSHOT)
    assert done == ["file", "name", "folder"]


@pytest.fixture
def content(path: Path) -> bytes:
    save_snapshot(path, SNAPSHOT)
    return path.read_bytes()


@anew
@given(st.data())
def test_one_with_any_byte_changed_is_refused(path: Path, content: bytes, data: st.DataObject) -> None:
    broken = bytearray(content)
    broken[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(broken)
    with pytest.raises(SnapshotError, match="checksum"):
        load_snapshot(path)


@anew
@given(st.data())
def test_one_that_was_cut_off_is_refused(path: Path, content: bytes, data: st.DataObject) -> None:
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(SnapshotError, match=r"directory\.snapshot: .*checksum"):
        load_snapshot(path)


def whole(body: bytes) -> bytes:
    return body + hashlib.sha256(body).hexdigest().encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (whole(b'{"format":2}\n'), "format 2"),
        (whole(b'{"generation":2}\n'), "something else"),
        (whole(b'{"format":1}\n{"numbers":[{}]}\n'), "something else"),
        (whole(b"\xff\n"), "something else"),
        (whole(b""), "something else"),
        (b"", "checksum"),
        (b"\n" * 65, "checksum"),
    ],
)
def test_what_is_no_snapshot_of_this_format_is_refused(path: Path, content: bytes, rule: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match=rule):
        load_snapshot(path)


def test_a_path_that_cannot_be_read_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(SnapshotError, match="cannot be read"):
        load_snapshot(path)


def test_others_may_not_read_it(path: Path) -> None:
    save_snapshot(path, SNAPSHOT)
    assert path.stat().st_mode & 0o077 == 0
