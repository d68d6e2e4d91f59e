"""From groups of requests to calls of the database's functions, one call a kind, and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeAlias

import asyncpg
import msgspec

from comanda_store.errors import FencedError
from comanda_store.records import (
    Begun,
    Busy,
    Claim,
    EventItem,
    Finished,
    Held,
    InboundItem,
    Ingested,
    Item,
    PendingSend,
    Refused,
    StatusItem,
    TenantScope,
    TurnResult,
)
from comanda_store.requests import (
    AHEAD_MS,
    BEHIND_MS,
    MAX_ATTEMPTS,
    NEAR_MS,
    PAIR_BURST,
    PAIR_MS,
    WINDOW_MS,
    Aliases,
    BeginSend,
    ClaimTurn,
    EndSend,
    FinishTurn,
    Ingest,
    Outcome,
    ReleaseTurn,
    Request,
    Worker,
)

Database: TypeAlias = asyncpg.Connection
_ALIASES_KEPT = 200_000
"""Customers whose ids are remembered between messages; about 30 MB when full."""
_json = msgspec.json.Encoder().encode
_PACES = (WINDOW_MS, PAIR_MS, PAIR_BURST, AHEAD_MS, NEAR_MS, BEHIND_MS)


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, what is known of customers, and, until the commit, what was learnt."""

    worker: Worker
    aliases: Aliases
    learnt: Aliases


_Ingest = Callable[[Database, Call, Any], Awaitable[list[Ingested]]]
Run = Callable[[Database, Call, Sequence[Request]], Awaitable[list[Outcome]]]


def remember(aliases: Aliases, learnt: Aliases) -> None:
    """Keep what a committed group learnt of customers."""
    if len(aliases) > _ALIASES_KEPT:
        aliases.clear()
    aliases.update(learnt)


def is_one_statement(group: Sequence[Request]) -> bool:
    """Tell whether a group is certain to be one call: statuses, messages that link nobody, or one kind of work."""
    kinds = {type(request) for request in group}
    if kinds == {Ingest}:
        items = [item for request in group if isinstance(request, Ingest) for item in request.items]
        return all(isinstance(item, StatusItem) for item in items) or all(map(_is_plain, items))
    return len(kinds) == 1


def _is_plain(item: Item) -> bool:
    """Tell whether an item is a message that changes nothing of who is who."""
    return isinstance(item, InboundItem) and not item.links


async def ingest_all(database: Database, call: Call, group: Sequence[Request]) -> list[Outcome]:
    """Store the items of all `Ingest` requests of a group, in order."""
    items = [item for request in group if isinstance(request, Ingest) for item in request.items]
    answers: list[Ingested] = [Ingested(duplicate=True)] * len(items)
    # Claims lock conversations, and nothing may wait after that: where more is to come they are left to the turns.
    claims = all(isinstance(item, StatusItem) or _is_plain(item) for item in items)
    ingests: Sequence[tuple[type[Item], _Ingest]] = (
        (StatusItem, _ingest_statuses),
        (InboundItem, partial(_ingest_messages, claims=claims)),
        (EventItem, _ingest_events),
    )
    for kind, ingest in ingests:
        places = [place for place, item in enumerate(items) if isinstance(item, kind)]
        if places:
            found = await ingest(database, call, [items[place] for place in places])
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
    rest = iter(answers)
    return [[next(rest) for _ in request.items] for request in group if isinstance(request, Ingest)]


async def _ingest_messages(database: Database, call: Call, items: list[InboundItem], *, claims: bool) -> list[Ingested]:
    known = [_known_customer(call.aliases, item) for item in items]
    rows = await database.fetch(
        "select * from comanda_ingest_and_claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        call.worker.incarnation,
        call.worker.timing.lease_ms,
        MAX_ATTEMPTS,
        [item.tenant for item in items],
        [item.phone_number_id for item in items],
        [item.wamid for item in items],
        known,
        [item.phone for item in items],
        [item.user_id for item in items],
        [_text(item.name) for item in items],
        [item.type[:32] for item in items],
        [item.payload for item in items],
        [item.contact for item in items],
        [item.sent_at for item in items],
        [item.state for item in items],
        [claims and item.at_once for item in items],
    )
    customers, fresh = list(known), [True] * len(items)
    claimed: dict[int, Claim] = {}
    for place, customer, is_fresh, *claim in rows:
        item = items[place - 1]
        if customer is not None:
            customers[place - 1], fresh[place - 1] = customer, is_fresh
            call.learnt.update(dict.fromkeys(_aliases(item), customer))
            continue
        found = _claimed(TenantScope(item.tenant, item.phone_number_id), customers[place - 1], claim)
        if isinstance(found, Claim):
            claimed[place - 1] = found
    answers = [
        Ingested(not is_new, customer if is_new and item.state == "pending" else 0, claimed.get(place))
        for place, (item, customer, is_new) in enumerate(zip(items, customers, fresh, strict=True))
    ]
    for item, answer in zip(items, answers, strict=True):
        if item.links and not answer.duplicate:
            await _link(database, call, item)
    return answers


def _aliases(item: InboundItem) -> list[tuple[str, str, str]]:
    return [(item.tenant, kind, value) for kind, value in (("phone", item.phone), ("user_id", item.user_id)) if value]


def _known_customer(aliases: Aliases, item: InboundItem) -> int:
    names = _aliases(item)
    return aliases[names[0]] if names and all(name in aliases for name in names) else 0


async def _ingest_statuses(database: Database, _call: Call, items: list[StatusItem]) -> list[Ingested]:
    rows = await database.fetch(
        "select * from comanda_ingest_priced_statuses("
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        [item.tenant for item in items],
        [item.phone_number_id for item in items],
        [item.wamid for item in items],
        [item.status[:16] for item in items],
        [item.rank for item in items],
        [item.outbox_id for item in items],
        [item.payload for item in items],
        [item.error_code for item in items],
        [item.category[:40] for item in items],
        [item.pricing_type[:40] for item in items],
        [item.pricing_model[:8] for item in items],
        [item.market for item in items],
        [item.price_micros for item in items],
        [item.price_currency for item in items],
        [item.price_reason for item in items],
    )
    answers = [Ingested(duplicate=True)] * len(items)
    for place, fresh in rows:
        answers[place - 1] = Ingested(duplicate=not fresh)
    return answers


async def _ingest_events(database: Database, call: Call, items: list[EventItem]) -> list[Ingested]:
    answers = []
    for item in items:
        row = (item.tenant, item.phone_number_id, item.key[:160], item.field[:64], item.payload)
        fresh = await database.fetchval("select comanda_ingest_event($1, $2, $3, $4, $5)", *row)
        if fresh:
            await _link(database, call, item)
            for told in item.pauses:
                pause = (item.tenant, told.kind, told.value, told.until, told.wamid)
                await database.execute("select comanda_pause($1, $2, $3, $4, $5)", *pause)
        answers.append(Ingested(duplicate=not fresh))
    return answers


async def _link(database: Database, call: Call, item: InboundItem | EventItem) -> None:
    for told in item.links:
        names = (told.previous_kind, told.previous, told.current_kind, told.current)
        await database.execute("select comanda_link($1, $2, $3, $4, $5)", item.tenant, *names)
        # Whose customer the new name was may have changed: the next message asks the database.
        call.aliases.pop((item.tenant, told.current_kind, told.current), None)
        call.learnt.pop((item.tenant, told.current_kind, told.current), None)


async def work_all(database: Database, call: Call, group: Sequence[Request]) -> list[Outcome]:
    """Run the turns and sends of a group: what ends first, so that what begins sees it."""
    by_kind: dict[type[Request], list[int]] = defaultdict(list)
    for place, request in enumerate(group):
        by_kind[type(request)].append(place)
    outcomes: list[Outcome] = [None] * len(group)
    for kind, run in _WORK.items():
        places = by_kind.get(kind, [])
        if places:
            found = await run(database, call, [group[place] for place in places])
            for place, outcome in zip(places, found, strict=True):
                outcomes[place] = outcome
    return outcomes


async def _end_sends(database: Database, call: Call, requests: list[EndSend]) -> list[None]:
    await database.execute(
        "select comanda_end_sends($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        call.worker.incarnation,
        [request.send.tenant for request in requests],
        [request.send.phone_number_id for request in requests],
        [request.send.outbox_id for request in requests],
        [request.send.customer_id for request in requests],
        [request.result.state for request in requests],
        [request.result.wamid for request in requests],
        [request.result.error_code for request in requests],
        [request.result.unreachable for request in requests],
        [request.result.sends_to for request in requests],
        [request.result.pause_ms for request in requests],
        [request.result.made for request in requests],
    )
    return [None] * len(requests)


async def _begin_sends(database: Database, call: Call, requests: list[BeginSend]) -> list[Begun | Held | Refused]:
    rows = await database.fetch(
        "select * from comanda_begin_sends($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) order by place",
        call.worker.incarnation,
        [request.send.tenant for request in requests],
        [request.send.phone_number_id for request in requests],
        [request.send.outbox_id for request in requests],
        [request.send.customer_id for request in requests],
        [request.pace.per_second for request in requests],
        [request.pace.template for request in requests],
        *_PACES,
    )
    return [_begun(*fields) for _, *fields in rows]


def _begun(outcome: str, wait_ms: int, sends_to: str, unreachable: int) -> Begun | Held | Refused:
    match outcome:
        case "begun":
            return Begun(wait_ms, sends_to, unreachable)
        case "place" | "number" | "customer" as by:
            return Held(wait_ms, by)
        case "closed":
            return Refused("closed")
        case _:
            return Refused("lost")


async def _finish_turns(database: Database, call: Call, requests: list[FinishTurn]) -> list[Finished | FencedError]:
    claims = [request.claim for request in requests]
    results = [request.result for request in requests]
    paces = [request.pace for request in requests]
    rows = await database.fetch(
        "select * from comanda_finish_and_go_on($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::jsonb[],"
        " $14::jsonb[], $15::jsonb[], $16, $17, $18, $19, $20, $21, $22, $23)",
        call.worker.incarnation,
        call.worker.timing.lease_ms,
        MAX_ATTEMPTS,
        [claim.tenant for claim in claims],
        [claim.phone_number_id for claim in claims],
        [claim.inbox_id for claim in claims],
        [claim.customer_id for claim in claims],
        [claim.version for claim in claims],
        [result.state for result in results],
        [result.flow_version for result in results],
        [result.handover_until for result in results],
        [claim.wrote_at for claim in claims],
        [_jsonb(result.messages) for result in results],
        [_order(result) for result in results],
        [_jsonb([asdict(timer) for timer in result.timers]) if result.timers else None for result in results],
        [pace.per_second if pace is not None else None for pace in paces],
        [pace is not None and pace.template for pace in paces],
        *_PACES,
    )
    written: dict[int, Sequence[int] | None] = {}
    following: dict[int, Claim | Busy] = {}
    begun: dict[int, Begun | Held | Refused] = {}
    for number, sends, outcome, wait_ms, sends_to, unreachable, *claim in rows:
        place = number - 1
        if outcome is not None:
            begun[place] = _begun(outcome, wait_ms, sends_to, unreachable)
        elif claim[0] is not None:
            following[place] = _claimed(claims[place].scope, claims[place].customer_id, claim)
        else:
            written[place] = sends
    return [
        FencedError("Another pod has this conversation; the turn was dropped.")
        if (sends := written[place]) is None
        else Finished(_sends(request, sends), following.get(place), begun.get(place))
        for place, request in enumerate(requests)
    ]


def _sends(request: FinishTurn, outbox_ids: Iterable[int]) -> tuple[PendingSend, ...]:
    claim = request.claim
    return tuple(
        PendingSend(outbox_id, claim.tenant, claim.phone_number_id, claim.customer_id, payload, attempts=0)
        for outbox_id, payload in zip(outbox_ids, request.result.messages, strict=True)
    )


def _order(result: TurnResult) -> str | None:
    return _jsonb(asdict(result.order)) if result.order is not None else None


async def _claim_turns(database: Database, call: Call, requests: list[ClaimTurn]) -> list[Claim | Busy | None]:
    return await _claim(database, call, [(request.scope, request.customer) for request in requests])


async def _claim(
    database: Database, call: Call, wanted: Sequence[tuple[TenantScope, int]]
) -> list[Claim | Busy | None]:
    claims: list[Claim | Busy | None] = [None] * len(wanted)
    rows = await database.fetch(
        "select * from comanda_claim($1, $2, $3, $4, $5)",
        call.worker.incarnation,
        call.worker.timing.lease_ms,
        MAX_ATTEMPTS,
        [scope.tenant for scope, _ in wanted],
        [customer for _, customer in wanted],
    )
    for place, *fields in rows:
        scope, customer = wanted[place - 1]
        claims[place - 1] = _claimed(scope, customer, fields)
    return claims


def _claimed(scope: TenantScope, customer: int, fields: Sequence[Any]) -> Claim | Busy:
    is_busy, inbox_id, wamid, type_, payload, contact, sent_at, received_at, attempts, state, *rest = fields
    flow_version, version, handover_until, phone, user_id = rest
    if is_busy:
        return Busy()
    return Claim(
        inbox_id=inbox_id,
        wamid=wamid,
        tenant=scope.tenant,
        phone_number_id=scope.phone_number_id,
        customer_id=customer,
        phone=phone,
        user_id=user_id,
        type=type_,
        payload=payload,
        contact=contact,
        sent_at=sent_at,
        received_at=received_at,
        attempts=attempts,
        state=state,
        flow_version=flow_version,
        version=version,
        handover_until=handover_until,
    )


async def _release_turns(database: Database, call: Call, requests: list[ReleaseTurn]) -> list[None]:
    await database.execute(
        "select comanda_release($1, $2, $3, $4, $5)",
        call.worker.incarnation,
        [request.claim.tenant for request in requests],
        [request.claim.inbox_id for request in requests],
        [_text(request.problem) for request in requests],
        [request.counted for request in requests],
    )
    return [None] * len(requests)


_WORK: dict[type[Request], Callable[[Database, Call, Any], Awaitable[Sequence[Outcome]]]] = {
    EndSend: _end_sends,
    FinishTurn: _finish_turns,
    ReleaseTurn: _release_turns,
    BeginSend: _begin_sends,
    ClaimTurn: _claim_turns,
}


def _text(value: str) -> str:
    """Return a text that PostgreSQL can hold: it has no NUL."""
    return value.replace("\0", "")


def _jsonb(value: Any) -> str:
    return _json(_without_nul(value)).decode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value) if "\0" in value else value
    if isinstance(value, dict):
        return {key: _without_nul(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(each) for each in value]
    return value
