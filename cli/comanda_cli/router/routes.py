"""`comanda route`: what a running router says of where a number goes, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from rich.console import Console

from comanda_cli.output import print_rows_under
from comanda_contract.errors import InvalidInputError, UnavailableError
from comanda_router.health import ACCOUNT_PATH, ROUTE_PATH, UNKNOWN_NUMBER

ASK_SECONDS = 5.0
COLUMNS = (("mark", ""), ("pod", "POD"), ("load", "NUMBERS"), ("why", "WHY"))
_WHY = {
    "chosen": "chosen",
    "ready": "ready; behind the chosen one in this number's order",
    "full": "full: it held its bound when this number's turn came",
    "not_ready": "not ready",
    "avoided": "resting: this router cannot reach it now",
}


@dataclass(frozen=True)
class RouterAdmin:
    """The administration side of one router."""

    url: str

    @classmethod
    def of(cls, url: str | None, environment: Mapping[str, str] = os.environ) -> RouterAdmin:
        """Return the router at a URL, or the one whose environment this is; by default the one of `comanda up`."""
        port = environment.get("COMANDA_ROUTER_HEALTH_PORT") or environment.get("COMANDA_ROUTER_PORT") or "8080"
        return cls((url or f"http://127.0.0.1:{port}").rstrip("/"))

    async def route(self, phone_number_id: str) -> Mapping[str, Any]:
        """Return where a number goes and why. Raises `InvalidInputError` for an unknown one, or `UnavailableError`."""
        return await self._get(ROUTE_PATH.format(phone_number_id=quote(phone_number_id, safe="")))

    async def numbers_of(self, app: str, waba_id: str) -> Sequence[str]:
        """Return the numbers of an app in a WhatsApp Business Account. Raises `UnavailableError`."""
        got = await self._get(ACCOUNT_PATH.format(app=quote(app, safe=""), waba_id=quote(waba_id, safe="")))
        numbers: Sequence[str] = got["phone_number_ids"]
        return numbers

    async def _get(self, path: str) -> Mapping[str, Any]:
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self.url + path) as got:
                said: Mapping[str, Any] = await got.json() if got.content_type == "application/json" else {}
                status = got.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnavailableError(
                f"The router at {self.url} does not answer ({type(error).__name__}).",
                hint="Is it running? In a cluster, forward its health port and name it with --admin-url.",
            ) from None
        if said.get("code") == UNKNOWN_NUMBER:
            raise InvalidInputError("", said["message"], hint=said["hint"], code=UNKNOWN_NUMBER)
        if status != 200:
            raise UnavailableError(f"{self.url} answered {status}.", hint="Is that a router's health port?")
        return said


def print_route(route: Mapping[str, Any]) -> None:
    """Print where a number goes, then every pod of its group in the number's order."""
    group, pod = route["group"], route["pod"]
    where = f"{pod} of {group}" if pod is not None else f"no pod of {group}" if group else "no group yet"
    heading = f"[bold]{route['phone_number_id']}[/] → [bold]{where}[/]   tenant {route['tenant']}, app {route['app']}"
    rows = [
        {
            "mark": "→" if each["standing"] == "chosen" else "",
            "pod": each["pod"],
            "load": f"{each['load']} of at most {route['bound']}",
            "why": _WHY[each["standing"]],
        }
        for each in route["candidates"]
    ]
    print_rows_under(heading, COLUMNS, rows)
    if not route["served"]:
        Console().print("Not served now: its webhooks get 503, and Meta sends them again.", style="yellow")
