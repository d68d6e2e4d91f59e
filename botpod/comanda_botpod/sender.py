"""One send to the Graph API: within the number's rate, with a limit on time, and an outcome decided by Meta's table."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

import aiohttp
import msgspec
import structlog

from comanda_botpod.read import CALLBACK_PREFIX
from comanda_botpod.tenants import Tenant
from comanda_contract.cloud.graph_errors import Rule, parse_error, rule_for
from comanda_contract.names import redacted
from comanda_store import Begun, PendingSend

_log = structlog.get_logger()

AttemptOutcome = Literal["sent", "retry", "unknown", "failed", "stop_tenant"]
CONNECT_SECONDS = 3.0
NOT_TAKEN = frozenset({429, 503})
"""HTTP answers without an error code that say the request was not taken; any other is of unknown outcome."""
_RETRY = Rule("retry", 0.25)
_LONGEST_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended; `wait_seconds` is set for `retry`.

    `pause_ms` holds the whole number; `unreachable` and `sends_to` are learnt of the customer, as in `SendResult`.
    """

    outcome: AttemptOutcome
    wamid: str = ""
    error_code: int = 0
    wait_seconds: float = 0.0
    pause_ms: int = 0
    unreachable: int | None = None
    sends_to: str = ""


class _Sent(msgspec.Struct, frozen=True):
    id: str


class _Accepted(msgspec.Struct, frozen=True):
    messages: list[_Sent]


_accepted = msgspec.json.Decoder(_Accepted)


class Sender:
    """The one way out to the Graph API: one HTTP session, bounded concurrency, a limit on each call's time."""

    def __init__(self, session: aiohttp.ClientSession, graph_url: str, *, at_once: int, timeout_seconds: float) -> None:
        self._session = session
        self._graph_url = graph_url.rstrip("/")
        self._slots = asyncio.Semaphore(at_once)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=CONNECT_SECONDS)

    @property
    def is_free(self) -> bool:
        """Whether a message handed over now would leave at once."""
        return not self._slots.locked()

    async def send(self, tenant: Tenant, token: str, send: PendingSend, begun: Begun) -> Attempt:
        """Post one message. Never raises for what the network or Meta may do: that is the attempt's outcome."""
        if begun.wait_ms:
            await asyncio.sleep(begun.wait_ms / 1000)  # its place in the number's pace
        url = f"{self._graph_url}/{tenant.settings.graph_version}/{tenant.number}/messages"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = tagged(send.payload, send.outbox_id)
        try:
            async with (
                self._slots,
                self._session.post(url, data=body, headers=headers, timeout=self._timeout) as response,
            ):
                content = await response.read()
                status = response.status
        except aiohttp.ClientConnectorError:
            return _retry(_RETRY, send.attempts)
        except (aiohttp.ClientError, TimeoutError) as error:
            # The request may have arrived. A status will tell, or the message goes out once more after a while.
            _log.warning("send_unknown", message=redacted(str(send.outbox_id)), error=type(error).__name__)
            return Attempt("unknown")
        return self._judge(tenant, send, status, content)

    def _judge(self, tenant: Tenant, send: PendingSend, status: int, content: bytes) -> Attempt:
        if status == 200:
            try:
                return Attempt("sent", wamid=_accepted.decode(content).messages[0].id)
            except (msgspec.MsgspecError, IndexError):
                return Attempt("unknown")
        error = parse_error(content)
        if error is None:
            return _retry(_RETRY, send.attempts) if status in NOT_TAKEN else Attempt("unknown")
        rule = rule_for(error)
        _log.warning(
            "send_refused", tenant=tenant.name, error_code=error.code, action=rule.action, trace=error.fbtrace_id
        )
        if rule.action == "stop_tenant":
            return Attempt("stop_tenant", error_code=error.code)
        if rule.action in {"drop_customer", "drop_message"} or send.attempts >= rule.tries:
            return Attempt("failed", error_code=error.code)
        return _retry(rule, send.attempts, error.code)


def tagged(payload: str, outbox_id: int) -> bytes:
    """Return the body with the outbox id as callback data, so that a status settles a send of unknown outcome."""
    return f'{payload[:-1]},"biz_opaque_callback_data":"{CALLBACK_PREFIX}{outbox_id}"}}'.encode()


def _retry(rule: Rule, attempts: int, error_code: int = 0) -> Attempt:
    base = 4 if rule.action == "slow_pair" else 2
    wait = min(rule.wait_seconds * base ** min(attempts, 10), _LONGEST_RETRY_SECONDS)
    pause_ms = int(wait * 1000) if rule.action == "slow_number" else 0
    return Attempt("retry", error_code=error_code, wait_seconds=wait, pause_ms=pause_ms)
