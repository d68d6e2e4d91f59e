from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib import resources
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.cloud.countries import MARKETS, country_of_phone, country_of_user_id
from comanda_contract.cloud.free_tier import FREE_SERVICE_MESSAGES_PER_MONTH, forecast_free_tier
from comanda_contract.cloud.pricing import (
    COLUMNS,
    STANDARD_RATES_RESOURCE,
    Price,
    RateTable,
    RateTableError,
    Reason,
    billing_day,
    parse_rates,
    price,
)

HEADER = ",".join(COLUMNS)
CARD = f"""# a card of tests
{HEADER}
2025-07-01,Chile,USD,utility,20000
2025-07-01,Chile,USD,marketing,88900
2026-10-01,Chile,USD,utility,25000
2027-01-01,Chile,USD,utility,30000
2026-10-01,Germany,EUR,utility,45600
2026-10-01,Germany,EUR,service,40000
2026-10-01,India,USD,utility,1400
2026-10-01,India,INR,utility,115000
2026-07-01,Rest of Asia Pacific,USD,utility,11300
2026-10-01,Bangladesh,USD,utility,3700
"""
RATES = parse_rates(CARD)
BEFORE, SINCE = date(2026, 9, 30), date(2026, 10, 1)


def standard_rates() -> RateTable:
    package, name = STANDARD_RATES_RESOURCE
    return parse_rates(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("category", "kind", "model", "market", "at", "micros", "currency", "reason"),
    [
        ("service", "regular", "PMP", "Chile", BEFORE, 0, "", "free_before_october_2026"),
        ("service", "", "PMP", "Chile", BEFORE, 0, "", "free_before_october_2026"),
        ("service", "regular", "PMP", "Chile", SINCE, 25000, "USD", "billed"),
        ("service", "free_customer_service", "PMP", "Chile", SINCE, 0, "", "free_customer_service"),
        ("service", "free_entry_point", "PMP", "Chile", SINCE, 0, "", "free_entry_point"),
        ("service", "free_group_customer_service", "PMP", "Chile", SINCE, 0, "", "free_group_customer_service"),
        ("service", "regular", "PMP", "Germany", SINCE, 40000, "EUR", "billed"),
        ("utility", "regular", "PMP", "Germany", SINCE, 45600, "EUR", "billed"),
        ("utility", "free_customer_service", "PMP", "Chile", BEFORE, 0, "", "free_customer_service"),
        ("utility", "regular", "PMP", "Chile", BEFORE, 20000, "USD", "billed"),
        ("utility", "regular", "PMP", "Chile", SINCE, 25000, "USD", "billed"),
        ("utility", "regular", "PMP", "Chile", date(2026, 12, 31), 25000, "USD", "billed"),
        ("utility", "regular", "PMP", "Chile", date(2027, 1, 1), 30000, "USD", "billed"),
        ("marketing", "regular", "PMP", "Chile", SINCE, 88900, "USD", "billed"),
        ("marketing", "free_entry_point", "PMP", "Chile", SINCE, 0, "", "free_entry_point"),
        ("service", "regular", "CBP", "Chile", SINCE, None, "", "priced_by_conversation"),
        ("service", "regular", "", "Chile", date(2025, 6, 30), None, "", "priced_by_conversation"),
        ("marketing", "regular", "", "Chile", date(2025, 7, 1), 88900, "USD", "billed"),
        ("service", "regular", "XYZ", "Chile", SINCE, None, "", "unknown_model"),
        ("service", "", "PMP", "Chile", SINCE, None, "", "unknown_type"),
        ("service", "free_lunch", "PMP", "Chile", SINCE, None, "", "unknown_type"),
        ("hologram", "regular", "PMP", "Chile", SINCE, None, "", "unknown_category"),
        ("service", "regular", "PMP", "Atlantis", SINCE, None, "", "unknown_market"),
        ("service", "regular", "PMP", "", SINCE, None, "", "unknown_market"),
        ("service", "regular", "PMP", "Peru", SINCE, None, "", "no_rate"),
        ("group_service", "regular", "PMP", "Chile", SINCE, None, "", "no_rate"),
        ("authentication", "regular", "PMP", "Chile", SINCE, None, "", "no_rate"),
        ("utility", "regular", "PMP", "Chile", date(2025, 6, 30), None, "", "priced_by_conversation"),
        # What a status without a timestamp comes to: not free, not known.
        ("service", "regular", "PMP", "Chile", date(1970, 1, 1), None, "", "priced_by_conversation"),
        ("authentication", "regular", "PMP", "Germany", date(2026, 9, 30), None, "", "no_rate"),
        ("utility", "regular", "PMP", "India", SINCE, None, "", "several_currencies"),
    ],
)
def test_what_a_message_costs(
    *, category: str, kind: str, model: str, market: str, at: date, micros: int | None, currency: str, reason: str
) -> None:
    found = price(RATES, category=category, type=kind, pricing_model=model, market=market, at=at)
    assert (found.micros, found.currency, found.reason) == (micros, currency, reason)


@pytest.mark.parametrize(
    ("status", "micros", "reason"),
    [
        ("failed", 0, "failed"),
        ("sent", None, "not_delivered"),
        ("", None, "not_delivered"),
        ("delivered", 25000, "billed"),
        ("read", 25000, "billed"),
        ("played", 25000, "billed"),
    ],
)
def test_only_a_delivered_message_costs(status: str, micros: int | None, reason: str) -> None:
    found = price(
        RATES, category="service", type="regular", pricing_model="PMP", market="Chile", at=SINCE, status=status
    )
    assert (found.micros, found.reason) == (micros, reason)


@pytest.mark.parametrize(("currency", "micros"), [("INR", 115000), ("USD", 1400), ("EUR", None)])
def test_the_accounts_currency_chooses_among_cards(currency: str, micros: int | None) -> None:
    found = price(
        RATES, category="service", type="regular", pricing_model="PMP", market="India", at=SINCE, currency=currency
    )
    assert found.micros == micros


class TestMarkets:
    @pytest.mark.parametrize(
        ("phone", "market"),
        [
            ("56911112222", "Chile"),
            ("12125550123", "North America"),
            ("14165550123", "North America"),
            ("18095550123", "Rest of Latin America"),
            ("18295550123", "Rest of Latin America"),
            ("18765550123", "Rest of Latin America"),
            ("17875550123", "Rest of Latin America"),
            ("12425550123", ""),
            ("447700900123", "United Kingdom"),
            ("254700000000", "Rest of Africa"),
            ("79161234567", "Russia"),
            ("77011234567", ""),
            ("821012345678", "Other"),
            ("99912345678", ""),
            ("120363012345678901", ""),  # a group
            ("5691111222233333", ""),
            ("", ""),
            ("+56911112222", ""),
            ("٥٦911112222", ""),
        ],
    )
    def test_by_phone(self, phone: str, market: str) -> None:
        assert RATES.market_of(country_of_phone(phone), SINCE) == market

    @pytest.mark.parametrize(
        ("user_id", "market"),
        [
            ("CL.A1b2C3", "Chile"),
            ("US.13491208655302741918", "North America"),
            ("US.ENT.118157992128868", "North America"),
            ("DO.1", "Rest of Latin America"),
            ("GG.1", "United Kingdom"),
            ("ZZ.1", ""),
            ("cl.A1", ""),
            ("CL", ""),
            ("CL.", ""),
            ("", ""),
        ],
    )
    def test_by_user_id(self, user_id: str, market: str) -> None:
        assert RATES.market_of(country_of_user_id(user_id), SINCE) == market

    def test_a_country_that_a_card_singles_out_is_its_own_market_from_that_day(self) -> None:
        bangladesh = country_of_phone("8801712345678")
        assert RATES.market_of(bangladesh, BEFORE) == "Rest of Asia Pacific"
        assert RATES.market_of(bangladesh, SINCE) == "Bangladesh"
        assert RATES.market_of(country_of_phone("819012345678"), SINCE) == "Rest of Asia Pacific"

    def test_markets_reasons_and_currencies_fit_their_columns(self) -> None:
        assert max(map(len, MARKETS)) <= 40
        assert max(map(len, get_args(Reason))) <= 40
        assert {len(rate.currency) for rates in standard_rates().rates.values() for rate in rates} == {3}

    @given(st.text("0123456789", max_size=18))
    def test_a_country_is_that_of_the_digits_it_begins_with(self, digits: str) -> None:
        country = country_of_phone(digits)
        assert country is None or digits.startswith(country.calling_code)


class TestReadingATable:
    def test_the_table_that_comes_along_is_sound_and_says_where_the_card_is(self) -> None:
        package, name = STANDARD_RATES_RESOURCE
        text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
        assert "whatsapp/pricing" in text
        assert standard_rates().rates

    @pytest.mark.parametrize(
        ("phone", "micros", "currency"),
        [
            ("919812345678", 115_000, "INR"),
            ("12125550123", 3_400, "USD"),
            ("447700900123", 15_900, "GBP"),
            ("33612345678", 30_000, "USD"),
            ("254700000000", 4_000, "USD"),
        ],
    )
    def test_it_holds_the_samples(self, phone: str, micros: int, currency: str) -> None:
        rates = standard_rates()
        market = rates.market_of(country_of_phone(phone), SINCE)
        found = price(rates, category="service", type="regular", pricing_model="PMP", market=market, at=SINCE)
        assert found == Price(micros, currency, "billed")

    @pytest.mark.parametrize("phone", ["14165550123", "56911112222", "255700000000"])
    def test_a_sample_says_nothing_of_a_neighbour(self, phone: str) -> None:
        rates = standard_rates()
        market = rates.market_of(country_of_phone(phone), SINCE)
        found = price(rates, category="service", type="regular", pricing_model="PMP", market=market, at=SINCE)
        assert found == Price(None, "", "no_rate")

    @pytest.mark.parametrize(
        ("row", "rule"),
        [
            ("2026-10-01,Chile,USD,utility", "has 4 fields"),
            ("2026-10-01,Chile,USD,utility,1,2", "has 6 fields"),
            ("01/10/2026,Chile,USD,utility,1", "valid_from"),
            ("20261001,Chile,USD,utility,1", "valid_from"),
            ("2026-02-30,Chile,USD,utility,1", "valid_from"),
            ("2026-10-01,Chille,USD,utility,1", "is it 'Chile'?"),
            ("2026-10-01,,USD,utility,1", "market"),
            ("2026-10-01,Chile,usd,utility,1", "currency"),
            ("2026-10-01,Chile,USD,utilities,1", "category"),
            ("2026-10-01,Chile,USD,utility,0.0034", "micros"),
            ("2026-10-01,Chile,USD,utility,-1", "micros"),
            ("2026-10-01,Chile,USD,utility,١", "micros"),
            ("2026-10-01,Chile,USD,utility,", "micros"),
            ('2026-10-01,"' + "x" * 200_000 + '",USD,utility,1', "has 0 fields"),
        ],
    )
    def test_a_bad_row_is_refused_with_its_line_and_the_reason(self, row: str, rule: str) -> None:
        with pytest.raises(RateTableError) as raised:
            parse_rates(f"# comment\n\n{HEADER}\n2026-10-01,Peru,USD,utility,1\n{row}\n")
        assert [problem.line for problem in raised.value.problems] == [5]
        assert rule in raised.value.problems[0].rule
        assert "line 5" in str(raised.value)

    def test_every_bad_row_is_named_up_to_ten(self) -> None:
        with pytest.raises(RateTableError) as raised:
            parse_rates(HEADER + "\nx" * 12)
        assert [problem.line for problem in raised.value.problems] == list(range(2, 14))
        assert "and 2 more" in str(raised.value)

    def test_a_row_that_says_the_same_twice_is_refused(self) -> None:
        with pytest.raises(RateTableError, match="line 3: a row above"):
            parse_rates(f"{HEADER}\n2026-10-01,Chile,USD,utility,1\n2026-10-01,Chile,USD,utility,2\n")

    @pytest.mark.parametrize(
        "text", ["", "# only a comment\n", "market,currency\n", "2026-10-01,Chile,USD,utility,1\n"]
    )
    def test_a_table_without_its_columns_is_refused(self, text: str) -> None:
        with pytest.raises(RateTableError, match="the columns must be"):
            parse_rates(text)

    def test_quotes_spaces_and_a_byte_order_mark_of_a_spreadsheet_do_no_harm(self) -> None:
        rates = parse_rates(
            f'\ufeff{HEADER}\r\n2026-10-01, "Chile" ,USD,"utility", 7\r\n'.replace(' "Chile" ', '"Chile"')
        )
        assert rates.valid("Chile", "utility", SINCE)["USD"].micros == 7

    @given(st.text(max_size=200) | st.lists(st.text(max_size=20), max_size=6).map(",".join))
    def test_any_text_is_a_table_or_refused(self, text: str) -> None:
        for content in (text, f"{HEADER}\n{text}"):
            try:
                rates = parse_rates(content).rates.values()
            except RateTableError as error:
                problems = error.problems
            else:
                problems = ()
                assert all(rate.micros >= 0 for row in rates for rate in row)
            assert all(problem.line > 0 and problem.rule for problem in problems)


days = st.dates(date(2025, 1, 1), date(2028, 1, 1))
CATEGORIES = ("service", "utility", "marketing", "authentication", "marketing_lite", "group_utility", "hologram")
TYPES = ("regular", "free_customer_service", "free_entry_point", "free_group_customer_service", "", "other")


class TestLaws:
    @given(
        st.fixed_dictionaries(
            {
                "category": st.sampled_from(CATEGORIES),
                "type": st.sampled_from(TYPES),
                "pricing_model": st.sampled_from(("PMP", "CBP", "", "XYZ")),
                "market": st.sampled_from((*sorted(MARKETS), "Atlantis", "")) | st.just("Chile"),
                "at": days,
                "status": st.sampled_from(("delivered", "read", "played", "sent", "failed", "")),
                "currency": st.sampled_from(("", "USD", "EUR", "INR")),
            }
        )
    )
    def test_a_price_is_never_negative_and_only_regular_costs(self, message: dict[str, Any]) -> None:
        found = price(RATES, **message)
        assert found.micros is None or found.micros >= 0
        if found.micros:
            assert message["type"] == "regular"
            assert found.reason == "billed"
            assert found.currency
            assert message["currency"] in {"", found.currency}

    @given(st.lists(st.tuples(days, st.integers(0, 10**9)), unique_by=lambda row: row[0], max_size=12), days)
    def test_the_rate_in_force_is_the_last_that_has_begun(self, rows: list[tuple[date, int]], at: date) -> None:
        table = parse_rates("\n".join([HEADER, *(f"{day},Chile,USD,utility,{micros}" for day, micros in rows)]))
        begun = [(day, micros) for day, micros in rows if day <= at]
        rate = table.valid("Chile", "utility", at).get("USD")
        assert (rate.micros if rate is not None else None) == (max(begun)[1] if begun else None)

    @given(st.lists(days, unique=True, min_size=1, max_size=8), days, days)
    def test_a_later_day_never_goes_back_to_an_earlier_rate(self, starts: list[date], one: date, other: date) -> None:
        table = parse_rates("\n".join([HEADER, *(f"{day},Chile,USD,utility,1" for day in starts)]))
        chosen = [table.valid("Chile", "utility", day).get("USD") for day in sorted((one, other))]
        begins = [rate.valid_from if rate is not None else date.min for rate in chosen]
        assert begins == sorted(begins)


def test_the_day_that_counts_is_the_accounts_own() -> None:
    at = datetime(2026, 10, 1, 2, 0, tzinfo=UTC).timestamp()
    assert billing_day(at, UTC) == SINCE
    assert billing_day(at, ZoneInfo("America/Santiago")) == BEFORE


class TestForecast:
    santiago = ZoneInfo("America/Santiago")

    def test_a_steady_pace_goes_on(self) -> None:
        forecast = forecast_free_tier(600, datetime(2026, 11, 16, tzinfo=self.santiago))
        assert (forecast.left, forecast.expected, forecast.expected_paid) == (400, 1200, 200)
        assert forecast.runs_out == datetime(2026, 11, 26, tzinfo=self.santiago)

    def test_a_slow_month_stays_free(self) -> None:
        forecast = forecast_free_tier(100, datetime(2026, 11, 16, tzinfo=self.santiago))
        assert (forecast.expected, forecast.expected_paid, forecast.runs_out) == (200, 0, None)

    def test_a_silent_month_costs_nothing(self) -> None:
        forecast = forecast_free_tier(0, datetime(2026, 11, 1, tzinfo=self.santiago))
        assert (forecast.left, forecast.expected, forecast.runs_out) == (FREE_SERVICE_MESSAGES_PER_MONTH, 0, None)

    def test_a_busy_first_hour_counts_as_a_day(self) -> None:
        assert forecast_free_tier(50, datetime(2026, 11, 1, 1, tzinfo=UTC)).expected <= 50 * 31

    @given(
        st.integers(0, 10**6),
        st.datetimes(datetime(2026, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - given a zone
    )
    def test_what_is_used_and_what_is_left_agree(self, delivered: int, now: datetime) -> None:
        forecast = forecast_free_tier(delivered, now)
        assert forecast.left == max(FREE_SERVICE_MESSAGES_PER_MONTH - delivered, 0)
        assert forecast.expected >= delivered
        assert forecast.expected_paid == max(forecast.expected - FREE_SERVICE_MESSAGES_PER_MONTH, 0)
        if forecast.left == 0 and now.day > 1:
            assert forecast.runs_out is not None
            assert forecast.runs_out <= now + timedelta(seconds=1)
