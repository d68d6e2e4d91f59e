"""The restaurant document as a tenant writes it; `restaurant.py` turns it into the domain.

Its JSON schema (`RestaurantDocument.model_json_schema()`) is the published one. Prices are decimals in the tenant's
currency, which the validation context brings along.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from comanda_flow.documents import Document, LocalText
from comanda_flow.hours import parse_range
from comanda_flow.money import to_minor


def _payable(amount: Decimal, info: ValidationInfo) -> Decimal:
    if info.context:
        to_minor(amount, info.context["currency"])
    return amount


def _readable_range(text: str) -> str:
    parse_range(text)
    return text


def _as_text(value: object) -> object:
    """YAML reads `sku: 101` as a number; it is an identifier all the same."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Amount = Annotated[Decimal, Field(ge=0, le=1_000_000_000), AfterValidator(_payable)]
Identifier = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
Sku = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[^\s:]([^\n\r\t]{0,98}[^\s])?$")]
Openings = Annotated[tuple[Annotated[str, AfterValidator(_readable_range)], ...], Field(max_length=6)]


class ChoiceDocument(Document):
    """One choice of an option."""

    id: Identifier
    name: LocalText
    price: Amount = Field(default=Decimal(0), description="Added to the item's price.")


class OptionDocument(Document):
    """Something to decide about an item."""

    id: Identifier
    name: LocalText
    min: int = Field(default=0, ge=0, le=20, description="How many choices are needed; 0 makes the option free.")
    max: int = Field(default=1, ge=1, le=20, description="How many choices are allowed.")
    choices: list[ChoiceDocument] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _consistent(self) -> OptionDocument:
        if self.min > self.max:
            raise ValueError("min must not be above max")
        if self.min > len(self.choices):
            raise ValueError("min asks for more choices than there are")
        if len({choice.id for choice in self.choices}) < len(self.choices):
            raise ValueError("two choices have the same id")
        return self


class ItemDocument(Document):
    """Something to order."""

    sku: Sku = Field(description="Unique; also the catalogue's product_retailer_id.")
    name: LocalText
    description: LocalText | None = None
    price: Amount
    aliases: list[str] = Field(default=[], max_length=20, description="What customers call it.")
    image: str = Field(default="", pattern=r"^(https?://\S{1,1990})?$", description="Public address of a picture.")
    available: bool = True
    options: list[OptionDocument] = Field(default=[], max_length=10)

    @model_validator(mode="after")
    def _distinct_options(self) -> ItemDocument:
        if len({option.id for option in self.options}) < len(self.options):
            raise ValueError("two options have the same id")
        return self


class CategoryDocument(Document):
    """A part of the menu."""

    id: Identifier
    name: LocalText
    items: list[ItemDocument] = Field(default=[], max_length=200)


class MenuDocument(Document):
    """The menu."""

    categories: list[CategoryDocument] = Field(default=[], max_length=50)


class PointDocument(Document):
    """A place, in degrees."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class HoursDocument(Document):
    """Openings by weekday, `HH:MM-HH:MM`, which may end after midnight. Without any, always open."""

    monday: Openings = ()
    tuesday: Openings = ()
    wednesday: Openings = ()
    thursday: Openings = ()
    friday: Openings = ()
    saturday: Openings = ()
    sunday: Openings = ()
    closed_dates: list[date] = Field(default=[], description="Days off, YYYY-MM-DD.")


class FulfilmentDocument(Document):
    """How customers get their food."""

    pickup: bool = True
    delivery: bool = False

    @model_validator(mode="after")
    def _some_way(self) -> FulfilmentDocument:
        if not (self.pickup or self.delivery):
            raise ValueError("needs pickup, delivery or both")
        return self


class ZoneDocument(Document):
    """A delivery zone: by `radius_km`, by district `names`, or, with neither, everywhere else."""

    name: str = Field(min_length=1, max_length=60)
    fee: Amount = Decimal(0)
    minimum: Amount = Decimal(0)
    radius_km: float | None = Field(default=None, gt=0, le=500)
    names: list[str] = Field(default=[], max_length=100)

    @model_validator(mode="after")
    def _one_measure(self) -> ZoneDocument:
        if self.radius_km is not None and self.names:
            raise ValueError("has both radius_km and names; use one of them")
        return self


class RestaurantDocument(Document):
    """A tenant's restaurant: who, where, when, how and what."""

    name: LocalText
    greeting: LocalText | None = None
    address: str = Field(default="", max_length=300)
    location: PointDocument | None = None
    hours: HoursDocument = HoursDocument()
    accept_when_closed: bool = Field(default=False, description="Take orders outside the opening hours too.")
    fulfilment: FulfilmentDocument = FulfilmentDocument()
    zones: list[ZoneDocument] = Field(default=[], max_length=50)
    minimum_order: Amount = Decimal(0)
    payment: list[LocalText] = Field(default=[], max_length=10)
    menu: MenuDocument = MenuDocument()
