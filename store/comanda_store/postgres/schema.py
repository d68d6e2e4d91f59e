"""Who may see what, and the functions: the part of the schema that only PostgreSQL has.

The owner of the tables migrates; the service's role, another one, runs the pods. Row-level security is enabled and
forced on every table of tenants' data: the service sees the rows of the tenant that its transaction has named, the
owner as well, and beyond that only inside the few functions that carry a duty (`ingest`, `sweep`, `purge`), which give
back ids and never content.
"""

from __future__ import annotations

from importlib import resources

from sqlalchemy import Connection

from comanda_store.moves import import_function

TENANT_TABLES = (
    "account_events",
    "audit",
    "conversations",
    "costs",
    "customer_aliases",
    "customers",
    "flow_versions",
    "inbox",
    "menu_versions",
    "numbers",
    "order_lines",
    "orders",
    "outbox",
    "statuses",
    "tenants",
    "timers",
)
"""Every table with rows of tenants. The others, `workers` and `alembic_version`, hold nothing of them."""

_SELECTED = ("account_events", "costs", "customers", "customer_aliases", "inbox", "statuses")
"""What the service reads and, rights below aside, writes through functions alone."""

_RIGHTS = {
    "audit": "SELECT, INSERT",
    "conversations": "SELECT, UPDATE",
    "flow_versions": "SELECT, INSERT",
    "menu_versions": "SELECT, INSERT",
    "numbers": "SELECT, INSERT, UPDATE",
    "order_lines": "SELECT, INSERT",
    "orders": "SELECT, INSERT, UPDATE",
    "outbox": "SELECT, INSERT, UPDATE",
    "tenants": "SELECT, INSERT, UPDATE",
    "timers": "SELECT, INSERT",
    "workers": "SELECT, INSERT, UPDATE, DELETE",
    "alembic_version": "SELECT",
    **dict.fromkeys(_SELECTED, "SELECT"),
}
_COLUMN_RIGHTS = {
    "customers": "UPDATE (unreachable_code, sends_to)",
    "inbox": "UPDATE (state, attempts, owner, done_at, problem)",
}
_FUNCTION_FILES = ("ingest", "turns", "sends", "duties")


def isolate(connection: Connection) -> None:
    """Enable and force row-level security on every table of tenants' data."""
    for table in TENANT_TABLES:
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        connection.exec_driver_sql(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        # An expression, so that no index on the tenant is taken for a row that is asked for by its key.
        named = "tenant || '' = current_setting('comanda.tenant', true)"
        connection.exec_driver_sql(f"CREATE POLICY tenant_named ON {table} USING ({named}) WITH CHECK ({named})")
        on_duty = "current_setting('comanda.duty', true) IN ('ingest', 'sweep', 'purge')"
        connection.exec_driver_sql(
            f"CREATE POLICY owner_on_duty ON {table} TO CURRENT_USER USING ({on_duty}) WITH CHECK ({on_duty})"
        )


def open_up(connection: Connection) -> None:
    """Take row-level security away again."""
    for table in TENANT_TABLES:
        connection.exec_driver_sql(f"DROP POLICY owner_on_duty ON {table}")
        connection.exec_driver_sql(f"DROP POLICY tenant_named ON {table}")
        connection.exec_driver_sql(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


def function_files() -> list[str]:
    """Return the functions of this version as SQL scripts, in the order in which they must be run."""
    folder = resources.files("comanda_store.postgres").joinpath("functions")
    files = [folder.joinpath(f"{name}.sql").read_text(encoding="utf-8") for name in _FUNCTION_FILES]
    return [*files, import_function()]


def grants(service_role: str) -> list[str]:
    """Return the statements that give the service's role what it needs and nothing else; `service_role` is quoted."""
    statements = [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {service_role}",
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA public TO {service_role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {service_role}",
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {service_role}",
    ]
    statements += [f"GRANT {rights} ON {table} TO {service_role}" for table, rights in _RIGHTS.items()]
    statements += [f"GRANT {rights} ON {table} TO {service_role}" for table, rights in _COLUMN_RIGHTS.items()]
    return statements
