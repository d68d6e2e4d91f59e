"""Countries: their calling codes, and the market of Meta's rate cards they belong to.

A phone number gives its country by its first digits, a business-scoped user id by its first two letters. Markets are
those of Meta's rate cards of July 2026: many countries are a market of their own, the others share one. Later cards
single out more countries; a rate table does so with a row that names the country (`pricing.py`).
"""

from __future__ import annotations

import re

import msgspec


class Country(msgspec.Struct, frozen=True):
    """A country: ISO 3166 alpha-2 code, calling code, English name, and its market ("" when Meta names none)."""

    iso: str
    calling_code: str
    name: str
    market: str


OTHER_MARKET = "Other"
NORTH_AMERICA = "North America"
LATIN_AMERICA = "Rest of Latin America"

_OWN_MARKET = """
    20 EG Egypt, 27 ZA South Africa, 31 NL Netherlands, 33 FR France, 34 ES Spain, 36 HU Hungary, 39 IT Italy,
    40 RO Romania, 44 GB United Kingdom, 48 PL Poland, 49 DE Germany, 51 PE Peru, 52 MX Mexico, 54 AR Argentina,
    55 BR Brazil, 56 CL Chile, 57 CO Colombia, 60 MY Malaysia, 62 ID Indonesia, 65 SG Singapore, 7 RU Russia,
    852 HK Hong Kong, 90 TR Turkey, 91 IN India, 92 PK Pakistan, 234 NG Nigeria, 966 SA Saudi Arabia,
    971 AE United Arab Emirates, 972 IL Israel, 974 QA Qatar
"""

_SHARED_MARKETS = {
    "Rest of Africa": """
        211 SS South Sudan, 212 MA Morocco, 213 DZ Algeria, 216 TN Tunisia, 218 LY Libya, 220 GM Gambia,
        221 SN Senegal, 222 MR Mauritania, 223 ML Mali, 225 CI Ivory Coast, 226 BF Burkina Faso, 227 NE Niger,
        228 TG Togo, 229 BJ Benin, 231 LR Liberia, 232 SL Sierra Leone, 233 GH Ghana, 235 TD Chad, 237 CM Cameroon,
        241 GA Gabon, 242 CG Congo, 244 AO Angola, 245 GW Guinea-Bissau, 249 SD Sudan, 250 RW Rwanda,
        251 ET Ethiopia, 252 SO Somalia, 254 KE Kenya, 255 TZ Tanzania, 256 UG Uganda, 257 BI Burundi,
        258 MZ Mozambique, 260 ZM Zambia, 261 MG Madagascar, 263 ZW Zimbabwe, 264 NA Namibia, 265 MW Malawi,
        266 LS Lesotho, 267 BW Botswana, 268 SZ Eswatini, 291 ER Eritrea
    """,
    "Rest of Asia Pacific": """
        61 AU Australia, 63 PH Philippines, 64 NZ New Zealand, 66 TH Thailand, 675 PG Papua New Guinea, 81 JP Japan,
        84 VN Vietnam, 855 KH Cambodia, 856 LA Laos, 86 CN China, 880 BD Bangladesh, 886 TW Taiwan, 93 AF Afghanistan,
        94 LK Sri Lanka, 976 MN Mongolia, 977 NP Nepal, 992 TJ Tajikistan, 993 TM Turkmenistan, 998 UZ Uzbekistan
    """,
    "Rest of Central & Eastern Europe": """
        30 GR Greece, 355 AL Albania, 359 BG Bulgaria, 370 LT Lithuania, 371 LV Latvia, 373 MD Moldova,
        374 AM Armenia, 375 BY Belarus, 380 UA Ukraine, 381 RS Serbia, 385 HR Croatia, 386 SI Slovenia,
        389 MK North Macedonia, 420 CZ Czech Republic, 421 SK Slovakia, 994 AZ Azerbaijan, 995 GE Georgia
    """,
    "Rest of Western Europe": """
        32 BE Belgium, 351 PT Portugal, 353 IE Ireland, 358 FI Finland, 41 CH Switzerland, 43 AT Austria,
        45 DK Denmark, 46 SE Sweden, 47 NO Norway
    """,
    "Rest of Middle East": """
        961 LB Lebanon, 962 JO Jordan, 964 IQ Iraq, 965 KW Kuwait, 967 YE Yemen, 968 OM Oman, 973 BH Bahrain
    """,
    LATIN_AMERICA: """
        502 GT Guatemala, 503 SV El Salvador, 504 HN Honduras, 505 NI Nicaragua, 506 CR Costa Rica, 507 PA Panama,
        509 HT Haiti, 58 VE Venezuela, 591 BO Bolivia, 593 EC Ecuador, 595 PY Paraguay, 598 UY Uruguay
    """,
    NORTH_AMERICA: "1 US United States",
    OTHER_MARKET: """
        53 CU Cuba, 82 KR South Korea, 95 MM Myanmar, 98 IR Iran, 224 GN Guinea, 230 MU Mauritius,
        236 CF Central African Republic, 238 CV Cape Verde, 239 ST Sao Tome and Principe, 240 GQ Equatorial Guinea,
        243 CD Congo (Kinshasa), 246 IO British Indian Ocean Territory, 248 SC Seychelles, 253 DJ Djibouti,
        262 RE Reunion, 269 KM Comoros, 290 SH Saint Helena, 297 AW Aruba, 298 FO Faroe Islands, 299 GL Greenland,
        350 GI Gibraltar, 352 LU Luxembourg, 354 IS Iceland, 356 MT Malta, 357 CY Cyprus, 372 EE Estonia,
        376 AD Andorra, 377 MC Monaco, 378 SM San Marino, 382 ME Montenegro, 383 XK Kosovo,
        387 BA Bosnia and Herzegovina, 423 LI Liechtenstein, 500 FK Falkland Islands, 501 BZ Belize,
        508 PM Saint Pierre and Miquelon, 590 GP Guadeloupe, 592 GY Guyana, 594 GF French Guiana, 596 MQ Martinique,
        597 SR Suriname, 599 CW Curacao, 670 TL Timor-Leste, 672 NF Norfolk Island, 673 BN Brunei, 674 NR Nauru,
        676 TO Tonga, 677 SB Solomon Islands, 678 VU Vanuatu, 679 FJ Fiji, 680 PW Palau, 681 WF Wallis and Futuna,
        682 CK Cook Islands, 683 NU Niue, 685 WS Samoa, 686 KI Kiribati, 687 NC New Caledonia, 688 TV Tuvalu,
        689 PF French Polynesia, 690 TK Tokelau, 691 FM Micronesia, 692 MH Marshall Islands, 850 KP North Korea,
        853 MO Macao, 960 MV Maldives, 963 SY Syria, 970 PS Palestine, 975 BT Bhutan, 996 KG Kyrgyzstan
    """,
    # Which market Meta counts these under is not known to us: no price is better than a wrong one.
    "": """
        76 KZ Kazakhstan, 77 KZ Kazakhstan,
        1242 BS Bahamas, 1246 BB Barbados, 1264 AI Anguilla, 1268 AG Antigua and Barbuda,
        1284 VG British Virgin Islands, 1340 VI US Virgin Islands, 1345 KY Cayman Islands, 1441 BM Bermuda,
        1473 GD Grenada, 1649 TC Turks and Caicos Islands, 1664 MS Montserrat, 1670 MP Northern Mariana Islands,
        1671 GU Guam, 1684 AS American Samoa, 1721 SX Sint Maarten, 1758 LC Saint Lucia, 1767 DM Dominica,
        1784 VC Saint Vincent and the Grenadines, 1868 TT Trinidad and Tobago, 1869 KN Saint Kitts and Nevis
    """,
}

_AREA_CODES = {
    # Three countries of +1 that Meta counts as Latin America.
    ("DO", "Dominican Republic", LATIN_AMERICA): "809 829 849",
    ("JM", "Jamaica", LATIN_AMERICA): "658 876",
    ("PR", "Puerto Rico", LATIN_AMERICA): "787 939",
    ("CA", "Canada", NORTH_AMERICA): """
        204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 387 403 416 418 428 431 437 438 450 460 468 474
        506 514 519 548 568 579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873
        879 902 905 942
    """,
}

_SAME_CODE = {
    "AX": "FI",
    "BL": "GP",
    "BQ": "CW",
    "CC": "AU",
    "CX": "AU",
    "EH": "MA",
    "GG": "GB",
    "IM": "GB",
    "JE": "GB",
    "MF": "GP",
    "SJ": "NO",
    "VA": "IT",
    "YT": "RE",
}
"""Countries that share another's calling code; Meta prices by calling code."""

_ENTRY = re.compile(r"(\d+) ([A-Z]{2}) (.+)")
_USER_ID = re.compile(r"([A-Z]{2})\.[A-Za-z0-9.]+")
_LONGEST_PREFIX = 4
_LONGEST_NUMBER = 15
"""Digits of a phone number at the most (E.164); a group's id, which stands in the same place of a status, has more."""


def _entries(table: str, market: str) -> list[Country]:
    countries = []
    for entry in table.split(","):
        match = _ENTRY.fullmatch(" ".join(entry.split()))
        if match is None:
            message = f"no country: {entry!r}"
            raise ValueError(message)
        code, iso, name = match.groups()
        countries.append(Country(iso, code, name, market or name))
    return countries


def _by_prefix() -> dict[str, Country]:
    countries = _entries(_OWN_MARKET, "")
    for market, table in _SHARED_MARKETS.items():
        countries += [msgspec.structs.replace(country, market=market) for country in _entries(table, market)]
    for (iso, name, market), area_codes in _AREA_CODES.items():
        countries += [Country(iso, f"1{area}", name, market) for area in area_codes.split()]
    return {country.calling_code: country for country in countries}


_PREFIXES = _by_prefix()
_COUNTRIES = {country.iso: country for country in _PREFIXES.values()}

MARKETS = frozenset(name for country in _COUNTRIES.values() for name in (country.market, country.name) if name)
"""Every name that a rate table may give as a market: Meta's markets, and each country by itself."""


def country_of_phone(digits: str) -> Country | None:
    """Return the country of a phone number (digits with calling code, no plus); None when the digits name none."""
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _LONGEST_NUMBER:
        return None
    for length in range(_LONGEST_PREFIX, 0, -1):
        country = _PREFIXES.get(digits[:length])
        if country is not None:
            return country
    return None


def country_of_user_id(user_id: str) -> Country | None:
    """Return the country of a business-scoped user id, such as `CL.A1b2`; None when its prefix names none."""
    match = _USER_ID.fullmatch(user_id)
    if match is None:
        return None
    iso = match.group(1)
    return _COUNTRIES.get(_SAME_CODE.get(iso, iso))
