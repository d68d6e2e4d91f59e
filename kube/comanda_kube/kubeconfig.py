"""Kubeconfig files, and the choice between them and what a pod finds mounted.

They may name certificates, a token or a token file. Programs that fetch credentials (`exec`) are refused with a
sentence: services run in pods, and a person can make a token.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from comanda_kube.config import SERVICE_ACCOUNT, ClusterConfig, FixedToken, Token, TokenFile, in_cluster
from comanda_kube.errors import InvalidConfigError


def load_config(environment: Mapping[str, str] = os.environ, mount: Path = SERVICE_ACCOUNT) -> ClusterConfig:
    """Find the API: what KUBECONFIG names, else the pod's own ServiceAccount, else `~/.kube/config`.

    Raises `InvalidConfigError`.
    """
    named = [Path(part) for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        return from_kubeconfig(named)
    if environment.get("KUBERNETES_SERVICE_HOST") and (mount / "token").exists():
        return in_cluster(environment, mount)
    usual = Path.home() / ".kube/config"
    if usual.exists():
        return from_kubeconfig([usual])
    hint = "Set KUBECONFIG, or run in a pod that mounts its ServiceAccount token."
    raise InvalidConfigError("KUBECONFIG", "no Kubernetes API is configured.", hint=hint)


class _Cluster(msgspec.Struct, rename="kebab"):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str = ""


class _User(msgspec.Struct, rename="kebab"):
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec: Any = None
    auth_provider: Any = None
    username: str = ""
    impersonate: str = msgspec.field(default="", name="as")


class _Context(msgspec.Struct):
    cluster: str
    user: str
    namespace: str = "default"


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct):
    name: str
    user: _User


class _NamedContext(msgspec.Struct):
    name: str
    context: _Context


class _File(msgspec.Struct, rename="kebab"):
    current_context: str = ""
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []
    contexts: list[_NamedContext] = []


def from_kubeconfig(paths: Iterable[Path], context: str = "") -> ClusterConfig:
    """Read the context named, else the current one, from kubeconfig files; the first file that names a thing counts.

    Raises `InvalidConfigError`.
    """
    files = [_read(path) for path in paths if path.exists()]
    chosen = context or next((file.current_context for file in files if file.current_context), "")
    contexts = {item.name: item.context for file in reversed(files) for item in file.contexts}
    clusters = {item.name: item.cluster for file in reversed(files) for item in file.clusters}
    users = {item.name: item.user for file in reversed(files) for item in file.users}
    where = _named("contexts", contexts, chosen)
    cluster, user = _named("clusters", clusters, where.cluster), _named("users", users, where.user)
    _refuse_unknown_ways(cluster, user)
    return ClusterConfig(
        server=cluster.server.rstrip("/"),
        namespace=where.namespace,
        tls=_tls(cluster, user) if cluster.server.startswith("https://") else None,
        token=_token(user),
        server_name=cluster.tls_server_name,
    )


def _read(path: Path) -> _File:
    try:
        file = msgspec.yaml.decode(path.read_bytes(), type=_File)
    except msgspec.ValidationError as error:
        raise InvalidConfigError(str(path), f"{error}.") from error
    except msgspec.DecodeError:
        # The parser's own words would repeat lines of the file, and with them keys and tokens.
        raise InvalidConfigError(str(path), "this is not YAML.") from None
    for item in file.clusters:
        _settle(item.cluster, path.parent, "certificate_authority")
    for user in file.users:
        _settle(user.user, path.parent, "token_file", "client_certificate", "client_key")
    return file


def _settle(entry: _Cluster | _User, folder: Path, *fields: str) -> None:
    """Make paths absolute: they are meant from the kubeconfig's own folder."""
    for name in fields:
        if value := getattr(entry, name):
            setattr(entry, name, str(folder / value))


_T = TypeVar("_T")


def _named(section: str, entries: Mapping[str, _T], name: str) -> _T:
    if name not in entries:
        hint = f"There are: {', '.join(entries) or 'none'}."
        raise InvalidConfigError(f"kubeconfig {section}", f"there is no '{name}'.", hint=hint)
    return entries[name]


def _refuse_unknown_ways(cluster: _Cluster, user: _User) -> None:
    token_hint = "Put a token into the kubeconfig: kubectl create token SERVICEACCOUNT."  # noqa: S105 - a sentence
    if user.exec is not None or user.auth_provider is not None:
        raise InvalidConfigError("kubeconfig user.exec", "credentials from a program are not read.", hint=token_hint)
    if user.username:
        raise InvalidConfigError("kubeconfig user.username", "Kubernetes knows no passwords.", hint=token_hint)
    if user.impersonate:
        raise InvalidConfigError("kubeconfig user.as", "impersonation is not done.", hint=token_hint)
    if cluster.proxy_url:
        raise InvalidConfigError("kubeconfig cluster.proxy-url", "the API is reached directly only.")


def _token(user: _User) -> Token | None:
    if user.token_file:
        return TokenFile(Path(user.token_file))
    return FixedToken(user.token) if user.token else None


def _tls(cluster: _Cluster, user: _User) -> ssl.SSLContext:
    authority = _content("certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data)
    try:
        context = ssl.create_default_context(cadata=authority.decode() if authority else None)
        certificate = _content("client-certificate", user.client_certificate, user.client_certificate_data)
        if certificate:
            key = _content("client-key", user.client_key, user.client_key_data)
            _load_client_certificate(context, certificate + b"\n" + key)
    except (ssl.SSLError, ValueError) as error:
        rule = f"a certificate or key cannot be read ({type(error).__name__})."
        raise InvalidConfigError("kubeconfig certificates", rule) from error
    if cluster.insecure_skip_tls_verify:  # its owner wrote so
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _content(what: str, path: str, data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True) if data else Path(path).read_bytes() if path else b""
    except binascii.Error:
        raise InvalidConfigError(f"kubeconfig {what}-data", "this is not base64.") from None
    except OSError as error:
        raise InvalidConfigError(f"kubeconfig {what}", f"{path}: {error.strerror}.") from error


def _load_client_certificate(context: ssl.SSLContext, chain: bytes) -> None:
    """Load certificate and key; the standard library takes them from a file only, which is ours alone and brief."""
    with tempfile.NamedTemporaryFile(prefix="comanda-") as file:
        file.write(chain)
        file.flush()
        context.load_cert_chain(file.name)
