"""A tenant's rows on their way to another database: read in pages, written so that a repetition changes nothing.

Ids differ between databases, so rows name each other by what both know: a customer by one of their aliases, a message
by its wamid. What is settled goes first, page by page, and may be copied again. What is still to be done goes at once,
in the end: where it was it is marked as moved, so that no pod that slept through the move does it as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from comanda_contract.moves import PARTS, REST, Cursor, Page, Row
from comanda_store import sql
from comanda_store.records import TenantScope

PAGE_ROWS = 500
LEAVING, ARRIVED = "tenant.leaving", "tenant.arrived"
"""Entries of the audit log; their detail is the name of the move."""
MOVED = "moved"
"""State of what is done elsewhere, and owner of what has come and no pod has taken yet."""

_START: Mapping[str, Cursor] = dict.fromkeys(("customers", "orders", "order_lines"), (-1, -1))
_FIRST: Cursor = ("", "")
_START_OUTBOX: Cursor = ("", -1)
_OF_NUMBER = "tenant = :tenant AND phone_number_id = :number"


@dataclass(frozen=True)
class _Table:
    """How rows of a part are written: columns with their PostgreSQL types, and those that name another row."""

    table: str
    columns: Mapping[str, str]
    references: Mapping[str, str]
    """Column → expression over the row `r`."""
    has_number: bool = True


_TEXT, _BIG, _INT, _FLOAT = "text", "bigint", "int", "float8"
_CUSTOMER_KEYS = {"customer_kind": _TEXT, "customer_value": _TEXT}
_CUSTOMER = (
    "(SELECT a.customer_id FROM customer_aliases a WHERE a.tenant = {tenant} AND a.kind = r.customer_kind"
    " AND a.value = r.customer_value)"
)
_MESSAGE = "(SELECT m.id FROM inbox m WHERE m.phone_number_id = {number} AND m.wamid = r.message)"
_ORDER = f"(SELECT p.id FROM orders p WHERE p.inbox_id = {_MESSAGE})"
_TABLES: Mapping[str, _Table] = {
    "flow_versions": _Table(
        "flow_versions", {"version": _TEXT, "document": _TEXT, "created_at": _BIG}, {}, has_number=False
    ),
    "menu_versions": _Table(
        "menu_versions", {"version": _TEXT, "document": _TEXT, "created_at": _BIG}, {}, has_number=False
    ),
    "inbox": _Table(
        "inbox",
        {
            **dict.fromkeys(("wamid", "type", "payload", "contact"), _TEXT),
            **dict.fromkeys(("sent_at", "received_at"), _BIG),
            "state": _TEXT,
            "owner": _TEXT,
            "attempts": _INT,
            "done_at": _BIG,
            "problem": _TEXT,
        },
        {"customer_id": _CUSTOMER},
    ),
    "outbox": _Table(
        "outbox",
        {
            "position": _INT,
            **dict.fromkeys(("payload", "state", "owner"), _TEXT),
            **dict.fromkeys(("attempts", "ambiguous"), _INT),
            "due_at": _BIG,
            "wamid": _TEXT,
            "error_code": _INT,
            **dict.fromkeys(("created_at", "updated_at"), _BIG),
        },
        {"customer_id": _CUSTOMER, "inbox_id": _MESSAGE},
    ),
    "orders": _Table(
        "orders",
        {
            **dict.fromkeys(("code", "customer_name", "fulfilment", "address"), _TEXT),
            **dict.fromkeys(("latitude", "longitude"), _FLOAT),
            **dict.fromkeys(("notes", "currency"), _TEXT),
            **dict.fromkeys(("subtotal", "delivery_fee", "total"), _BIG),
            **dict.fromkeys(("menu_version", "payment", "status"), _TEXT),
            "created_at": _BIG,
        },
        {"customer_id": _CUSTOMER, "inbox_id": _MESSAGE},
        has_number=False,
    ),
    "order_lines": _Table(
        "order_lines",
        {
            "position": _INT,
            **dict.fromkeys(("sku", "name", "options", "notes"), _TEXT),
            "quantity": _INT,
            **dict.fromkeys(("unit_price", "total"), _BIG),
        },
        {"order_id": _ORDER},
        has_number=False,
    ),
    "statuses": _Table("statuses", {"wamid": _TEXT, "status": _TEXT, "payload": _TEXT, "received_at": _BIG}, {}),
    "costs": _Table(
        "costs",
        {
            **dict.fromkeys(("wamid", "category", "type", "pricing_model"), _TEXT),
            "at": _BIG,
            "market": _TEXT,
            "price_micros": _BIG,
            **dict.fromkeys(("currency", "reason"), _TEXT),
        },
        {},
    ),
    "account_events": _Table(
        "account_events", {"key": _TEXT, "field": _TEXT, "payload": _TEXT, "received_at": _BIG}, {}
    ),
    "numbers": _Table("numbers", {"free_at_us": _BIG}, {}),
    "timers": _Table("timers", {"due_at": _BIG, "payload": _TEXT}, {"customer_id": _CUSTOMER}),
    "audit": _Table("audit", {"at": _BIG, "actor": _TEXT, "action": _TEXT, "detail": _TEXT}, {}, has_number=False),
}


# Reading


def _alias_of(customer: str) -> str:
    """Return the two columns that name a customer; one that was merged into another is that other one."""
    # No coalesce: PostgreSQL takes it for something that could show rows to others, and then uses no index.
    one = f"CASE WHEN {customer}.merged_into = 0 THEN {customer}.id ELSE {customer}.merged_into END"
    found = f"(SELECT a.%s FROM customer_aliases a WHERE a.customer_id = {one} ORDER BY a.kind, a.value LIMIT 1)"
    return f"{found % 'kind'} AS customer_kind, {found % 'value'} AS customer_value"


def _columns(part: str, alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in _TABLES[part].columns if name != "owner")


_IN_PAGES = " LIMIT :limit"
_QUERIES: Mapping[str, str] = {
    **{
        name: f"SELECT t.version AS k1, '' AS k2, {_columns(name, 't')} FROM {name} t"
        " WHERE t.tenant = :tenant AND t.version > :k1 ORDER BY t.version"
        for name in ("flow_versions", "menu_versions")
    },
    # An expression of the id: the rows of this tenant are few, those of the whole table may be millions.
    "customers": "SELECT k.id AS k1, 0 AS k2, k.name, k.created_at, k.unreachable_code, k.sends_to, c.state,"
    " c.flow_version, c.version, c.handover_until, c.last_inbound_at, c.pair_free_at"
    " FROM customers k JOIN conversations c ON c.customer_id = k.id"
    " WHERE k.tenant = :tenant AND k.merged_into = 0 AND k.id + 0 > :k1 ORDER BY k.id + 0",
    "inbox": f"SELECT i.wamid AS k1, '' AS k2, {_columns('inbox', 'i')}, {_alias_of('k')}"
    " FROM inbox i JOIN customers k ON k.id = i.customer_id WHERE i.phone_number_id = :number AND i.tenant = :tenant"
    " AND i.wamid > :k1 AND i.state NOT IN ('pending', 'moved') ORDER BY i.wamid",
    "outbox": f"SELECT i.wamid AS k1, o.position AS k2, i.wamid AS message, {_columns('outbox', 'o')}, {_alias_of('k')}"
    " FROM inbox i JOIN outbox o ON o.inbox_id = i.id JOIN customers k ON k.id = o.customer_id"
    " WHERE i.phone_number_id = :number AND i.tenant = :tenant AND i.wamid >= :k1"
    " AND (i.wamid, o.position) > (:k1, :k2) AND NOT o.is_open AND o.state <> 'moved' ORDER BY i.wamid, o.position",
    "orders": f"SELECT o.id AS k1, 0 AS k2, i.wamid AS message, {_columns('orders', 'o')}, {_alias_of('k')}"
    " FROM orders o JOIN inbox i ON i.id = o.inbox_id JOIN customers k ON k.id = o.customer_id"
    " WHERE o.tenant = :tenant AND o.id + 0 > :k1 ORDER BY o.id + 0",
    "order_lines": f"SELECT l.order_id AS k1, l.position AS k2, i.wamid AS message, {_columns('order_lines', 'l')}"
    " FROM orders o JOIN order_lines l ON l.order_id = o.id JOIN inbox i ON i.id = o.inbox_id"
    " WHERE o.tenant = :tenant AND (o.id + 0, l.position + 0) > (:k1, :k2) ORDER BY o.id + 0, l.position + 0",
    "statuses": f"SELECT t.wamid AS k1, t.status AS k2, {_columns('statuses', 't')} FROM statuses t"
    f" WHERE {_OF_NUMBER} AND t.wamid >= :k1 AND (t.wamid, t.status) > (:k1, :k2) ORDER BY t.wamid, t.status",
    "costs": f"SELECT t.wamid AS k1, '' AS k2, {_columns('costs', 't')} FROM costs t"
    f" WHERE {_OF_NUMBER} AND t.wamid > :k1 ORDER BY t.wamid",
    "account_events": f"SELECT t.key AS k1, '' AS k2, {_columns('account_events', 't')} FROM account_events t"
    f" WHERE {_OF_NUMBER} AND t.key > :k1 ORDER BY t.key",
}
_ALIASES = (
    "SELECT customer_id, kind, value, since FROM customer_aliases"
    " WHERE tenant = :tenant AND customer_id >= :first AND customer_id <= :last"
)


def page(connection: Connection, scope: TenantScope, move: str, part: str, after: Cursor | None) -> Page:
    """Return some rows of one of `PARTS`, those after a cursor; of a tenant that no pod works on."""
    k1, k2 = after or _START.get(part, _START_OUTBOX if part == "outbox" else _FIRST)
    values = {**_values(scope), "k1": k1, "limit": PAGE_ROWS}
    if ":k2" in _QUERIES[part]:
        values["k2"] = k2
    found = connection.execute(text(_QUERIES[part] + _IN_PAGES), values).mappings().all()
    rows = [_told(dict(row), move) for row in found]
    if part == "customers" and found:
        _add_aliases(connection, scope, found, rows)
    is_last = len(found) < PAGE_ROWS
    return Page(rows, None if is_last else (found[-1]["k1"], found[-1]["k2"]))


def _add_aliases(connection: Connection, scope: TenantScope, found: Sequence[Any], rows: Sequence[Row]) -> None:
    by_customer = {each["k1"]: row for each, row in zip(found, rows, strict=True)}
    for row in rows:
        row["aliases"] = []
    values = {"tenant": scope.tenant, "first": found[0]["k1"], "last": found[-1]["k1"]}
    for customer, kind, value, since in connection.execute(text(_ALIASES), values):
        if customer in by_customer:
            by_customer[customer]["aliases"].append({"kind": kind, "value": value, "since": since})


def _told(row: Mapping[str, Any], move: str) -> Row:
    """Return a row as it can be sent, and as the other database can hold it."""
    told: Row = {}
    for name, value in row.items():
        if name in {"k1", "k2"}:
            continue
        if isinstance(value, bytes | memoryview):
            told[name] = bytes(value).hex()
        elif isinstance(value, str):
            told[name] = value.replace("\0", "")
        else:
            told[name] = value
    for name in ("wamid", "message"):
        if str(told.get(name) or "").startswith("timer:"):
            # Named after a timer's id, which is another one's over there.
            told[name] = f"timer-{hashlib.sha256(move.encode()).hexdigest()[:8]}:{told[name].removeprefix('timer:')}"
    return told


_ITS_CUSTOMERS = "customer_id IN (SELECT id FROM customers WHERE tenant = :tenant) AND tenant = :tenant"
_KEPT = "'moved:' || state || ':' || CASE owner WHEN '' THEN '' ELSE 'moved' END"
"""The state that it has over there, and the owner: what staff is to look at stays staff's."""
_MARK = (
    f"UPDATE inbox SET state = 'moved', owner = 'moved' WHERE state = 'pending' AND {_ITS_CUSTOMERS}",
    f"UPDATE outbox SET state = 'moved', owner = {_KEPT} WHERE is_open AND {_ITS_CUSTOMERS}",
)
_LEFT: Mapping[str, str] = {
    "numbers": "SELECT free_at_us FROM numbers WHERE tenant = :tenant AND phone_number_id = :number",
    "inbox": f"SELECT {_columns('inbox', 'i')}, {_alias_of('k')} FROM inbox i JOIN customers k ON k.id = i.customer_id"
    " WHERE i.phone_number_id = :number AND i.tenant = :tenant AND i.state = 'moved' ORDER BY i.id",
    "outbox": f"SELECT i.wamid AS message, {_columns('outbox', 'o')}, o.owner, {_alias_of('k')}"
    " FROM outbox o JOIN inbox i ON i.id = o.inbox_id JOIN customers k ON k.id = o.customer_id"
    " WHERE o.phone_number_id = :number AND o.tenant = :tenant AND o.state = 'moved' ORDER BY o.id",
    "timers": f"SELECT t.due_at, t.payload, {_alias_of('k')} FROM timers t JOIN customers k ON k.id = t.customer_id"
    " WHERE t.tenant = :tenant ORDER BY t.id",
    "audit": f"SELECT {_columns('audit', 't')} FROM audit t WHERE t.tenant = :tenant AND t.action <> '{LEAVING}'"
    " ORDER BY t.id",
}


def take_rest(connection: Connection, scope: TenantScope, move: str) -> dict[str, list[Row]]:
    """Return what is still to be done, by part, and mark it: it is done elsewhere from now on. May be asked again."""
    values = _values(scope)
    for statement in _MARK:
        connection.execute(text(statement), _named(statement, values))
    rest = {
        part: [_told(dict(row), move) for row in connection.execute(text(query), _named(query, values)).mappings()]
        for part, query in _LEFT.items()
    }
    for row in rest["inbox"]:
        row["state"] = "pending"
    for row in rest["outbox"]:
        _, row["state"], row["owner"] = row["owner"].split(":")
    return rest


# Writing


def import_page(connection: Connection, scope: TenantScope, part: str, rows: Sequence[Row]) -> None:
    """Write rows of one of `PARTS`; what is there already stays as it is."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        # The service's role may not write these tables by itself.
        statement = text("SELECT comanda_import(:part, :number, cast(:rows AS jsonb))")
        values = {"part": part, "number": scope.phone_number_id, "rows": _json(rows)}
        connection.execute(statement, values)
    elif part == "customers":
        _import_customers(connection, scope, rows)
    else:
        connection.execute(text(_insert_sqlite(part)), {**_values(scope), "rows": _json(rows)})


def arrive(connection: Connection, scope: TenantScope, move: str, rest: Mapping[str, Sequence[Row]]) -> bool:
    """Write the rest and note that all has arrived; False when that was so already, and nothing is written again."""
    if is_noted(connection, scope, ARRIVED, move):
        return False
    for part, rows in rest.items():
        import_page(connection, scope, part, rows)
    note(connection, scope, ARRIVED, move)
    return True


def note(connection: Connection, scope: TenantScope, action: str, move: str) -> None:
    """Write `LEAVING` or `ARRIVED` into the audit log, once."""
    if not is_noted(connection, scope, action, move):
        row = {"tenant": scope.tenant, "at": sql.now_ms(connection), "actor": "operator", "action": action}
        connection.execute(sql.AUDIT.insert(), row | {"detail": move})


def is_noted(connection: Connection, scope: TenantScope, action: str, move: str) -> bool:
    """Tell whether this database knows that a move has left from it, or arrived in it."""
    found = connection.execute(
        text("SELECT 1 FROM audit WHERE tenant = :tenant AND action = :action AND detail = :move"),
        {"tenant": scope.tenant, "action": action, "move": move},
    )
    return found.first() is not None


_ADD_CUSTOMER = (
    "INSERT INTO customers (tenant, name, created_at, unreachable_code, sends_to)"
    " VALUES (:tenant, :name, :created_at, :unreachable_code, :sends_to) RETURNING id"
)
_ADD_ALIAS = (
    "INSERT INTO customer_aliases (tenant, kind, value, customer_id, since)"
    " VALUES (:tenant, :kind, :value, :customer, :since) ON CONFLICT DO NOTHING"
)
_FIND_ALIAS = "SELECT customer_id FROM customer_aliases WHERE tenant = :tenant AND kind = :kind AND value = :value"
_CONVERSATION = ("state", "flow_version", "version", "handover_until", "last_inbound_at", "pair_free_at")
_PUT_CONVERSATION = (
    f"INSERT INTO conversations (customer_id, tenant, phone_number_id, {', '.join(_CONVERSATION)})"
    f" VALUES (:customer, :tenant, :number, {', '.join(f':{name}' for name in _CONVERSATION)})"
    f" ON CONFLICT (customer_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _CONVERSATION)}"
)


def _import_customers(connection: Connection, scope: TenantScope, rows: Sequence[Row]) -> None:
    for row in rows:
        aliases = [{"tenant": scope.tenant, **alias} for alias in row["aliases"]]
        known = (connection.execute(text(_FIND_ALIAS), _named(_FIND_ALIAS, alias)).scalar() for alias in aliases)
        values = {**row, **_values(scope), "state": bytes.fromhex(row["state"]) if row["state"] is not None else None}
        customer = next((each for each in known if each), None)
        if customer is None:
            customer = connection.execute(text(_ADD_CUSTOMER), _named(_ADD_CUSTOMER, values)).scalar_one()
        for alias in aliases:
            connection.execute(text(_ADD_ALIAS), {**alias, "customer": customer})
        statement = _PUT_CONVERSATION
        connection.execute(text(statement), _named(statement, {**values, "customer": customer}))


def _insert(part: str, source: str, tenant: str, number: str) -> str:
    """Return the statement that inserts the rows of `source`, named `r`, as a part of a tenant."""
    made = _TABLES[part]
    owned = {"tenant": tenant, **({"phone_number_id": number} if made.has_number else {})}
    given = {name: f"r.{name}" for name in made.columns}
    if "owner" in given:
        given["owner"] = f"coalesce(r.owner, '{MOVED}')"
    if "problem" in given:
        given["problem"] = "coalesce(r.problem, '')"
    pointing = {name: each.format(tenant=tenant, number=number) for name, each in made.references.items()}
    columns = {**owned, **given, **pointing}
    return (
        f"INSERT INTO {made.table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {source}"
        " WHERE true ON CONFLICT DO NOTHING"
    )


def _fields(part: str) -> dict[str, str]:
    """Return the fields of a part's rows with their PostgreSQL types."""
    made = _TABLES[part]
    fields = dict(made.columns)
    if "customer_id" in made.references:
        fields |= _CUSTOMER_KEYS
    if made.references.keys() & {"inbox_id", "order_id"}:
        fields["message"] = _TEXT
    return fields


def _insert_sqlite(part: str) -> str:
    fields = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in _fields(part))
    return _insert(part, f"(SELECT {fields} FROM json_each(:rows)) AS r", ":tenant", ":number")


def import_function() -> str:
    """Return the function with which the service's role writes a page on PostgreSQL, as a script.

    Row-level security holds it to the tenant that the transaction has named.
    """
    branches = []
    for part in (*_TABLES,):
        fields = ", ".join(f"{name} {type_}" for name, type_ in _fields(part).items())
        insert = _insert(part, f"jsonb_to_recordset(p_rows) AS r({fields})", "v_tenant", "p_number")
        branches.append(f"  if p_part = '{part}' then\n    {insert};\n  end if;")
    assigned = ", ".join(
        "decode(v_row->>'state', 'hex')" if name == "state" else f"v_customer_row.{name}" for name in _CONVERSATION
    )
    updated = ", ".join(f"{name} = excluded.{name}" for name in _CONVERSATION)
    return f"""
-- Writes rows of a tenant that comes from another database; made from `comanda_store/moves.py`.
create or replace function comanda_import(p_part text, p_number text, p_rows jsonb)
returns void language plpgsql security definer
set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  v_tenant text := current_setting('comanda.tenant', true);
  v_row jsonb;
  v_customer_row record;
  v_alias record;
  v_customer bigint;
begin
  if coalesce(v_tenant, '') = '' then
    raise exception 'comanda_import needs a tenant';
  end if;
{chr(10).join(branches)}
  if p_part <> 'customers' then
    return;
  end if;
  for v_row in select value from jsonb_array_elements(p_rows) loop
    select * into v_customer_row from jsonb_to_record(v_row) as r(
      name text, created_at bigint, unreachable_code int, sends_to text, flow_version text, version int,
      handover_until bigint, last_inbound_at bigint, pair_free_at bigint);
    v_customer := null;
    for v_alias in select * from jsonb_to_recordset(v_row->'aliases') as e(kind text, value text) loop
      exit when v_customer is not null;
      v_customer := (
        select a.customer_id from customer_aliases a
        where a.tenant = v_tenant and a.kind = v_alias.kind and a.value = v_alias.value);
    end loop;
    if v_customer is null then
      insert into customers (tenant, name, created_at, unreachable_code, sends_to) values (
        v_tenant, v_customer_row.name, v_customer_row.created_at, v_customer_row.unreachable_code,
        v_customer_row.sends_to) returning customers.id into v_customer;
    end if;
    insert into customer_aliases (tenant, kind, value, customer_id, since)
      select v_tenant, e.kind, e.value, v_customer, e.since
      from jsonb_to_recordset(v_row->'aliases') as e(kind text, value text, since bigint)
      on conflict do nothing;
    insert into conversations (customer_id, tenant, phone_number_id, {", ".join(_CONVERSATION)})
      values (v_customer, v_tenant, p_number, {assigned})
      on conflict (customer_id) do update set {updated};
  end loop;
end $$;
"""


# Small things


def _values(scope: TenantScope) -> dict[str, Any]:
    return {"tenant": scope.tenant, "number": scope.phone_number_id}


def _named(statement: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that a statement names: PostgreSQL wants no others."""
    return {name: value for name, value in values.items() if f":{name}" in statement}


def _json(rows: Sequence[Row]) -> str:
    return msgspec.json.encode(rows).decode()


assert (set(PARTS), set(REST)) == (set(_QUERIES), set(_LEFT)), "every part can be read"  # noqa: S101 - a part that is forgotten would be lost
