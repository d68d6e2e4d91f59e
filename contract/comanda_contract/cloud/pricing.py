"""What Meta charges for a message: the rules as a pure function, the rates as a table that can be replaced.

Meta names category, type and pricing model of a message once, in one of its statuses; the rate is ours to look up. A
price that cannot be known is None with the reason, never a guess. Volume discounts of utility and authentication
templates are not in a status, so these prices are list prices.

A rate table is a CSV file: lines that begin with `#` are comments, the first other line names the columns.

| column | what it holds |
|---|---|
| `valid_from` | first day of the rate, `YYYY-MM-DD`, in the account's time zone; it holds until a later row |
| `market` | Meta's market, such as `Rest of Africa`, or one country by its English name; the country's own row wins |
| `currency` | ISO 4217, such as `USD` |
| `category` | Meta's category of the message |
| `micros` | price of one message in millionths of the currency's unit, a whole number |

The table that comes with this package (`STANDARD_RATES_RESOURCE`) holds a few samples only; Meta's rate cards are on
its pricing page.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, tzinfo
from typing import Literal, get_args

import msgspec

from comanda_contract.cloud.countries import MARKETS, Country
from comanda_contract.errors import InvalidInputError

STANDARD_RATES_RESOURCE = ("comanda_contract.cloud", "rates.csv")
"""Package and file of the table that comes with Comanda."""

COLUMNS = ("valid_from", "market", "currency", "category", "micros")
PER_MESSAGE_SINCE = date(2025, 7, 1)
"""Before this day Meta charged by conversation (CBP), which no message has a price of its own in."""
SERVICE_BILLED_SINCE = date(2026, 10, 1)
"""Before this day messages without template were free."""

FreeType = Literal["free_customer_service", "free_entry_point", "free_group_customer_service"]
Reason = Literal[
    "billed",
    FreeType,
    "free_before_october_2026",
    "failed",
    "not_delivered",
    "priced_by_conversation",
    "unknown_model",
    "unknown_type",
    "unknown_category",
    "unknown_market",
    "no_rate",
    "several_currencies",
]
"""Why a price is what it is; from `not_delivered` on there is none."""

_FREE_TYPES: Mapping[str, FreeType] = {name: name for name in get_args(FreeType)}
_DELIVERED = frozenset({"delivered", "read", "played"})
_CATEGORIES = frozenset(
    {
        "authentication",
        "authentication-international",
        "general_purpose_ai",
        "marketing",
        "marketing_lite",
        "referral_conversion",
        "service",
        "utility",
    }
)
_RATED_AS = {"service": ("service", "utility")}
"""A service message costs what the card says of service, else what a utility message costs in the same market."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")
_MICROS = re.compile(r"\d{1,12}", re.ASCII)
_PROBLEMS_SHOWN = 10


class Rate(msgspec.Struct, frozen=True):
    """One row of a rate table."""

    valid_from: date
    market: str
    currency: str
    category: str
    micros: int


class RateTable(msgspec.Struct, frozen=True):
    """Rates by market and category, the earliest first."""

    rates: Mapping[tuple[str, str], tuple[Rate, ...]]

    def valid(self, market: str, category: str, at: date) -> dict[str, Rate]:
        """Return the rate in force on a day, by currency: of each currency the last one that has begun."""
        return {rate.currency: rate for rate in self.rates.get((market, category), ()) if rate.valid_from <= at}

    def market_of(self, country: Country | None, at: date) -> str:
        """Return the market in which a country is priced on a day: its own when the table has it, else Meta's group.

        "" for a country that is unknown or that belongs to no known market.
        """
        if country is None:
            return ""
        own = (rates[0] for (market, _), rates in self.rates.items() if market == country.name)
        return country.name if any(rate.valid_from <= at for rate in own) else country.market


class Price(msgspec.Struct, frozen=True):
    """The price of one message: `micros` is 0 when it is free and None when it cannot be known."""

    micros: int | None
    currency: str
    reason: Reason


class Problem(msgspec.Struct, frozen=True):
    """A row that was refused: its line in the file, counted from 1, and the rule it breaks."""

    line: int
    rule: str


class RateTableError(InvalidInputError):
    """A rate table has rows that break a rule; `problems` names each. Nothing was taken from the file."""

    code = "rate_table"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        shown = "; ".join(f"line {problem.line}: {problem.rule}" for problem in problems[:_PROBLEMS_SHOWN])
        more = len(problems) - _PROBLEMS_SHOWN
        rule = f"{shown}; and {more} more" if more > 0 else shown
        super().__init__("", rule, hint="Mend these lines; until then the rates in force stay as they are.")
        self.problems = problems


def price(
    rates: RateTable,
    *,
    category: str,
    type: str,  # noqa: A002 - Meta's name of the field
    pricing_model: str,
    market: str,
    at: date,
    status: str = "delivered",
    currency: str = "",
) -> Price:
    """Return what a message costs.

    `category`, `type` and `pricing_model` are those of the status's `pricing`; `at` is the day in the account's time
    zone (`billing_day`). `status` is the highest that came: `failed` only when nothing was delivered. With a
    `currency`, the account's, only its rates count; without one the market must have rates in a single currency.
    """
    unpriced = _unpriced(status, pricing_model, at)
    if unpriced is not None:
        return unpriced
    if type in _FREE_TYPES:
        return Price(0, "", _FREE_TYPES[type])
    if category == "service" and at < SERVICE_BILLED_SINCE:
        return Price(0, "", "free_before_october_2026")
    if type != "regular":
        return Price(None, "", "unknown_type")
    return _billed(rates, category, market, at, currency)


def billing_day(at: float, timezone: tzinfo) -> date:
    """Return the day on which a message counts: unix seconds in the account's time zone."""
    return datetime.fromtimestamp(at, timezone).date()


def parse_rates(text: str) -> RateTable:
    """Read a rate table from the text of a CSV file. Raises `RateTableError` that names every bad row."""
    found: dict[tuple[date, str, str, str], Rate] = {}
    problems: list[Problem] = []
    rows = _rows(text)
    number, header = next(rows, (1, []))
    if tuple(header) != COLUMNS:
        raise RateTableError((Problem(number, f"the columns must be {','.join(COLUMNS)}"),))
    for line, row in rows:
        rate = _rate(row)
        if isinstance(rate, str):
            problems.append(Problem(line, rate))
            continue
        key = (rate.valid_from, rate.market, rate.currency, rate.category)
        if key in found:
            problems.append(Problem(line, "a row above has the same day, market, currency and category"))
        found.setdefault(key, rate)
    if problems:
        raise RateTableError(tuple(problems))
    return _table(found.values())


def _unpriced(status: str, pricing_model: str, at: date) -> Price | None:
    """Return the price of a message that was not delivered, or that no rate by message applies to."""
    if status == "failed":
        return Price(0, "", "failed")
    if status not in _DELIVERED:
        return Price(None, "", "not_delivered")
    if pricing_model == "CBP" or at < PER_MESSAGE_SINCE:
        return Price(None, "", "priced_by_conversation")
    return None if pricing_model in {"", "PMP"} else Price(None, "", "unknown_model")


def _billed(rates: RateTable, category: str, market: str, at: date, currency: str) -> Price:
    if not _is_category(category):
        return Price(None, "", "unknown_category")
    if market not in MARKETS:
        return Price(None, "", "unknown_market")
    for rated_as in _RATED_AS.get(category, (category,)):
        found = rates.valid(market, rated_as, at)
        if currency:
            found = {currency: found[currency]} if currency in found else {}
        if len(found) > 1:
            return Price(None, "", "several_currencies")
        for rate in found.values():
            return Price(rate.micros, rate.currency, "billed")
    return Price(None, "", "no_rate")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of every line that is neither empty nor a comment."""
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, _fields(line)


def _fields(line: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line]))]
    except csv.Error:
        return []


def _rate(row: list[str]) -> Rate | str:
    """Read one row; a text is the rule it breaks."""
    if len(row) != len(COLUMNS):
        return f"has {len(row)} fields, {len(COLUMNS)} are needed"
    valid_from, market, currency, category, micros = row
    day = _day(valid_from)
    if day is None:
        return "valid_from must be a day, YYYY-MM-DD"
    rules = (
        (market in MARKETS, f"market is none of Meta's{_nearest(market)}"),
        (_CURRENCY.fullmatch(currency), "currency must be three capital letters"),
        (_is_category(category), f"category must be one of {', '.join(sorted(_CATEGORIES))}, or begin with group_"),
        (_MICROS.fullmatch(micros), "micros must be a whole number of 0 or more, of at most 12 digits"),
    )
    broken = next((rule for kept, rule in rules if not kept), None)
    return broken or Rate(day, market, currency, category, int(micros))


def _nearest(market: str) -> str:
    near = difflib.get_close_matches(market[:100], MARKETS, n=1)
    return f"; is it {near[0]!r}?" if near and near[0] != market else ""


def _day(text: str) -> date | None:
    if not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _is_category(category: str) -> bool:
    return category in _CATEGORIES or category.startswith("group_")


def _table(rates: Iterable[Rate]) -> RateTable:
    table: dict[tuple[str, str], tuple[Rate, ...]] = {}
    for rate in sorted(rates, key=lambda rate: rate.valid_from):
        key = (rate.market, rate.category)
        table[key] = (*table.get(key, ()), rate)
    return RateTable(table)
