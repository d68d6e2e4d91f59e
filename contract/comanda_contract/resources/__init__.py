"""The custom resources as models: one description of each field, from which CRDs, validation and reference are made.

rules.py       what bounds alone cannot say, for API server, models and people
forms.py       forms that strings may have
meta.py        what all resources share
status.py      what every status holds
quantities.py  CPU and memory
scheduling.py  where pods may run
handler.py     which bot answers for an enterprise tenant
tenant.py      WhatsAppTenant
pool.py        BotPool
app.py         WhatsAppApp
crd.py         CRDs from all of these
native.py      Kubernetes' own kinds that local mode reads from files
"""

from comanda_contract.resources.app import WhatsAppApp, WhatsAppAppSpec, WhatsAppAppStatus
from comanda_contract.resources.handler import Bridge, Handler
from comanda_contract.resources.meta import Metadata
from comanda_contract.resources.native import ConfigMap, Secret
from comanda_contract.resources.pool import Autoscaling, BotPool, BotPoolSpec, BotPoolStatus
from comanda_contract.resources.quantities import Resources
from comanda_contract.resources.scheduling import Scheduling
from comanda_contract.resources.status import Condition
from comanda_contract.resources.tenant import (
    Enterprise,
    Limits,
    Quality,
    WhatsAppTenant,
    WhatsAppTenantSpec,
    WhatsAppTenantStatus,
)

CUSTOM_RESOURCES: tuple[type[WhatsAppTenant] | type[BotPool] | type[WhatsAppApp], ...] = (
    WhatsAppTenant,
    BotPool,
    WhatsAppApp,
)
"""Every kind that has a CRD."""

__all__ = [
    "CUSTOM_RESOURCES",
    "Autoscaling",
    "BotPool",
    "BotPoolSpec",
    "BotPoolStatus",
    "Bridge",
    "Condition",
    "ConfigMap",
    "Enterprise",
    "Handler",
    "Limits",
    "Metadata",
    "Quality",
    "Resources",
    "Scheduling",
    "Secret",
    "WhatsAppApp",
    "WhatsAppAppSpec",
    "WhatsAppAppStatus",
    "WhatsAppTenant",
    "WhatsAppTenantSpec",
    "WhatsAppTenantStatus",
]
