"""Promises, each a pure function from a history to the ways in which it was broken; no way means that it was kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations, pairwise

from tests.torture.history import History

Checker = Callable[[History], Iterable[str]]
SETTLED = {"sent", "delivered", "read", "failed"}


def acknowledged_is_stored(history: History) -> Iterable[str]:
    """Whatever was acknowledged is in the database."""
    stored = {(row.number, row.wamid) for row in history.inbox}
    for webhook in history.webhooks:
        if webhook.acked and (webhook.number, webhook.wamid) not in stored:
            yield f"{webhook.wamid} was acknowledged and is not stored"


def stored_once(history: History) -> Iterable[str]:
    """However often a message came, it is one row."""
    for key, count in Counter((row.number, row.wamid) for row in history.inbox).items():
        if count > 1:
            yield f"{key[1]} is stored {count} times"


def stored_is_handled(history: History) -> Iterable[str]:
    """Whatever is stored had its turn, or was parked after its five tries."""
    for row in history.inbox:
        if row.state == "pending" or (row.state == "parked" and row.attempts < 5):
            yield f"{row.wamid} is {row.state} after {row.attempts} tries"


def handled_is_answered(history: History) -> Iterable[str]:
    """Every turn's message reached Meta, or is declared to be of unknown outcome; none is left lying."""
    arrived = {send.tag for send in history.sends}
    for row in history.outbox:
        if row.state not in SETTLED | {"unknown"}:
            yield f"message {row.id} is still {row.state}"
        if row.state in SETTLED and row.state != "failed" and row.id not in arrived:
            yield f"message {row.id} is {row.state} and Meta never had it"
        if row.state == "unknown" and not row.ambiguous:
            yield f"message {row.id} is unknown without a reason"
    answered = {row.inbox for row in history.outbox}
    for message in history.inbox:
        if message.state == "done" and message.id not in answered:
            yield f"{message.wamid} was handled and not answered"


def sent_once(history: History) -> Iterable[str]:
    """Meta took each message once; twice only where the outcome was unknown in between, and that is written down."""
    rows = {row.id: row for row in history.outbox}
    for tag, count in Counter(send.tag for send in history.sends).items():
        row = rows.get(tag)
        if row is None:
            yield f"Meta had a message {tag} that is in no outbox"
        elif count > 1 + row.ambiguous:
            yield f"message {tag} was sent {count} times, {row.ambiguous} of them ambiguous"


def sent_in_order(history: History) -> Iterable[str]:
    """The messages to a customer arrive in the order in which they were made."""
    first: dict[int, float] = {}
    for send in history.sends:
        first.setdefault(send.tag, send.at)
    by_customer: dict[int, list[int]] = defaultdict(list)
    for row in history.outbox:
        if row.id in first and not row.ambiguous:
            by_customer[row.customer].append(row.id)
    for rows in by_customer.values():
        for earlier, later in pairwise(sorted(rows)):
            if first[earlier] > first[later]:
                yield f"message {later} arrived before message {earlier}"


def handled_in_order(history: History) -> Iterable[str]:
    """A message acknowledged before the webhook of another one left is handled before it.

    By rule the one that Meta says was sent first goes first if both are pending, whichever came first: then the later
    arrival may be handled before the earlier one, and not otherwise.
    """
    place = {row.inbox: row.id for row in sorted(history.outbox, key=lambda row: -row.id)}
    ids = {(row.number, row.wamid): row.id for row in history.inbox}
    by_phone: dict[tuple[str, str], list[tuple[float, float, int, int]]] = defaultdict(list)
    for webhook in history.webhooks:
        turn = place.get(ids.get((webhook.number, webhook.wamid), 0))
        if webhook.acked and turn is not None:
            by_phone[webhook.number, webhook.phone].append((webhook.begun, webhook.acked, webhook.sent, turn))
    for turns in by_phone.values():
        for (_, acked, sent, turn), (begun, _, later_sent, later) in combinations(sorted(turns), 2):
            if acked < begun and turn > later and sent <= later_sent:
                yield f"the turn of message {later} came before that of message {turn}"


def ordered_once(history: History, confirmation: str = "sí", total: int | None = None) -> Iterable[str]:
    """Each confirmation is one order with the right total, and each order has its confirmation."""
    confirming = {(webhook.number, webhook.wamid) for webhook in history.webhooks if webhook.text == confirmation}
    done = {row.id: row for row in history.inbox if (row.number, row.wamid) in confirming and row.state == "done"}
    for inbox, count in Counter(order.inbox for order in history.orders).items():
        if inbox not in done:
            yield f"an order came of message {inbox}, which confirms nothing"
        if count != 1:
            yield f"message {inbox} became {count} orders"
    for inbox in set(done) - {order.inbox for order in history.orders}:
        yield f"message {inbox} confirmed and became no order"
    for order in history.orders:
        if total is not None and order.total != total:
            yield f"order {order.id} costs {order.total}, not {total}"


def rows_stay_apart(history: History) -> Iterable[str]:
    """No row of one tenant refers to another's."""
    tenants = {row.number: row.tenant for row in history.inbox}
    owner = {row.customer: row.tenant for row in history.inbox}
    messages = {row.id: row for row in history.inbox}
    for row in history.outbox:
        if (tenants[row.number], owner[row.customer], messages[row.inbox].tenant) != (row.tenant,) * 3:
            yield f"message {row.id} of {row.tenant} belongs to another tenant's conversation"
    for order in history.orders:
        if (owner[order.customer], messages[order.inbox].tenant) != (order.tenant,) * 2:
            yield f"order {order.id} of {order.tenant} belongs to another tenant's customer"


def sends_stay_apart(history: History) -> Iterable[str]:
    """No message goes to another's customer, with another's token, or with another's text."""
    numbers = {row.number for row in history.inbox}
    rows = {row.id: row for row in history.outbox}
    for send in history.sends:
        sent = rows.get(send.tag)
        if sent is not None and (send.number, send.phone) != (sent.number, history.phones[sent.customer]):
            yield f"message {send.tag} went to somebody else"
        if send.token != f"token-{send.number}":
            yield f"message {send.tag} went out with another number's token"
        for number in numbers - {send.number}:
            if number in send.body:
                yield f"message {send.tag} names number {number}"


CHECKERS: tuple[Checker, ...] = (
    acknowledged_is_stored,
    stored_once,
    stored_is_handled,
    handled_is_answered,
    sent_once,
    sent_in_order,
    handled_in_order,
    ordered_once,
    rows_stay_apart,
    sends_stay_apart,
)


def judge(history: History) -> list[str]:
    """Return every broken promise, each with the name of its checker."""
    return [f"{checker.__name__}: {problem}" for checker in CHECKERS for problem in checker(history)]
