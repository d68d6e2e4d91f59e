"""A database whose server shows a certificate: real PostgreSQL, real TLS."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tools.system import find

from comanda_store import StorageError, Store
from comanda_store.postgres.migrate import migrate
from tests.harness import until
from tests.postgres import DatabaseUrls, PostgresServer, postgres_server
from tests.postgres.server import SERVICE
from tests.test_store.test_store import MESSAGE, SCOPE


def authority(folder: Path, name: str) -> Path:
    """Make a key and a certificate of this machine's own address, signed by itself; returns the certificate."""
    openssl = find("openssl")
    assert openssl is not None, "openssl is missing: `make test` installs it on Debian; else set COMANDA_OPENSSL"
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, "req", *made, *names], check=True, capture_output=True)
    return certificate


@pytest.fixture
async def encrypted(tmp_path: Path) -> AsyncIterator[tuple[DatabaseUrls, Path]]:
    """A database behind TLS, not migrated yet, and what its certificate is checked by."""
    certificate = authority(tmp_path, "server")
    with postgres_server() as server:
        await server.accepts()
        await server.prepare()
        urls = await server.new_database(template="template0")
        await show(server, urls, certificate)
        yield urls, certificate


async def show(server: PostgresServer, urls: DatabaseUrls, certificate: Path) -> None:
    """Have the server show a certificate from now on."""
    user = server.data.stat()
    for source, name in ((certificate, "server.crt"), (certificate.with_suffix(".key"), "server.key")):
        target = server.data / name
        target.write_bytes(source.read_bytes())
        target.chmod(0o600)
        os.chown(target, user.st_uid, user.st_gid)
    await urls.sql("alter system set ssl = on")
    await urls.sql("select pg_reload_conf()")

    async def is_on() -> bool:
        return await urls.sql("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [(True,)]

    await until(is_on, 20, "the server shows its certificate")


async def test_every_connection_checks_the_certificate_that_the_url_asks_for(
    encrypted: tuple[DatabaseUrls, Path],
) -> None:
    urls, certificate = encrypted
    checked = f"?sslmode=verify-full&sslrootcert={certificate}"
    await migrate(urls.owner + checked, SERVICE)
    store = await Store.open(urls.service + checked, pod="pod-0", incarnation="pod-0:1")
    await store.ingest([MESSAGE])
    assert await store.list_orders(SCOPE) == []
    used = await urls.sql(
        "select distinct s.ssl from pg_stat_ssl s join pg_stat_activity a on a.pid = s.pid where a.usename = $1",
        SERVICE,
    )
    assert used == [(True,)]
    await store.close()


async def test_a_server_that_shows_another_certificate_is_not_talked_to(
    encrypted: tuple[DatabaseUrls, Path], tmp_path: Path
) -> None:
    urls, _ = encrypted
    checked = f"?sslmode=verify-full&sslrootcert={authority(tmp_path, 'another')}"
    with pytest.raises(StorageError, match="SSLCertVerificationError"):
        await migrate(urls.owner + checked, SERVICE, wait_seconds=3600)
    with pytest.raises(StorageError, match="SSLCertVerificationError"):
        await Store.open(urls.service + checked, pod="pod-0", incarnation="pod-0:1")
