"""Money as whole minor units (cents; pesos where a currency has no cents), and how people write it.

Binary floats never hold an amount: documents give decimals, everything after that is an integer.
"""

from __future__ import annotations

from decimal import Decimal

from comanda_flow.documents import language_of

_NO_DECIMALS = frozenset(["CLP", "PYG", "JPY", "KRW", "VND", "ISK", "UGX", "XAF", "XOF"])
_THREE_DECIMALS = frozenset(["BHD", "KWD", "OMR", "TND", "JOD"])
_ROUND_PRICES = frozenset(["ARS", "COP", "CRC", "UYU", "DOP"])
"""Currencies with cents that nobody writes unless there are any."""

_SYMBOLS = {
    "USD": "US$", "CLP": "$", "ARS": "$", "COP": "$", "MXN": "$", "UYU": "$U", "BRL": "R$", "PEN": "S/", "BOB": "Bs",
    "PYG": "₲", "CRC": "₡", "GTQ": "Q", "DOP": "RD$", "EUR": "€", "GBP": "£", "VES": "Bs.",
}  # fmt: skip
_POINT_COUNTRIES = frozenset(["MX", "GT", "HN", "NI", "SV", "PA", "DO", "PE", "US", "PR"])
"""Spanish-speaking countries that write 1,234.50."""


def decimals_of(currency: str) -> int:
    """Return how many decimals a currency has (ISO 4217)."""
    if currency in _NO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2


def to_minor(amount: Decimal, currency: str) -> int:
    """Return an amount in minor units. Raises `ValueError` when it has more decimals than the currency."""
    scaled = amount.scaleb(decimals_of(currency))
    if scaled != scaled.to_integral_value():
        decimals = decimals_of(currency)
        allowed = f"{decimals} decimals" if decimals else "no decimals: write 12990, without a point"
        raise ValueError(f"{currency} has {allowed}")
    return int(scaled)


def money(minor: int, currency: str, locale: str) -> str:
    """Write an amount as people of a locale do: `$ 12.990`, `US$ 12,50`, `R$ 12,50`, `12,50 €`, `$12.99`."""
    language, _, country = locale.replace("_", "-").partition("-")
    english = language_of(language) == "en"
    pointed = english or country.upper() in _POINT_COUNTRIES
    number = _number(minor, currency, pointed=pointed)
    symbol = _SYMBOLS.get(currency, currency)
    if currency == "USD" and english:
        symbol = "$"
    if currency == "EUR" and not english:
        return f"{number} €"
    return f"{symbol}{number}" if english and len(symbol) == 1 else f"{symbol} {number}"


def _number(minor: int, currency: str, *, pointed: bool) -> str:
    decimals = decimals_of(currency)
    whole, cents = divmod(abs(minor), 10**decimals)
    text = f"{whole:,}" if pointed else f"{whole:,}".replace(",", ".")
    if decimals and (cents or currency not in _ROUND_PRICES):
        text += f"{'.' if pointed else ','}{cents:0{decimals}d}"
    return f"-{text}" if minor < 0 else text
