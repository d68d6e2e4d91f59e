"""What the pods know of their tenants, kept in versions: flows, menus, and who published them when."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Table, bindparam, insert, select

from comanda_store import sql
from comanda_store.records import PublishedTenant

_known = select(
    sql.TENANTS.c.phone_number_id,
    sql.TENANTS.c.waba_id,
    sql.TENANTS.c.display_name,
    sql.TENANTS.c.plan,
    sql.TENANTS.c.flow_version,
    sql.TENANTS.c.menu_version,
).where(sql.TENANTS.c.tenant == bindparam("known_tenant"))


def publish_all(connection: Connection, tenants: Sequence[PublishedTenant], actor: str) -> int:
    """Record tenants with their current flows and menus; returns how many had a new version of either."""
    new = 0
    for tenant in tenants:
        sql.enter(connection, tenant.tenant)
        if not _is_current(connection, tenant):
            new += publish(connection, tenant, actor)
    return new


def _is_current(connection: Connection, tenant: PublishedTenant) -> bool:
    known = connection.execute(_known, {"known_tenant": tenant.tenant}).one_or_none()
    return known == (
        tenant.phone_number_id,
        tenant.waba_id,
        tenant.display_name,
        tenant.plan,
        tenant.flow_version,
        tenant.menu_version,
    )


def publish(connection: Connection, tenant: PublishedTenant, actor: str) -> bool:
    """Record a tenant with its current flow and menu; True, with an audit entry, when a version is new."""
    now = sql.now_ms(connection)
    flow = {"tenant": tenant.tenant, "version": tenant.flow_version, "document": tenant.flow, "created_at": now}
    menu = {"tenant": tenant.tenant, "version": tenant.menu_version, "document": tenant.menu, "created_at": now}
    new_flow = _is_new(connection, sql.FLOW_VERSIONS, flow)
    new_menu = _is_new(connection, sql.MENU_VERSIONS, menu)
    row = {
        "tenant": tenant.tenant,
        "phone_number_id": tenant.phone_number_id,
        "waba_id": tenant.waba_id,
        "display_name": tenant.display_name,
        "plan": tenant.plan,
        "flow_version": tenant.flow_version,
        "menu_version": tenant.menu_version,
        "updated_at": now,
    }
    upsert = sql.insert(connection, sql.TENANTS).values(row)
    connection.execute(upsert.on_conflict_do_update(index_elements=["tenant"], set_=row))
    for new, action, version in (
        (new_flow, "flow.published", tenant.flow_version),
        (new_menu, "menu.published", tenant.menu_version),
    ):
        if new:
            entry = {"tenant": tenant.tenant, "at": now, "actor": actor, "action": action, "detail": version}
            connection.execute(insert(sql.AUDIT), entry)
    return new_flow or new_menu


def flow_document(connection: Connection, tenant: str, version: str) -> str | None:
    """Return the flow document of a version, as JSON text; None when it was never published here."""
    table = sql.FLOW_VERSIONS.c
    query = select(table.document).where(table.tenant == tenant, table.version == version)
    return connection.execute(query).scalar_one_or_none()


def _is_new(connection: Connection, table: Table, row: dict[str, object]) -> bool:
    return connection.execute(sql.insert(connection, table).on_conflict_do_nothing(), row).rowcount == 1
