"""The tenants of this pod, from mounted files that may change at any moment.

Files are looked at every half second; what changed is read anew. A file that cannot be read, or a tenant whose flow or
menu is wrong, keeps its last good version and is named in `problems`; the others are not touched.

Thousands of tenants are idle at any time, so of each only its settings and its menu's text are kept. Flows and menus
are checked when they are read, and built again, into a bounded cache, when a customer writes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import structlog
import yaml

from comanda_contract.errors import ComandaError
from comanda_contract.tenancy import (
    Departure,
    TenantSettings,
    TenantShard,
    decode_credentials,
    decode_tenants,
    shard_digest,
)
from comanda_flow import STANDARD_FLOW_RESOURCE, Flow, Restaurant, load_flow, load_restaurant
from comanda_store import TenantScope

_log = structlog.get_logger()
_canonical = msgspec.json.Encoder(order="sorted").encode

BUILT_RESTAURANTS = 2_048
"""Restaurants whose menus are held ready; about 60 kB each."""


@dataclass(frozen=True, slots=True)
class Documents:
    """A tenant's flow and menu as JSON text, checked, with their versions: digests of the text."""

    flow_version: str
    flow: str
    menu_version: str
    menu: str


@dataclass(frozen=True, slots=True)
class Bot:
    """The flow and the restaurant of a tenant, indexed, with their versions."""

    flow: Flow
    flow_version: str
    restaurant: Restaurant
    menu_version: str
    menu_document: str
    """JSON text of [restaurant, currency, time zone, locale]: what `restaurant` was built from."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant ready to be served. Data is touched only with one of these in hand.

    `settings` are without flow and menu; those are in `documents`, which is None while they cannot be used: what
    customers write is stored then, and waits.
    """

    settings: TenantSettings
    documents: Documents | None
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

    @property
    def bot(self) -> Bot | None:
        """Its flow and restaurant, built when needed; None while they cannot be used."""
        documents = self.documents
        if documents is None:
            return None
        restaurant = _built_restaurant(documents.menu)
        return Bot(
            flow=_built_flow(documents.flow),
            flow_version=documents.flow_version,
            restaurant=restaurant,
            menu_version=documents.menu_version,
            menu_document=documents.menu,
        )


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _File(Generic[T]):
    """A mounted file as it was last read: its stamp, the digest of its content, and what it holds, by number."""

    stamp: tuple[int, int, int]
    digest: bytes
    content: Mapping[str, T]
    erase: frozenset[TenantScope] = frozenset()
    """Tenants whose data are to be erased."""
    leaving: frozenset[Departure] = frozenset()
    """Tenants that move to another group."""


_UNREAD = (0, 0, 0)


class Tenants:
    """The registry. `refresh` reads what changed; lookups are by phone number id."""

    def __init__(self, tenants_dir: Path, credentials_dir: Path, key: bytes) -> None:
        self._tenants_dir = tenants_dir
        self._credentials_dir = credentials_dir
        self._key = key
        self._standard = _canonical(_standard_flow()).decode()
        self._settings: dict[Path, _File[Tenant]] = {}
        self._tokens: dict[Path, _File[str]] = {}
        self._by_number: dict[str, Tenant] = {}
        self._file_problems: dict[str, str] = {}
        self._tenant_problems: dict[str, str] = {}
        self._erased: set[TenantScope] = set()
        self._let_go: set[Departure] = set()
        self._departing: dict[str, Tenant] = {}
        self._leaving: frozenset[str] = frozenset()
        self.loaded = ""
        """Keyed digest of everything read: equal to `digest_of` of the folders when this pod is up to date."""

    @property
    def problems(self) -> dict[str, str]:
        """What cannot be used, by file or tenant; its last good version is in force."""
        return self._file_problems | self._tenant_problems

    @property
    def shards(self) -> dict[str, str]:
        """The keyed digest of each shard of which both files are loaded, by the files' common name.

        One that names tenants to be erased, or that leave, counts as loaded when that is done.
        """
        done = {path: file for path, file in self._settings.items() if not self._left_of(file)}
        settings = {path.stem: file.digest for path, file in done.items() if file.leaving <= self._let_go}
        tokens = {path.stem: file.digest for path, file in self._tokens.items()}
        return {name: shard_digest(self._key, settings[name], tokens[name]) for name in settings.keys() & tokens.keys()}

    @property
    def to_erase(self) -> frozenset[TenantScope]:
        """The tenants whose data are still to be erased; none that is served."""
        return frozenset[TenantScope]().union(*(self._left_of(file) for file in self._settings.values()))

    def erased(self, scope: TenantScope) -> None:
        """Note that nothing is left of a tenant."""
        self._erased.add(scope)

    @property
    def departures(self) -> frozenset[Departure]:
        """The tenants that leave; none of them is served."""
        return frozenset[Departure]().union(*(file.leaving for file in self._settings.values()))

    def is_leaving(self, phone_number_id: str) -> bool:
        """Tell whether a number's tenant leaves, or has left."""
        return phone_number_id in self._leaving

    @property
    def to_let_go(self) -> frozenset[Departure]:
        """Those of them for which something may be under way."""
        return self.departures - self._let_go

    def let_go(self, departure: Departure) -> None:
        """Note that nothing is under way for a tenant that leaves, nor will be."""
        self._let_go.add(departure)
        self._departing.pop(departure.phone_number_id, None)

    def departing(self, phone_number_id: str) -> Tenant | None:
        """Return a tenant that leaves as it was served, for what had begun; None once it is let go."""
        return self._departing.get(phone_number_id)

    def _left_of(self, file: _File[Any]) -> frozenset[TenantScope]:
        served = {tenant.name for tenant in self._by_number.values()} if file.erase else set()
        return frozenset(scope for scope in file.erase - self._erased if scope.tenant not in served)

    def get(self, phone_number_id: str) -> Tenant | None:
        """Return the tenant of a number, or None."""
        return self._by_number.get(phone_number_id)

    def all(self) -> Iterable[Tenant]:
        """Return every tenant."""
        return self._by_number.values()

    def refresh(self) -> list[Tenant]:
        """Read what changed; returns the tenants that are new or different. Bad files keep their last good content."""
        settings_changed = self._read_changes(self._tenants_dir, self._settings, self._tenants_of)
        tokens_changed = self._read_changes(self._credentials_dir, self._tokens, _tokens_of)
        if not settings_changed and not tokens_changed:
            return []
        tokens = {number: token for file in self._tokens.values() for number, token in file.content.items()}
        before = self._by_number
        departures = self.departures
        leaving = self._leaving = frozenset(each.phone_number_id for each in departures)
        self._by_number = {
            number: _with_token(tenant, tokens.get(number), before.get(number))
            for file in self._settings.values()
            for number, tenant in file.content.items()
            if number not in leaving
        }
        self._let_go &= departures
        self._departing = {
            number: tenant for number, tenant in {**self._departing, **before}.items() if number in leaving
        }
        digests = [file.digest for file in self._settings.values()] + [file.digest for file in self._tokens.values()]
        self.loaded = _keyed(self._key, digests)
        self._tenant_problems = {
            name: problem
            for name, problem in self._tenant_problems.items()
            if name in {tenant.name for tenant in self._by_number.values()}
        }
        for where, problem in self.problems.items():
            _log.warning("configuration_problem", where=where, problem=problem)
        # One that comes back, and goes again, is erased again.
        self._erased &= frozenset[TenantScope]().union(*(file.erase for file in self._settings.values()))
        return [tenant for number, tenant in self._by_number.items() if before.get(number) is not tenant]

    def _read_changes(self, folder: Path, files: dict[Path, _File[T]], read: Callable[[bytes], _File[T]]) -> bool:
        """Read the files of a folder that changed into `files`; True when any did."""
        paths = sorted(folder.glob("*.json"))
        changed = False
        for gone in files.keys() - set(paths):
            del files[gone]
            self._file_problems.pop(gone.name, None)
            changed = True
        for path in paths:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            known = files.get(path)
            if known is not None and known.stamp == stamp:
                continue
            changed = True
            raw = path.read_bytes()
            digest = hashlib.sha256(raw).digest()
            try:
                files[path] = replace(read(raw), stamp=stamp, digest=digest)
                self._file_problems.pop(path.name, None)
            except msgspec.DecodeError as error:
                # The decoder's words name a path and a type, never a value. What was good before stays in force.
                self._file_problems[path.name] = str(error)
                files[path] = _File(stamp, digest, known.content if known is not None else {})
        return changed

    def _tenants_of(self, content: bytes) -> _File[Tenant]:
        shard: TenantShard = decode_tenants(content)
        erase = frozenset(TenantScope(each.tenant, each.phone_number_id) for each in shard.erase)
        tenants = {settings.phone_number_id: self._tenant(settings) for settings in shard.tenants}
        return _File(_UNREAD, b"", tenants, erase, frozenset(shard.leaving))

    def _tenant(self, settings: TenantSettings) -> Tenant:
        """Return a tenant without its token. One whose flow or menu is wrong keeps its last good ones."""
        try:
            documents: Documents | None = self._documents(settings)
            self._tenant_problems.pop(settings.tenant, None)
        except ComandaError as error:
            self._tenant_problems[settings.tenant] = error.message
            before = self._by_number.get(settings.phone_number_id)
            documents = before.documents if before is not None else None
        return Tenant(msgspec.structs.replace(settings, flow=None, restaurant={}), documents, None)

    def _documents(self, settings: TenantSettings) -> Documents:
        """Check a tenant's flow and menu and return them. Raises `ComandaError`."""
        flow = _canonical(settings.flow).decode() if settings.flow is not None else self._standard
        restaurant = {"name": settings.display_name} | settings.restaurant
        menu = _canonical([restaurant, settings.currency, settings.timezone, settings.locale]).decode()
        _built_flow(flow)
        _build_restaurant(menu)
        return Documents(_version(flow), flow, _version(menu), menu)


def digest_of(key: bytes, contents: Iterable[bytes]) -> str:
    """Return a keyed digest of mounted files, whatever their order: it can be shown without giving anything away."""
    return _keyed(key, [hashlib.sha256(content).digest() for content in contents])


def _keyed(key: bytes, digests: Iterable[bytes]) -> str:
    return hmac.digest(key, b"".join(sorted(digests)), "sha256").hex()[:32]


def _with_token(tenant: Tenant, token: str | None, before: Tenant | None) -> Tenant:
    """Return the tenant with its token: the very same as before when nothing about it has changed."""
    now = replace(tenant, access_token=token)
    return before if before == now else now


def _tokens_of(content: bytes) -> _File[str]:
    return _File(_UNREAD, b"", decode_credentials(content).access_tokens)


def _standard_flow() -> Mapping[str, Any]:
    package, name = STANDARD_FLOW_RESOURCE
    document: Mapping[str, Any] = yaml.safe_load(resources.files(package).joinpath(name).read_text(encoding="utf-8"))
    return document


def _version(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()[:16]


@lru_cache(maxsize=256)
def _built_flow(document: str) -> Flow:
    return load_flow(msgspec.json.decode(document))


def _build_restaurant(menu: str) -> Restaurant:
    restaurant, currency, timezone, locale = msgspec.json.decode(menu)
    return load_restaurant(restaurant, currency=currency, timezone=timezone, locale=locale)


_built_restaurant = lru_cache(maxsize=BUILT_RESTAURANTS)(_build_restaurant)
