"""The simulator's configuration: which apps and numbers exist, where webhooks go, and how strict Meta is.

One JSON file, read at start and again whenever it changes. A file that breaks a rule while the simulator runs is
reported and the last good one stays in force.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from comanda_contract.cloud import limits
from comanda_contract.names import DEFAULT_APP
from comanda_simulator.errors import ConfigError

_log = structlog.get_logger(__name__)


class AppConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Meta app: what signs its webhooks and what answers its challenge. `app_id` is derived when left empty."""

    app_secret: str
    verify_token: str = ""
    app_id: str = ""


class Product(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One product of a number's catalogue. `price` is in `currency`, `image` a URL."""

    sku: str
    name: str
    description: str = ""
    price: float = 0.0
    currency: str = "USD"
    image: str | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a restaurant is, in degrees; the chat page offers customers' places around it."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a number and its token stand with Meta, in Meta's words; the defaults are those of one that is well."""

    status: str = "CONNECTED"
    quality_rating: str = "GREEN"
    messaging_limit: str = "TIER_2K"
    can_send_message: Literal["AVAILABLE", "LIMITED", "BLOCKED"] = "AVAILABLE"
    """What is said of the number's health; that sends are refused is a fault of its own."""
    token_expires_at: int = 0
    """In unix seconds; the token is refused from then on. 0: never."""
    token_scopes: tuple[str, ...] = ("whatsapp_business_management", "whatsapp_business_messaging")


class NumberConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One business phone number and the token that may speak for it."""

    phone_number_id: str
    waba_id: str
    display_phone_number: str
    """Digits, as Meta's webhooks have it; a plus in front of them is taken off."""
    access_token: str
    display_name: str = ""
    app: str = DEFAULT_APP
    locale: str = "es"
    catalog: tuple[Product, ...] = ()
    location: Place | None = None
    messages_per_second: int = limits.MESSAGES_PER_SECOND
    """Throughput, inbound and outbound together; Meta raises it to 1,000 for large senders."""
    standing: Standing = Standing()

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "display_phone_number", self.display_phone_number.lstrip("+"))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Meta behaves; the defaults are Meta's rules with its waiting times compressed."""

    enforce_window: bool = True
    """Refuse free-form messages more than 24 h after the customer's last one (131047)."""
    enforce_limits: bool = True
    """Refuse what exceeds a number's throughput (130429)."""
    enforce_pair_limit: bool = True
    """Refuse what exceeds one message per 6 s to the same customer, burst 45 (131056)."""
    user_ids: bool = True
    """Give customers who write from a phone number a business-scoped user id as well, as Meta does since 2026."""
    escape_unicode: bool = False
    """Write webhook bodies in ASCII with escapes; Meta does not say which form it uses, so routers must take both."""
    statuses: bool = True
    """Send `sent`, `delivered` and `read` webhooks at all."""
    delivered_after_seconds: float = 0.1
    """From `sent` to `delivered`."""
    batch_statuses: bool = True
    """Put statuses of one number that fall due together into one webhook."""
    read_receipts: Literal["chat_open", "always", "never"] = "chat_open"
    """When customers read: with the chat page open on the conversation, at once after delivery, or never."""
    pricing_status: Literal["sent", "delivered"] = "sent"
    """Which status carries the `pricing` object; Meta uses either, once a message."""
    free_service_messages: int = 1000
    """Service messages per number and month that cost nothing (October 2026 rules)."""
    webhook_concurrency: int = 64
    """Webhook POSTs in flight at once."""
    webhook_timeout_seconds: float = 10.0
    """How long a POST may take before it counts as failed."""
    retry_first_seconds: float = 0.0
    """Wait before the first retry; Meta repeats at once."""
    retry_base_seconds: float = 0.5
    """Wait before the second retry; doubles from there."""
    retry_max_seconds: float = 10.0
    """Longest wait between two retries."""
    retry_window_seconds: float = 3600.0
    """How long a webhook is retried before it is dropped; stands for Meta's 7 days."""
    media_seconds: float = 300.0
    """Life of a media URL."""
    ledger_size: int = 200_000
    """Entries that the ledger keeps; the oldest go first. Takes effect at start."""
    seed: int = 0
    """Seed of everything drawn at random for faults. Takes effect at start; faults may bring another."""


class SimulatorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    webhook_url: str = "http://127.0.0.1:8080/webhook"
    apps: dict[str, AppConfig] = {}
    numbers: tuple[NumberConfig, ...] = ()
    settings: Settings = Settings()

    def webhook_url_of(self, app: str) -> str:
        """Return where an app's webhooks go: `webhook_url` for the default app, `webhook_url/NAME` for another."""
        return self.webhook_url if app == DEFAULT_APP else f"{self.webhook_url.rstrip('/')}/{app}"

    def app_id_of(self, app: str) -> str:
        """Return an app's id: the configured one, or 15 digits derived from its name."""
        return self.apps[app].app_id or str(10**14 + int(hashlib.sha256(app.encode()).hexdigest()[:11], 16))


def check_config(config: SimulatorConfig) -> SimulatorConfig:
    """Return the config unchanged. Raises `ConfigError` for a number without app or an id used twice."""
    if not config.webhook_url.startswith(("http://", "https://")):
        raise ConfigError("webhook_url", "must begin with http:// or https://")
    seen: set[str] = set()
    for index, number in enumerate(config.numbers):
        if number.app not in config.apps:
            raise ConfigError(f"numbers[{index}].app", f"names no app: {number.app!r}", hint="Add it under apps.")
        if number.phone_number_id in seen:
            raise ConfigError(f"numbers[{index}].phone_number_id", "is used twice", hint="Give each number its own id.")
        seen.add(number.phone_number_id)
    return config


def read_config(path: Path) -> SimulatorConfig:
    """Read and check a configuration file. Raises `ConfigError` that names the file or field."""
    try:
        return check_config(msgspec.json.decode(path.read_bytes(), type=SimulatorConfig, strict=False))
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(str(path), str(error)) from error


class ConfigFile:
    """A configuration file that is watched: `changed()` returns the new content once after each change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._read_stamp()
        self.current = read_config(path)

    def changed(self) -> SimulatorConfig | None:
        """Return the new configuration, or None when the file is as before or not usable."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            self.current = read_config(self._path)
        except ConfigError as error:
            _log.warning("config_refused", reason=str(error))
            return None
        return self.current

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
