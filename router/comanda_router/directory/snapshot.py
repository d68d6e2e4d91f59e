"""The last directory on disk: a router starts from it while the API is away.

    {"format": 1, "heard_at": …, "generation": …}    a line that says what this is
    {"numbers": [ … ]}                               pieces of a directory, one a line
    9f86d08…                                         SHA-256 of all before, in hex

It is written aside and renamed, so there is the one before or the new one, and nothing that is not whole is ever used.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from comanda_contract.directory import Directory, decode_directory
from comanda_contract.errors import InvalidInputError

FORMAT = 1

_PIECE = 500
"""Numbers or groups a piece: encoding that many holds others up for well under a millisecond."""

_DIGEST_CHARACTERS = 64


class SnapshotError(InvalidInputError):
    """A snapshot that is broken, or of another format; it is not used."""

    code = "snapshot"


@dataclass(frozen=True)
class Snapshot:
    """A directory, and when the API was last heard of (seconds since 1970)."""

    directory: Directory
    heard_at: float


class _Head(msgspec.Struct):
    format: int
    heard_at: float = 0.0
    generation: int = 0


def save_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Put a snapshot in place of the one before, for good. Raises `OSError`; blocks: call it from a thread."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}")  # several workers may share the path
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            _write(file, snapshot)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_snapshot(path: Path) -> Snapshot | None:
    """Read a snapshot; None when there is none. Raises `SnapshotError` for one that cannot be used."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(path, f"cannot be read ({type(error).__name__})") from error
    body, digest = content[: -_DIGEST_CHARACTERS - 1], content[-_DIGEST_CHARACTERS - 1 :]
    if digest != _digest_line(hashlib.sha256(body)):
        raise _refusal(path, "is not whole: its checksum differs")
    try:
        head, *pieces = body.splitlines()
        return _join(path, msgspec.json.decode(head, type=_Head), [decode_directory(piece) for piece in pieces])
    except (msgspec.DecodeError, ValueError) as error:
        raise _refusal(path, "holds something else than a directory") from error


def _write(file: BinaryIO, snapshot: Snapshot) -> None:
    digest = hashlib.sha256()
    for line in _lines(snapshot):
        digest.update(line)
        file.write(line)
    file.write(_digest_line(digest))
    file.flush()
    os.fsync(file.fileno())


def _lines(snapshot: Snapshot) -> Iterator[bytes]:
    directory = snapshot.directory
    head = _Head(format=FORMAT, heard_at=snapshot.heard_at, generation=directory.generation)
    numbers, groups = directory.numbers, directory.groups
    pieces = chain(
        (Directory(apps=directory.apps),),
        (Directory(numbers=numbers[start : start + _PIECE]) for start in range(0, len(numbers), _PIECE)),
        (Directory(groups=groups[start : start + _PIECE]) for start in range(0, len(groups), _PIECE)),
    )
    yield msgspec.json.encode(head) + b"\n"
    for piece in pieces:
        yield msgspec.json.encode(piece) + b"\n"


def _join(path: Path, head: _Head, pieces: list[Directory]) -> Snapshot:
    if head.format != FORMAT:
        raise _refusal(path, f"is of format {head.format}, and this router reads {FORMAT}")
    directory = Directory(
        generation=head.generation,
        apps=tuple(chain.from_iterable(piece.apps for piece in pieces)),
        numbers=tuple(chain.from_iterable(piece.numbers for piece in pieces)),
        groups=tuple(chain.from_iterable(piece.groups for piece in pieces)),
    )
    return Snapshot(directory, head.heard_at)


def _digest_line(digest: hashlib._Hash) -> bytes:
    return digest.hexdigest().encode() + b"\n"


def _refusal(path: Path, rule: str) -> SnapshotError:
    return SnapshotError(str(path), f"this snapshot {rule}.", hint="It is not used; the next one replaces it.")
