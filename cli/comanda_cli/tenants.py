"""`comanda tenant list`: the tenants of a folder, what would serve them, and why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comanda_cli.folder import Folder
from comanda_contract.resources import WhatsAppTenant
from comanda_operator.plan import plan, webhook_path

COLUMNS = (
    ("tenant", "TENANT"),
    ("plan", "PLAN"),
    ("phone_number_id", "PHONE"),
    ("group", "GROUP"),
    ("reason", "REASON…"),
)


def tenant_rows(folder: Path) -> list[dict[str, Any]]:
    """Return one row a tenant. Raises `InvalidInputError` when the folder cannot be read."""
    contents = Folder(folder).read()
    verdicts = {
        verdict.key: verdict for verdict in plan(contents.observed()).verdicts if verdict.kind == "WhatsAppTenant"
    }
    rows = []
    for tenant in sorted(contents.of(WhatsAppTenant), key=lambda tenant: str(tenant.metadata.key)):
        verdict = verdicts[tenant.metadata.key]
        refused = verdict.refused
        rows.append(
            {
                "tenant": tenant.metadata.key,
                "display_name": tenant.spec.display_name,
                "plan": tenant.spec.plan,
                "phone_number_id": tenant.spec.phone_number_id,
                "group": verdict.group,
                "webhook_path": webhook_path(tenant.spec.app_ref),
                "scheduled": refused is None,
                "reason": f"{refused.reason}: {refused.message}" if refused is not None else "",
            }
        )
    return rows
