"""`comanda costs`: what a restaurant's messages cost this month, by the ledger, and where the month is going."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from comanda_cli.messages import in_databases
from comanda_contract.cloud.free_tier import forecast_free_tier
from comanda_contract.errors import InvalidInputError
from comanda_store.costs import CostLine, costs_between

COLUMNS = (
    ("phone_number_id", "NUMBER"),
    ("category", "CATEGORY"),
    ("reason", "WHY"),
    ("messages", "MESSAGES"),
    ("cost", "COST"),
)
FORECAST_COLUMNS = (
    ("phone_number_id", "NUMBER"),
    ("left", "FREE LEFT"),
    ("expected", "EXPECTED"),
    ("expected_paid", "OF THEM PAID"),
    ("runs_out", "FREE UNTIL"),
)
_MICROS = 1_000_000


def month_of_costs(
    data_dir: Path, tenant: str, database_url: str | None, now: datetime, timezone: str
) -> dict[str, list[dict[str, Any]]]:
    """Return `costs` of the month so far, and for each number a `forecast` of its service messages.

    Months begin at midnight in `timezone`, the account's (an IANA name). Raises `InvalidInputError` or `StorageError`.
    """
    local = now.astimezone(_zone(timezone))
    begin = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    bounds = (int(begin.timestamp() * 1000), int(now.timestamp() * 1000) + 1)
    found = in_databases(data_dir, tenant, database_url, lambda database: costs_between(database, tenant, *bounds))
    lines = [line for part in found for line in part]
    return {"costs": [_row(line) for line in lines], "forecast": _forecasts(lines, local)}


def _row(line: CostLine) -> dict[str, Any]:
    cost = "" if line.micros is None else f"{line.micros / _MICROS:.4f} {line.currency}".strip()
    return asdict(line) | {"cost": cost}


def _forecasts(lines: Iterable[CostLine], now: datetime) -> list[dict[str, Any]]:
    delivered: Counter[str] = Counter()
    for line in lines:
        # What an advertisement brought is free in any case, and uses nothing of the month's free messages up.
        if line.category == "service" and line.reason != "free_entry_point":
            delivered[line.phone_number_id] += line.messages
    return [_forecast(number, count, now) for number, count in sorted(delivered.items())]


def _forecast(number: str, delivered: int, now: datetime) -> dict[str, Any]:
    forecast = forecast_free_tier(delivered, now)
    return {
        "phone_number_id": number,
        "left": forecast.left,
        "expected": forecast.expected,
        "expected_paid": forecast.expected_paid,
        "runs_out": forecast.runs_out.astimezone(UTC).date().isoformat() if forecast.runs_out is not None else "",
    }


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidInputError("--timezone", f"{name} is no time zone.", hint="Such as America/Santiago.") from None
