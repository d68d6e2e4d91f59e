from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from tools.system import find

from comanda_store.postgres.migrate import migrate
from tests.harness import until

OWNER, SERVICE = "comanda_owner", "comanda_service"
TEMPLATE = "comanda_template"


@dataclass(frozen=True)
class DatabaseUrls:
    """One database, as its owner and as the pods see it, and as the superuser who may look at everything."""

    owner: str
    service: str
    superuser: str

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, whom row-level security does not bind."""
        connection = await asyncpg.connect(self.superuser, timeout=10)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close()


@dataclass
class PostgresServer:
    """A server in a folder of its own."""

    folder: Path
    binaries: Path
    port: int
    settings: Sequence[str] = ()
    prepared: bool = False
    _process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def initialise(self) -> None:
        how = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-instructions", "--no-sync")
        self._run("initdb", "-D", str(self.data), *how)
        lines = [
            f"port = {self.port}",
            "listen_addresses = '127.0.0.1'",
            f"unix_socket_directories = '{self.folder}'",
            "fsync = on",
            "max_connections = 60",
            "shared_buffers = 64MB",
            *self.settings,
        ]
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")

    def start(self) -> None:
        # What a kill -9 leaves behind would keep the next server from starting.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data], stdout=log, stderr=log, **_as_somebody()
            )

    async def accepts(self) -> None:
        """Wait until the server lets somebody in."""

        async def let_in() -> bool:
            try:
                await (await asyncpg.connect(self._url("postgres", "postgres"), timeout=5)).close()
            except (OSError, asyncpg.PostgresError, TimeoutError):
                assert self._process is not None
                assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
                return False
            return True

        await until(let_in, 60, "the database accepts connections")

    def stop(self) -> None:
        """End the server at once. Its data are thrown away with it: ended in order, it would sync all of them first."""
        self.thaw()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)

    def kill(self) -> None:
        """Kill -9 every process of the server."""
        processes = self.processes()
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=30)
        assert self._process is not None
        self._process.wait(30)

    def freeze(self) -> None:
        """Stop every process of the server: connections stay open and nothing answers."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def processes(self) -> list[psutil.Process]:
        """Return the postmaster and its children; none when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return []
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    async def prepare(self) -> None:
        """Make the two roles and a migrated database that tests copy."""
        connection = await asyncpg.connect(self._url("postgres", "postgres"), timeout=10)
        try:
            await connection.execute(f"create role {OWNER} login")
            await connection.execute(f"create role {SERVICE} login")
            await connection.execute(f"create database {TEMPLATE} owner {OWNER}")
        finally:
            await connection.close()
        await migrate(self._url(OWNER, TEMPLATE), SERVICE)
        self.prepared = True

    async def new_database(self, *, template: str = TEMPLATE) -> DatabaseUrls:
        """Make a database, migrated unless another template is named."""
        name = f"comanda_{next(self._numbers)}"
        connection = await asyncpg.connect(self._url("postgres", "postgres"), timeout=10)
        try:
            await connection.execute(f"create database {name} owner {OWNER} template {template}")
        finally:
            await connection.close()
        return DatabaseUrls(self._url(OWNER, name), self._url(SERVICE, name), self._url("postgres", name))

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **_as_somebody())
        assert ran.returncode == 0, ran.stderr


def _somebody() -> pwd.struct_passwd | None:
    """Return whom to be when root: PostgreSQL refuses to run as root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _as_somebody() -> dict[str, Any]:
    user = _somebody()
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres_server(*settings: str, folder: Path | None = None) -> Iterator[PostgresServer]:
    """Give a started server; `settings` are lines of postgresql.conf, `folder` is where it keeps its data."""
    home = Path(tempfile.mkdtemp(prefix="comanda-postgres-", dir=folder))
    program = find("postgres")
    assert program is not None, "PostgreSQL is missing: `make test` installs it on Debian; else set COMANDA_POSTGRES"
    server = PostgresServer(home, Path(program).parent, _free_port(), settings)
    if user := _somebody():
        os.chown(home, user.pw_uid, user.pw_gid)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
