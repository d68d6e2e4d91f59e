"""Where local mode keeps what, inside its data folder.

master.key                                   from which each group's key is derived
lock                                         held by the one `comanda up` that uses the folder
router/directory.json · router/apps/         what a cluster would mount into the router
router/dead-letters/
groups/<namespace>/<group>/tenants/ · credentials/   what a cluster would mount into the group's pods
groups/<namespace>/<group>/comanda.db        the group's database
simulator/config.json
logs/<process>.log
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from comanda_contract.errors import InvalidInputError, UnavailableError


class DataFolderError(UnavailableError):
    """The data folder cannot be used."""

    code = "data_folder"


@dataclass(frozen=True)
class Layout:
    """The paths of one data folder."""

    root: Path

    @property
    def directory_file(self) -> Path:
        """The router's directory."""
        return self.root / "router" / "directory.json"

    @property
    def apps_dir(self) -> Path:
        """The folder with the secrets of the Meta apps."""
        return self.root / "router" / "apps"

    @property
    def dead_letters_dir(self) -> Path:
        """The router's dead letters."""
        return self.root / "router" / "dead-letters"

    @property
    def simulator_config(self) -> Path:
        """The simulator's configuration."""
        return self.root / "simulator" / "config.json"

    @property
    def logs_dir(self) -> Path:
        """One log a process."""
        return self.root / "logs"

    def group_dir(self, key: str) -> Path:
        """Return the folder of a group, by `namespace/name`."""
        return self.root / "groups" / key

    def database(self, group: str) -> Path:
        """Return the group's SQLite file."""
        return self.group_dir(group) / "comanda.db"

    def databases(self) -> list[Path]:
        """Every group's SQLite file that exists."""
        return sorted(self.root.glob("groups/*/*/comanda.db"))

    def prepare(self) -> None:
        """Make the folder, for this user alone. Raises `DataFolderError`."""
        try:
            for folder in (
                self.root,
                self.directory_file.parent,
                self.apps_dir,
                self.logs_dir,
                self.simulator_config.parent,
            ):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise DataFolderError(
                f"The data folder {self.root} cannot be written: {error.strerror}.",
                hint="Choose another one with --data-dir.",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process. Raises `InvalidInputError` when another `comanda up` has it."""
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InvalidInputError(
                    "--data-dir",
                    f"{self.root} is in use by another comanda up.",
                    hint="Stop that one or choose another folder.",
                ) from None
            yield

    def master_key(self) -> bytes:
        """Return the key of this folder, made on first use and readable by its owner alone."""
        path = self.root / "master.key"
        if not path.exists():
            write_atomic(path, secrets.token_hex(32).encode())
        return bytes.fromhex(path.read_text().strip())


def write_atomic(path: Path, content: bytes) -> bool:
    """Replace a file at once, so that a reader sees the old or the new content; False when it has this content already.

    The file is readable by its owner alone: most of what is written here holds secrets.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and path.read_bytes() == content:
        return False
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True
