"""One send to the Graph API: within the number's pace, with a limit on time, and an outcome decided by Meta's table."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from typing import Any, Literal

import aiohttp
import msgspec
import structlog

from comanda_botpod import metrics
from comanda_botpod.breaker import Breaker, BreakerSettings
from comanda_botpod.tags import Tags
from comanda_botpod.tenants import Tenant
from comanda_contract.cloud.graph_errors import GraphError, Rule, parse_error, rule_for
from comanda_contract.cloud.phones import sibling_forms
from comanda_contract.names import redacted
from comanda_store import Begun, PendingSend

_log = structlog.get_logger()

AttemptOutcome = Literal["sent", "retry", "unknown", "failed", "stop_tenant"]
CONNECT_SECONDS = 3.0
NOT_TAKEN = frozenset({429, 503})
"""HTTP answers without an error code that say the request was not taken; any other is of unknown outcome."""
_RETRY = Rule("retry", 0.25)
_LONGEST_RETRY_SECONDS = 30.0
_LONGEST_PAIR_SECONDS = 300.0


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
    made: bool = True
    """Whether Meta was called at all; a try that the breaker held back is none."""


class _Sent(msgspec.Struct, frozen=True):
    id: str


class _Accepted(msgspec.Struct, frozen=True):
    messages: list[_Sent]


_accepted = msgspec.json.Decoder(_Accepted)
_Answer = tuple[int, bytes]


class Sender:
    """The one way out to the Graph API: one HTTP session, bounded concurrency, a limit on each call's time.

    When Meta as a whole does not answer, a circuit breaker lets one message try and the others wait.
    """

    def __init__(
        self, session: aiohttp.ClientSession, graph_url: str, tags: Tags, *, at_once: int, timeout_seconds: float
    ) -> None:
        self._session = session
        self._tags = tags
        self._graph_url = graph_url.rstrip("/")
        self._slots = asyncio.Semaphore(at_once)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=CONNECT_SECONDS)
        # A probe is given up only when its call must have ended.
        self._breaker = Breaker(random.random, BreakerSettings(probe_seconds=timeout_seconds + 5))

    @property
    def is_free(self) -> bool:
        """Whether a message handed over now would leave at once."""
        return self._breaker.state == "closed" and not self._slots.locked()

    async def send(self, tenant: Tenant, token: str, send: PendingSend, begun: Begun) -> Attempt:
        """Post one message. Never raises for what the network or Meta may do: that is the attempt's outcome."""
        if begun.wait_ms:
            await asyncio.sleep(begun.wait_ms / 1000)  # its place in the number's pace
        async with self._slots:
            wait = self._breaker.allow(_clock())
            metrics.BREAKER.set(self._breaker.state != "closed")
            if wait:
                return Attempt("retry", wait_seconds=wait, made=False)
            body = tagged(send.payload, self._tags.write(send.outbox_id))
            attempt = await self._try(tenant, token, send, addressed(body, begun.sends_to))
            if attempt.outcome == "failed" and not begun.sends_to and _is_about_the_form(attempt.error_code):
                attempt = await self._try_other_forms(tenant, token, send, body, attempt)
        if attempt.outcome == "sent" and begun.unreachable:
            return replace(attempt, unreachable=0)
        return attempt

    async def _try_other_forms(
        self, tenant: Tenant, token: str, send: PendingSend, body: bytes, refused: Attempt
    ) -> Attempt:
        """Send to the other form of an Argentine, Mexican or Brazilian number, once; what works is remembered."""
        to = str(msgspec.json.decode(send.payload).get("to", ""))
        plus = "+" if to.startswith("+") else ""
        for form in sibling_forms(to.removeprefix("+"))[:1]:
            attempt = await self._try(tenant, token, send, addressed(body, plus + form))
            if attempt.outcome != "failed":
                return replace(attempt, sends_to=plus + form if attempt.outcome == "sent" else "")
        return refused

    async def _try(self, tenant: Tenant, token: str, send: PendingSend, body: bytes) -> Attempt:
        url = f"{self._graph_url}/{tenant.settings.graph_version}/{tenant.number}/messages"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            async with self._session.post(url, data=body, headers=headers, timeout=self._timeout) as response:
                content = await response.read()
                status = response.status
        except aiohttp.ClientConnectorError:
            self._breaker.record(_clock(), ok=False)
            return _retry(_RETRY, send.attempts)
        except (aiohttp.ClientError, TimeoutError) as error:
            # The request may have arrived. A status will tell, or the message goes out once more after a while.
            self._breaker.record(_clock(), ok=False)
            _log.warning("send_unknown", message=redacted(str(send.outbox_id)), error=type(error).__name__)
            return Attempt("unknown")
        return self._judge(tenant, send, (status, content))

    def _judge(self, tenant: Tenant, send: PendingSend, answer: _Answer) -> Attempt:
        status, content = answer
        error = parse_error(content) if status != 200 else None
        rule = rule_for(error) if error is not None else None
        self._breaker.record(_clock(), ok=not rule.outage if rule is not None else status < 500)
        if status == 200:
            try:
                return Attempt("sent", wamid=_accepted.decode(content).messages[0].id)
            except (msgspec.MsgspecError, IndexError):
                return Attempt("unknown")
        if error is None or rule is None:
            return _retry(_RETRY, send.attempts) if status in NOT_TAKEN else Attempt("unknown")
        _log.warning(
            "send_refused", tenant=tenant.name, error_code=error.code, action=rule.action, trace=error.fbtrace_id
        )
        return _ruled(rule, error, send.attempts)


def _ruled(rule: Rule, error: GraphError, attempts: int) -> Attempt:
    """Return what Meta's rule for an error makes of a try."""
    match rule.action:
        case "stop_tenant":
            return Attempt("stop_tenant", error_code=error.code)
        case "hold_tenant":
            # Meta holds the account or the number: everything of it waits, however long it takes.
            wait = rule.wait_seconds
            return Attempt("retry", error_code=error.code, wait_seconds=wait, pause_ms=int(wait * 1000))
        case "drop_customer":
            return Attempt("failed", error_code=error.code, unreachable=error.code)
        case "drop_message" | "window_closed" | "opted_out":
            return Attempt("failed", error_code=error.code)
        case "retry" | "slow_number" | "slow_pair":
            if attempts >= rule.tries:
                return Attempt("failed", error_code=error.code)
            return _retry(rule, attempts, error.code)


def tagged(payload: str, tag: str) -> bytes:
    """Return the body with a tag as callback data, so that a status settles a send of unknown outcome."""
    return f'{payload[:-1]},"biz_opaque_callback_data":"{tag}"}}'.encode()


def addressed(body: bytes, to: str) -> bytes:
    """Return the body, addressed to another form of the same number if one is given."""
    if not to:
        return body
    message: dict[str, Any] = msgspec.json.decode(body)
    return msgspec.json.encode(message | {"to": to}) if "to" in message else body


def _is_about_the_form(error_code: int) -> bool:
    return rule_for(GraphError(code=error_code)).other_form


def _retry(rule: Rule, attempts: int, error_code: int = 0) -> Attempt:
    is_pair = rule.action == "slow_pair"
    wait = rule.wait_seconds * (4 if is_pair else 2) ** min(attempts, 10)
    wait = min(wait, max(rule.wait_seconds, _LONGEST_PAIR_SECONDS if is_pair else _LONGEST_RETRY_SECONDS))
    pause_ms = int(wait * 1000) if rule.action == "slow_number" else 0
    return Attempt("retry", error_code=error_code, wait_seconds=wait, pause_ms=pause_ms)


def _clock() -> float:
    return asyncio.get_running_loop().time()
