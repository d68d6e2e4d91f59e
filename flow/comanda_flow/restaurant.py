"""The restaurant: what a conversation may say, sell and promise, read once from the tenant's document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from comanda_flow import restaurant_document as written
from comanda_flow.documents import in_language, language_of, schema_problems
from comanda_flow.errors import Problem, RestaurantError
from comanda_flow.hours import Hours, parse_range
from comanda_flow.menu import Category, Choice, Item, Menu, Option
from comanda_flow.menu_index import MenuIndex
from comanda_flow.money import to_minor
from comanda_flow.zones import Point, Zone

_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Restaurant:
    """One tenant's restaurant; amounts are minor units of `currency`."""

    name: Mapping[str, str]
    greeting: Mapping[str, str]
    address: str
    location: Point | None
    hours: Hours
    accept_when_closed: bool
    pickup: bool
    delivery: bool
    zones: tuple[Zone, ...]
    minimum_minor: int
    payment: tuple[Mapping[str, str], ...]
    menu: Menu
    currency: str
    locale: str

    @cached_property
    def index(self) -> MenuIndex:
        """What customers may call the items; built once, at the first message."""
        return MenuIndex.of(self.menu)

    @property
    def language(self) -> str:
        """The restaurant's own language: the kitchen reads orders in it."""
        return language_of(self.locale)

    def offers(self, fulfilment: str) -> bool:
        """Tell whether food is had this way here: `pickup` or `delivery`; anything else is no way."""
        return self.pickup if fulfilment == "pickup" else self.delivery and fulfilment == "delivery"

    def called(self, language: str) -> str:
        """Return the restaurant's name in a language."""
        return in_language(self.name, language)


def load_restaurant(document: Mapping[str, Any], *, currency: str, timezone: str, locale: str) -> Restaurant:
    """Read a restaurant document.

    `currency` is an ISO 4217 code, `timezone` an IANA name, `locale` such as `es-CL`. Raises `RestaurantError` with
    every problem found.
    """
    problems = _setting_problems(currency, locale)
    zone = _time_zone(timezone, problems)
    model = _parse(document, currency, problems)
    problems += [*_repeated_ids(document), *_unmeasurable_zones(document)]
    if problems or model is None or zone is None:
        raise RestaurantError(problems)
    return _build(model, currency, zone, locale)


def _setting_problems(currency: str, locale: str) -> list[Problem]:
    problems = []
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        problems.append(Problem("currency", "is no ISO 4217 code", "Write three capitals, for example CLP."))
    if not language_of(locale).isalpha():
        problems.append(Problem("locale", "is no locale", "Write a language and a country, for example es-CL."))
    return problems


def _time_zone(name: str, problems: list[Problem]) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        problems.append(Problem("timezone", "is no IANA time zone", "For example America/Santiago."))
        return None


def _parse(document: Mapping[str, Any], currency: str, problems: list[Problem]) -> written.RestaurantDocument | None:
    try:
        return written.RestaurantDocument.model_validate(document, context={"currency": currency})
    except ValidationError as error:
        problems += schema_problems(error)
        return None


def _listed(value: Any, key: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list in a document that may have any shape."""
    entries = value.get(key) if isinstance(value, Mapping) else None
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def _repeated_ids(document: Mapping[str, Any]) -> Iterator[Problem]:
    categories = _listed(document.get("menu"), "categories")
    counts = Counter(str(category.get("id")) for category in categories)
    skus: dict[str, str] = {}
    for number, category in enumerate(categories):
        path = f"menu.categories[{number}]"
        if counts[str(category.get("id"))] > 1:
            yield Problem(f"{path}.id", "is used by more than one category", "Give each category an id of its own.")
        for index, item in enumerate(_listed(category, "items")):
            sku, where = str(item.get("sku")), f"{path}.items[{index}].sku"
            first = skus.setdefault(sku, where)
            if first != where:
                yield Problem(where, f"is already used at {first}", "Give each item a sku of its own.")


def _unmeasurable_zones(document: Mapping[str, Any]) -> Iterator[Problem]:
    if document.get("location") is not None:
        return
    for index, zone in enumerate(_listed(document, "zones")):
        if zone.get("radius_km") is not None:
            yield Problem(f"zones[{index}].radius_km", "needs the restaurant's location", "Add location at the top.")


def _build(model: written.RestaurantDocument, currency: str, zone: ZoneInfo, locale: str) -> Restaurant:
    return Restaurant(
        name=model.name,
        greeting=model.greeting or {},
        address=model.address,
        location=Point(model.location.latitude, model.location.longitude) if model.location else None,
        hours=_hours(model.hours, zone),
        accept_when_closed=model.accept_when_closed,
        pickup=model.fulfilment.pickup,
        delivery=model.fulfilment.delivery,
        zones=tuple(_zone(each, currency) for each in model.zones),
        minimum_minor=to_minor(model.minimum_order, currency),
        payment=tuple(model.payment),
        menu=Menu(tuple(_category(category, currency) for category in model.menu.categories)),
        currency=currency,
        locale=locale,
    )


def _hours(model: written.HoursDocument, zone: ZoneInfo) -> Hours:
    week = tuple(tuple(sorted(map(parse_range, getattr(model, day)), key=lambda r: r.start)) for day in _WEEK)
    return Hours(zone, week, frozenset(model.closed_dates))


def _zone(model: written.ZoneDocument, currency: str) -> Zone:
    fee, minimum = to_minor(model.fee, currency), to_minor(model.minimum, currency)
    return Zone(model.name, fee, minimum, model.radius_km or 0.0, tuple(model.names))


def _category(model: written.CategoryDocument, currency: str) -> Category:
    return Category(model.id, model.name, tuple(_item(item, currency) for item in model.items))


def _item(model: written.ItemDocument, currency: str) -> Item:
    return Item(
        sku=model.sku,
        name=model.name,
        price_minor=to_minor(model.price, currency),
        description=model.description or {},
        aliases=tuple(model.aliases),
        image=model.image,
        available=model.available,
        options=tuple(_option(option, currency) for option in model.options),
    )


def _option(model: written.OptionDocument, currency: str) -> Option:
    choices = tuple(Choice(each.id, each.name, to_minor(Decimal(each.price), currency)) for each in model.choices)
    return Option(model.id, model.name, model.min, min(model.max, len(choices)), choices)
