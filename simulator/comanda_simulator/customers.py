"""Who the customers are: phone, business-scoped user id, name, and when each last wrote to a number.

A user id belongs to a person and a business portfolio; here an account (WABA) is its own portfolio.
"""

from __future__ import annotations

import hashlib

import msgspec

from comanda_contract.cloud import limits

_COUNTRIES = {
    "1": "US",
    "33": "FR",
    "34": "ES",
    "39": "IT",
    "44": "GB",
    "49": "DE",
    "51": "PE",
    "52": "MX",
    "54": "AR",
    "55": "BR",
    "56": "CL",
    "57": "CO",
    "58": "VE",
    "91": "IN",
    "351": "PT",
    "503": "SV",
    "506": "CR",
    "591": "BO",
    "593": "EC",
    "595": "PY",
    "598": "UY",
}
"""Calling codes whose country a user id names; others get ZZ, the code for an unknown territory."""


class Customer(msgspec.Struct, frozen=True):
    """One person as one account knows them; phone or user id may be unknown, not both."""

    phone: str = ""
    user_id: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        """What the ledger and the limits call this customer: the phone when known, else the user id."""
        return self.phone or self.user_id


def derive_user_id(waba_id: str, phone: str) -> str:
    """Return the business-scoped user id of a phone within an account: country, dot, 20 letters and digits."""
    country = next((name for code, name in _COUNTRIES.items() if phone.startswith(code)), "ZZ")
    return f"{country}.{hashlib.sha256(f'{waba_id}/{phone}'.encode()).hexdigest()[:20].upper()}"


class Customers:
    """Everybody who has written so far."""

    def __init__(self) -> None:
        self._by_phone: dict[tuple[str, str], Customer] = {}
        self._by_user_id: dict[tuple[str, str], Customer] = {}
        self._wrote: dict[tuple[str, str], float] = {}

    def remember(self, waba_id: str, written: Customer, *, derive: bool) -> Customer:
        """Merge what a message says about its sender with what is known, and return both together.

        `derive` gives a customer known by phone alone a user id.
        """
        known = self.find(waba_id, phone=written.phone, user_id=written.user_id)
        phone = written.phone or known.phone
        user_id = written.user_id or known.user_id
        if derive and not user_id:
            user_id = derive_user_id(waba_id, phone)
        customer = Customer(phone, user_id, written.name or known.name)
        if customer != known:
            if phone:
                self._by_phone[waba_id, phone] = customer
            if user_id:
                self._by_user_id[waba_id, user_id] = customer
        return customer

    def find(self, waba_id: str, *, phone: str = "", user_id: str = "") -> Customer:
        """Return the known customer with this phone or user id, or one who is known by just that."""
        found = self._by_phone.get((waba_id, phone)) if phone else self._by_user_id.get((waba_id, user_id))
        return found if found is not None else Customer(phone, user_id)

    def wrote(self, phone_number_id: str, customer: str, at: float) -> None:
        """Note that a customer wrote to a number; an older message does not shorten the window."""
        pair = (phone_number_id, customer)
        self._wrote[pair] = max(at, self._wrote.get(pair, 0.0))

    def window_open(self, phone_number_id: str, customer: str, now: float) -> bool:
        """Tell whether the customer wrote to the number within the last 24 hours."""
        return now - self._wrote.get((phone_number_id, customer), float("-inf")) < limits.WINDOW_SECONDS
