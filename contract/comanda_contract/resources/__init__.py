"""The custom resources as models: one description of each field, from which CRDs, validation and reference are made."""

from comanda_contract.resources.app import WhatsAppApp, WhatsAppAppSpec
from comanda_contract.resources.meta import Condition, Metadata
from comanda_contract.resources.native import ConfigMap, Secret
from comanda_contract.resources.pool import BotPool, BotPoolSpec
from comanda_contract.resources.tenant import Handler, WhatsAppTenant, WhatsAppTenantSpec

CUSTOM_RESOURCES: tuple[type[WhatsAppTenant] | type[BotPool] | type[WhatsAppApp], ...] = (
    WhatsAppTenant,
    BotPool,
    WhatsAppApp,
)
"""Every kind that has a CRD."""

__all__ = [
    "CUSTOM_RESOURCES",
    "BotPool",
    "BotPoolSpec",
    "Condition",
    "ConfigMap",
    "Handler",
    "Metadata",
    "Secret",
    "WhatsAppApp",
    "WhatsAppAppSpec",
    "WhatsAppTenant",
    "WhatsAppTenantSpec",
]
