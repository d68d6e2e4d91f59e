"""The tenants of this pod, from mounted files that may change at any moment.

Files are looked at every half second; what changed is read anew. A file that cannot be read, or a tenant whose flow or
menu is wrong, keeps its last good version and is named in `problems`; the others are not touched.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import structlog
import yaml

from comanda_contract.errors import ComandaError
from comanda_contract.tenancy import TenantSettings, decode_credentials, decode_tenants
from comanda_flow import STANDARD_FLOW_RESOURCE, Flow, Restaurant, load_flow, load_restaurant
from comanda_store import TenantScope

_log = structlog.get_logger()
_canonical = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True)
class Tenant:
    """A tenant ready to be served. Data is touched only with one of these in hand.

    `bot` is None while its flow or menu cannot be used: what customers write is stored and waits.
    """

    settings: TenantSettings
    bot: Bot | None
    access_token: str | None

    @property
    def name(self) -> str:
        """`namespace/name`: the key of all its data."""
        return self.settings.tenant

    @property
    def scope(self) -> TenantScope:
        """Whose data may be touched with it."""
        return TenantScope(self.settings.tenant, self.settings.phone_number_id)

    @property
    def number(self) -> str:
        """Its phone number id."""
        return self.settings.phone_number_id


@dataclass(frozen=True)
class Bot:
    """The flow and the restaurant of a tenant, checked and indexed, with their versions."""

    flow: Flow
    flow_version: str
    flow_document: str
    restaurant: Restaurant
    menu_version: str
    menu_document: str


class Tenants:
    """The registry. `refresh` reads what changed; lookups are by phone number id."""

    def __init__(self, tenants_dir: Path, credentials_dir: Path, key: bytes) -> None:
        self._tenants_dir = tenants_dir
        self._credentials_dir = credentials_dir
        self._key = key
        self._standard = _standard_flow()
        self._files: dict[Path, bytes] = {}
        self._stamps: dict[Path, tuple[int, int, int]] = {}
        self._by_number: dict[str, Tenant] = {}
        self.problems: dict[str, str] = {}
        self.loaded = ""
        """Keyed digest of everything read: equal to `digest_of` of the folders when this pod is up to date."""

    def get(self, phone_number_id: str) -> Tenant | None:
        """Return the tenant of a number, or None."""
        return self._by_number.get(phone_number_id)

    def all(self) -> Iterable[Tenant]:
        """Return every tenant."""
        return self._by_number.values()

    def refresh(self) -> list[Tenant]:
        """Read what changed; returns the tenants that are new or different. Bad files keep their last good content."""
        if not self._read_changes():
            return []
        settings: dict[str, TenantSettings] = {}
        tokens: dict[str, str] = {}
        self.problems = {}
        for path, content in sorted(self._files.items()):
            try:
                if path.parent == self._tenants_dir:
                    settings |= {tenant.phone_number_id: tenant for tenant in decode_tenants(content).tenants}
                else:
                    tokens |= decode_credentials(content).access_tokens
            except msgspec.DecodeError as error:
                # The decoder's words name a path and a type, never a value.
                self.problems[path.name] = str(error)
        before = self._by_number
        kept = {} if not self.problems else before
        self._by_number = kept | {number: self._tenant(entry, tokens.get(number)) for number, entry in settings.items()}
        self.loaded = digest_of(self._key, self._files.values())
        for name, problem in self.problems.items():
            _log.warning("configuration_problem", where=name, problem=problem)
        return [tenant for number, tenant in self._by_number.items() if before.get(number) != tenant]

    def _read_changes(self) -> bool:
        paths = [*self._tenants_dir.glob("*.json"), *self._credentials_dir.glob("*.json")]
        changed = set(self._stamps) != set(paths)
        for gone in set(self._stamps) - set(paths):
            del self._stamps[gone], self._files[gone]
        for path in paths:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if self._stamps.get(path) != stamp:
                self._files[path] = path.read_bytes()
                self._stamps[path] = stamp
                changed = True
        return changed

    def _tenant(self, settings: TenantSettings, token: str | None) -> Tenant:
        before = self._by_number.get(settings.phone_number_id)
        if before is not None and before.settings == settings and before.bot is not None:
            return Tenant(settings=settings, bot=before.bot, access_token=token)
        try:
            bot: Bot | None = self._bot(settings)
        except ComandaError as error:
            self.problems[settings.tenant] = error.message
            bot = before.bot if before is not None else None
        return Tenant(settings=settings, bot=bot, access_token=token)

    def _bot(self, settings: TenantSettings) -> Bot:
        flow_document = settings.flow if settings.flow is not None else self._standard
        menu_json = _canonical([settings.restaurant, settings.currency, settings.timezone, settings.locale])
        flow_json = _canonical(flow_document)
        restaurant = load_restaurant(
            {"name": settings.display_name} | settings.restaurant,
            currency=settings.currency,
            timezone=settings.timezone,
            locale=settings.locale,
        )
        return Bot(
            flow=load_flow(flow_document),
            flow_version=_version(flow_json),
            flow_document=flow_json.decode(),
            restaurant=restaurant,
            menu_version=_version(menu_json),
            menu_document=menu_json.decode(),
        )


def digest_of(key: bytes, contents: Iterable[bytes]) -> str:
    """Return a keyed digest of mounted files, whatever their order: it can be shown without giving anything away."""
    parts = sorted(hashlib.sha256(content).digest() for content in contents)
    return hmac.digest(key, b"".join(parts), "sha256").hex()[:32]


def _standard_flow() -> Mapping[str, Any]:
    package, name = STANDARD_FLOW_RESOURCE
    document: Mapping[str, Any] = yaml.safe_load(resources.files(package).joinpath(name).read_text(encoding="utf-8"))
    return document


def _version(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()[:16]
