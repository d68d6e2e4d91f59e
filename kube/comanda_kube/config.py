"""Where the API is and how to prove who one is. A pod's mounted identity is read here, files in `kubeconfig.py`."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from comanda_kube.errors import InvalidConfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts a pod's token, CA certificate and namespace."""


class Token(Protocol):
    """A bearer token that may change while it is used."""

    def read(self) -> str:
        """Return the token as it is now."""

    def reread(self) -> str:
        """Return the token after looking at its source again: the API refused the one before."""


class FixedToken:
    """A token that stays."""

    def __init__(self, value: str) -> None:
        self._value = value

    def read(self) -> str:
        """Return the token."""
        return self._value

    reread = read


class TokenFile:
    """A token in a file that somebody rotates; a file that is away for a moment changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._value = ""
        if not self.reread():
            raise InvalidConfigError(str(path), "there is no token in this file.", hint="Mount or write one.")

    def read(self) -> str:
        """Return the token, read again when the file is another one or was written since."""
        try:
            found = self._path.stat()  # follows the link that Kubernetes turns at a rotation
        except OSError:
            return self._value
        return self._value if (found.st_ino, found.st_mtime_ns) == self._seen else self.reread()

    def reread(self) -> str:
        """Return the token that the file holds now."""
        try:
            found = self._path.stat()
            value = self._path.read_text().strip()
        except OSError:
            return self._value
        if value:
            self._seen, self._value = (found.st_ino, found.st_mtime_ns), value
        return self._value


@dataclass(frozen=True)
class ClusterConfig:
    """One API and one identity.

    `namespace` is where one is at home; `server_name` is set when the certificate's name is not the server's address.
    """

    server: str
    namespace: str = "default"
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    token: Token | None = field(default=None, repr=False)
    server_name: str | None = None

    def __post_init__(self) -> None:
        if self.tls is None and self.token is not None:
            raise InvalidConfigError("server", f"{self.server} is no https address, and a token may not cross it.")


def in_cluster(environment: Mapping[str, str] = os.environ, mount: Path = SERVICE_ACCOUNT) -> ClusterConfig:
    """Return the configuration of a pod. Raises `InvalidConfigError` where no ServiceAccount is mounted."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
    home = mount / "namespace"
    return ClusterConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=home.read_text().strip() if home.exists() else "default",
        tls=ssl.create_default_context(cafile=str(mount / "ca.crt")),
        token=TokenFile(mount / "token"),
    )
