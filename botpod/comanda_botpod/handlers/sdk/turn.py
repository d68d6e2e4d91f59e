"""One turn of a handler: facts and a function in, effects out. The worker runs it, and so does the test helper."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import msgspec

from comanda_botpod.handlers.sdk.context import Context, Customer, Log, Write
from comanda_botpod.handlers.sdk.gathered import EFFECTS_BYTES, STATE_BYTES, Effects, Gathered, UsageError
from comanda_botpod.handlers.sdk.media import Media, Transfers
from comanda_botpod.handlers.sdk.message import Message, message_of
from comanda_botpod.handlers.sdk.orders import Fetch, Orders
from comanda_botpod.handlers.sdk.plain import plain_json
from comanda_botpod.handlers.sdk.send import Send
from comanda_contract.cloud.messages_in import parse_contact
from comanda_flow import Restaurant

HTTP_SECONDS = 5.0
"""Total limit of a call through `Context.http`, unless the call sets its own."""

_effects = msgspec.json.Decoder(Effects)

HandlerFunction = Callable[[Context, Message], Awaitable[None]]
"""What a bot developer writes: `async def handle(context: Context, message: Message) -> None`."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn is about, as it crosses the process border. `payload` and `contact` are JSON text, as stored."""

    message_id: str
    type: str
    payload: str
    contact: str
    sent_at_ms: int
    now_ms: int
    phone: str = ""
    user_id: str = ""
    state: str = ""
    """JSON text; empty when the conversation remembers nothing."""


@dataclass(frozen=True)
class Services:
    """What a turn uses that is not its own: where calls go, who knows past orders and files, where events go."""

    http: aiohttp.ClientSession
    fetch: Fetch
    files: Transfers
    write: Write


async def run_turn(
    handler: HandlerFunction, tenant: str, restaurant: Restaurant, facts: Facts, services: Services
) -> Effects:
    """Run a handler on one message. Raises what it raises, and `UsageError` for what cannot be kept or sent."""
    gathered = Gathered()
    now = datetime.fromtimestamp(facts.now_ms / 1000, UTC).astimezone(restaurant.hours.zone)
    context = Context(
        tenant=tenant,
        now=now,
        customer=Customer(parse_contact(facts.contact.encode()).name, facts.phone, facts.user_id),
        menu=restaurant,
        state=msgspec.json.decode(facts.state, type=dict) if facts.state else {},
        send=Send(gathered),
        orders=Orders(gathered, restaurant, now, facts.message_id, services.fetch),
        media=Media(gathered, services.files),
        http=services.http,
        log=Log(services.write),
        gathered=gathered,
    )
    try:
        await handler(context, message_of(facts.type, facts.payload, facts.message_id, facts.sent_at_ms))
        return _checked(gathered.effects(plain_json("state", context.state, STATE_BYTES)))
    finally:
        gathered.over = True


def _checked(effects: Effects) -> Effects:
    """Return effects as the pod will read them: what it would not take fails here, in this turn alone."""
    try:
        content = msgspec.json.encode(effects)
        checked = _effects.decode(content)
    except msgspec.ValidationError as error:
        raise UsageError("", f"what the handler asks for has a wrong type: {error}") from None
    except UnicodeEncodeError:
        raise UsageError("send", "holds a text that is no Unicode") from None
    except RecursionError:
        raise UsageError("send", "is nested too deep") from None
    if len(content) > EFFECTS_BYTES:
        rule = f"the turn has {len(content) // 1024} KiB as JSON, {EFFECTS_BYTES // 1024} are allowed"
        raise UsageError("send", rule)
    return checked


def http_session() -> aiohttp.ClientSession:
    """Open the session of `Context.http`: every call is limited, and no customer's cookie reaches the next one."""
    timeout = aiohttp.ClientTimeout(total=HTTP_SECONDS)
    return aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
