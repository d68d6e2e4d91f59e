"""What there is: the resources as read, and what is known of the Secrets and ConfigMaps that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comanda_contract.resources import BotPool, WhatsAppApp, WhatsAppTenant


@dataclass(frozen=True)
class Observed:
    """Everything that a plan depends on. Keys are `namespace/name`.

    Of a Secret only the names of its keys are known here: no value can leak through a plan. Documents of ConfigMaps
    are parsed already (`{"restaurant.yaml": {...}, "flow.yaml": {...}}`).
    """

    tenants: tuple[WhatsAppTenant, ...] = ()
    pools: tuple[BotPool, ...] = ()
    apps: tuple[WhatsAppApp, ...] = ()
    secret_keys: Mapping[str, frozenset[str]] = field(default_factory=dict)
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
