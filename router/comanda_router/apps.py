"""The secrets of the Meta apps, from mounted files that may be replaced at any moment.

<apps dir>/<app name>.appSecret            signs its webhooks
<apps dir>/<app name>.previousAppSecret    optional, while a new secret takes over
<apps dir>/<app name>.verifyToken          answers Meta's challenge; one token a line
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from pathlib import Path

from comanda_contract.names import app_file
from comanda_contract.resources.app import APP_SECRET_KEY, PREVIOUS_APP_SECRET_KEY, VERIFY_TOKEN_KEY
from comanda_router.signature import Key


@dataclass(frozen=True)
class AppSecrets:
    """What authenticates one app; the current secret comes first."""

    keys: tuple[Key, ...] = field(repr=False)
    verify_tokens: tuple[bytes, ...] = field(repr=False)

    def accepts_token(self, token: bytes) -> bool:
        """Tell, in constant time, whether a verify token is one of ours."""
        fits = [hmac.compare_digest(token, known) for known in self.verify_tokens]  # all of them, whichever fits
        return any(fits)


class Apps:
    """The registry; `refresh` reads the folder when anything in it changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._apps: dict[str, AppSecrets] = {}

    def get(self, name: str) -> AppSecrets | None:
        """Return an app's secrets, or None for an app that is not ours."""
        return self._apps.get(name)

    def refresh(self) -> None:
        """Read what changed. An app without a usable secret is left out: nobody can sign for it."""
        files = sorted(path for path in self._folder.glob("*.*") if not path.name.startswith(".") and path.is_file())
        stamp = tuple((path.name, stat.st_mtime_ns, stat.st_ino) for path in files for stat in (path.stat(),))
        if stamp == self._stamp:
            return
        apps = {name: _read(self._folder, name) for name in {path.name.rpartition(".")[0] for path in files}}
        self._apps = {name: app for name, app in apps.items() if app.keys}
        self._stamp = stamp


def _read(folder: Path, app: str) -> AppSecrets:
    secrets = [_value(folder / app_file(app, key)) for key in (APP_SECRET_KEY, PREVIOUS_APP_SECRET_KEY)]
    tokens = _value(folder / app_file(app, VERIFY_TOKEN_KEY)).splitlines()
    return AppSecrets(
        keys=tuple(Key(secret) for secret in secrets if secret),
        verify_tokens=tuple(token.strip() for token in tokens if token.strip()),
    )


def _value(path: Path) -> bytes:
    return path.read_bytes().strip() if path.is_file() else b""
