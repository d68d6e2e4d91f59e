"""What makes two builds of the same sources the same image."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st
from tools.images import settled_config, without_times

EPOCH = 1_700_000_000

members = st.dictionaries(
    st.text("abcdefgh/", min_size=1, max_size=8).map(lambda name: f"opt/{name.strip('/') or 'x'}"),
    st.tuples(st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE]), st.binary(max_size=50)),
    min_size=1,
    max_size=6,
)


def layer(found: dict[str, tuple[bytes, bytes]], mtime: float) -> bytes:
    """Return the archive that a build at this moment makes."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, (kind, content) in found.items():
            member = tarfile.TarInfo(name)
            member.type, member.mtime, member.mode, member.uid = kind, mtime, 0o750, 10001
            member.linkname = "target" if kind == tarfile.SYMTYPE else ""
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def contents(archive: bytes) -> list[tuple[str, bytes, int, int, str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return [
            (each.name, each.type, each.mode, each.uid, each.linkname, file.read() if file else b"")
            for each in opened
            for file in [opened.extractfile(each) if each.isreg() else None]
        ]


@given(members, st.floats(EPOCH + 1, EPOCH + 10**8), st.floats(EPOCH + 1, EPOCH + 10**8))
def test_builds_at_two_moments_give_one_layer_with_all_that_is_in_it(
    found: dict[str, tuple[bytes, bytes]], one: float, other: float
) -> None:
    first, second = layer(found, one), layer(found, other)
    settled = without_times(first, EPOCH)
    assert settled == without_times(second, EPOCH)
    assert contents(settled) == contents(first)
    assert without_times(settled, EPOCH) == settled


def test_what_is_older_than_the_sources_keeps_its_time() -> None:
    with tarfile.open(fileobj=io.BytesIO(without_times(layer({"opt/a": (tarfile.REGTYPE, b"x")}, 1.0), EPOCH))) as made:
        assert made.getmember("opt/a").mtime == 1


def test_a_configuration_says_nothing_of_where_and_when_it_was_built() -> None:
    def config(moment: str, container: str) -> dict[str, object]:
        history = [{"created": "2020-01-01T00:00:00Z", "created_by": "base"}, {"created": moment, "created_by": "COPY"}]
        return {
            "created": moment,
            "container": container,
            "container_config": {"Hostname": container},
            "docker_version": container,
            "config": {"User": "10001:10001"},
            "history": history,
        }

    one = settled_config(config("2026-01-01T00:00:00.1Z", "a"), EPOCH)
    assert one == settled_config(config("2026-02-02T00:00:00.2Z", "b"), EPOCH)
    assert one["config"] == {"User": "10001:10001"}
    assert [step["created"] for step in one["history"]] == ["2020-01-01T00:00:00Z", "2023-11-14T22:13:20Z"]
