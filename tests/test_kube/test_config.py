from __future__ import annotations

import base64
import json
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from comanda_kube.client import Client
from comanda_kube.config import ClusterConfig, FixedToken, TokenFile, in_cluster
from comanda_kube.errors import ApiUnavailableError, InvalidConfigError
from comanda_kube.kubeconfig import from_kubeconfig, load_config
from comanda_kube.resources import NAMESPACES
from tests.cluster import ApiServer

SECRET = "secret-of-this-test"


def write_config(path: Path, *, user: dict[str, Any], cluster: dict[str, Any] | None = None, name: str = "one") -> Path:
    content = {
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": "https://127.0.0.1:1", **(cluster or {})}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"home-of-{name}"}}],
    }
    path.write_text(json.dumps(content))
    return path


async def reaches(config: ClusterConfig) -> bool:
    async with Client(config, "tests", timeout_seconds=3) as client:
        return bool((await client.get(NAMESPACES, "", "default"))["kind"] == "Namespace")


async def test_a_certificate_in_a_kubeconfig_opens_the_api(apiserver: ApiServer) -> None:
    assert await reaches(from_kubeconfig([apiserver.kubeconfig()]))


async def test_a_token_in_a_kubeconfig_opens_the_api(apiserver: ApiServer) -> None:
    assert await reaches(from_kubeconfig([apiserver.kubeconfig(token=apiserver.token())]))


async def test_files_that_a_kubeconfig_names_are_found_beside_it(apiserver: ApiServer, tmp_path: Path) -> None:
    for name in ("ca.crt", "admin.crt", "admin.key"):
        (tmp_path / name).write_bytes((apiserver.folder / name).read_bytes())
    (tmp_path / "token").write_text(apiserver.token())
    cluster = {"server": apiserver.url, "certificate-authority": "ca.crt"}
    by_token = write_config(tmp_path / "token.yaml", user={"tokenFile": "token"}, cluster=cluster)
    certificate = {"client-certificate": "admin.crt", "client-key": "admin.key"}
    by_certificate = write_config(tmp_path / "certificate.yaml", user=certificate, cluster=cluster)
    assert await reaches(from_kubeconfig([by_token]))
    assert await reaches(from_kubeconfig([by_certificate]))


@pytest.mark.parametrize(("name", "good"), [("localhost", True), ("elsewhere.test", False)])
async def test_the_certificate_must_have_the_name_that_a_kubeconfig_gives(
    apiserver: ApiServer, tmp_path: Path, name: str, *, good: bool
) -> None:
    authority = base64.b64encode(apiserver.authority).decode()
    cluster = {"server": apiserver.url, "certificate-authority-data": authority, "tls-server-name": name}
    config = from_kubeconfig([write_config(tmp_path / "config", user={"token": apiserver.token()}, cluster=cluster)])
    if good:
        assert await reaches(config)
    else:
        with pytest.raises(ApiUnavailableError, match="ClientConnectorCertificateError"):
            await reaches(config)


async def test_a_kubeconfig_may_waive_the_check_of_the_server(apiserver: ApiServer, tmp_path: Path) -> None:
    cluster = {"server": apiserver.url, "insecure-skip-tls-verify": True}
    path = write_config(tmp_path / "config", user={"token": apiserver.token()}, cluster=cluster)
    assert await reaches(from_kubeconfig([path]))


async def test_a_pod_finds_what_is_mounted(apiserver: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(apiserver.token())
    (tmp_path / "ca.crt").write_bytes(apiserver.authority)
    (tmp_path / "namespace").write_text("comanda-system\n")
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(apiserver.port)}
    config = load_config(environment, tmp_path)
    assert config.namespace == "comanda-system"
    assert await reaches(config)


def test_a_named_kubeconfig_comes_before_what_is_mounted(tmp_path: Path) -> None:
    named = write_config(tmp_path / "config", user={"token": SECRET})
    (tmp_path / "token").write_text("other")
    environment = {"KUBECONFIG": str(named), "KUBERNETES_SERVICE_HOST": "::1"}
    assert load_config(environment, tmp_path).server == "https://127.0.0.1:1"


def test_without_any_configuration_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidConfigError, match="Set KUBECONFIG"):
        load_config({}, tmp_path)


def test_an_address_of_six_is_bracketed(tmp_path: Path, apiserver: ApiServer) -> None:
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "ca.crt").write_bytes(apiserver.authority)
    assert in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path).server == "https://[fd00::1]:443"


def test_of_two_kubeconfigs_the_first_to_name_a_thing_counts(tmp_path: Path) -> None:
    one = write_config(tmp_path / "1", user={"token": SECRET}, cluster={"server": "https://127.0.0.1:11"})
    same = write_config(tmp_path / "2", user={"token": SECRET}, cluster={"server": "https://127.0.0.1:22"})
    other = write_config(tmp_path / "3", user={"token": SECRET}, name="two")
    files = [one, same, tmp_path / "missing", other]
    assert from_kubeconfig(files).server == "https://127.0.0.1:11"
    assert from_kubeconfig(files, "two").namespace == "home-of-two"


@pytest.mark.parametrize(
    ("user", "cluster", "says"),
    [
        ({"exec": {"command": "aws"}}, {}, "credentials from a program"),
        ({"auth-provider": {"name": "gcp"}}, {}, "credentials from a program"),
        ({"username": "admin", "password": SECRET}, {}, "no passwords"),
        ({"token": SECRET, "as": "somebody"}, {}, "impersonation"),
        ({"token": SECRET}, {"proxy-url": "http://127.0.0.1:1"}, "reached directly"),
        ({"token": SECRET}, {"server": "http://127.0.0.1:1"}, "may not cross"),
        ({"token": SECRET}, {"certificate-authority-data": "%" + SECRET}, "not base64"),
        ({"token": SECRET}, {"certificate-authority": "missing.crt"}, "No such file"),
        ({"client-certificate-data": base64.b64encode(SECRET.encode()).decode()}, {}, "cannot be read"),
        ({"tokenFile": "missing"}, {}, "no token in this file"),
        ({"token": [SECRET]}, {}, "Expected `str`"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence_without_the_secret(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], says: str
) -> None:
    path = write_config(tmp_path / "config", user=user, cluster=cluster)
    with pytest.raises(InvalidConfigError, match=says) as caught:
        from_kubeconfig([path])
    assert SECRET not in str(caught.value)


def test_broken_yaml_is_refused_without_repeating_it(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"users: [{{token: '{SECRET}\n")
    with pytest.raises(InvalidConfigError, match="not YAML") as caught:
        from_kubeconfig([tmp_path / "config"])
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_context_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = write_config(tmp_path / "config", user={"token": SECRET})
    with pytest.raises(InvalidConfigError, match=r"no 'three'. There are: one."):
        from_kubeconfig([path], "three")


def test_a_configuration_shows_no_secret_of_its_own() -> None:
    config = ClusterConfig("https://127.0.0.1:1", tls=ssl.create_default_context(), token=FixedToken(SECRET))
    assert SECRET not in repr(config)


def test_a_rotated_token_is_read_as_kubernetes_turns_the_link(tmp_path: Path) -> None:
    for version in ("first", "second"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(version)
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "token").symlink_to("..data/token")
    token = TokenFile(tmp_path / "token")
    assert token.read() == "first"
    (tmp_path / "..data_tmp").symlink_to("second")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert token.read() == "second"


def test_a_token_file_that_is_away_or_empty_for_a_moment_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    token = TokenFile(path)
    path.write_text("")
    assert token.read() == token.reread() == "first"
    path.unlink()
    assert token.read() == token.reread() == "first"


def test_a_token_written_over_within_the_clocks_grain_is_read_when_the_api_refuses_the_old(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    token = TokenFile(path)
    before = path.stat()
    path.write_text("other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert token.read() == "first"
    assert token.reread() == "other"
