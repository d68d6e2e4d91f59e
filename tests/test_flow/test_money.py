from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_flow import money
from comanda_flow.money import decimals_of, to_minor


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "text"),
    [
        (12990, "CLP", "es-CL", "$ 12.990"),
        (12990, "CLP", "en", "$12,990"),
        (0, "CLP", "es-CL", "$ 0"),
        (-500, "CLP", "es-CL", "$ -500"),
        (1250, "USD", "es-EC", "US$ 12,50"),
        (1250, "USD", "en-US", "$12.50"),
        (123456, "BRL", "pt-BR", "R$ 1.234,56"),
        (123456, "MXN", "es-MX", "$ 1,234.56"),
        (123450, "PEN", "es-PE", "S/ 1,234.50"),
        (2500000, "COP", "es-CO", "$ 25.000"),
        (2500050, "ARS", "es-AR", "$ 25.000,50"),
        (1250, "EUR", "es-ES", "12,50 €"),
        (1250, "EUR", "en-IE", "€12.50"),
        (1250, "XYZ", "es", "XYZ 12,50"),
        (1250, "BHD", "en", "BHD 1.250"),
    ],
)
def test_amount_is_written_as_people_do(minor: int, currency: str, locale: str, text: str) -> None:
    assert money(minor, currency, locale) == text


@given(st.integers(0, 10**12), st.sampled_from(["CLP", "USD", "BHD"]))
def test_minor_units_of_a_decimal_are_exact(minor: int, currency: str) -> None:
    assert to_minor(Decimal(minor).scaleb(-decimals_of(currency)), currency) == minor


def test_fraction_of_a_minor_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="USD has 2 decimals"):
        to_minor(Decimal("1.005"), "USD")
