"""A checker that never fails proves nothing: each finds what breaks its promise, and passes what keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.torture import checkers
from tests.torture.history import History, InboxRow, OrderRow, OutboxRow, Send, Webhook


def good() -> History:
    history = History(seed=0)
    for serial, (number, phone, customer) in enumerate((("11", "561", 1), ("22", "562", 2)), 1):
        tenant = f"t/{number}"
        for step, text in enumerate(("hola", "sí")):
            at, id_ = 10.0 * step + serial, 2 * serial + step
            wamid = f"w{id_}"
            history.webhooks.append(Webhook(wamid, number, phone, text, at, at + 1))
            history.inbox.append(InboxRow(id_, tenant, number, wamid, customer, "done", 1))
            history.outbox.append(OutboxRow(100 + id_, tenant, number, customer, id_, "delivered", 1, 0, "{}"))
            history.sends.append(Send(100 + id_, number, phone, f"token-{number}", f"from {number}", at + 2))
        history.orders.append(OrderRow(serial, tenant, 2 * serial + 1, customer, 100))
        history.phones[customer] = phone
    return history


def drop(name: str, index: int = 0) -> Callable[[History], None]:
    return lambda history: getattr(history, name).pop(index)


def change(name: str, index: int, **values: object) -> Callable[[History], None]:
    def apply(history: History) -> None:
        rows = getattr(history, name)
        rows[index] = replace(rows[index], **values)

    return apply


def again(name: str, index: int, **values: object) -> Callable[[History], None]:
    def apply(history: History) -> None:
        rows = getattr(history, name)
        rows.append(replace(rows[index], **values))

    return apply


def test_a_good_history_passes() -> None:
    assert checkers.judge(good()) == []


@pytest.mark.parametrize(
    ("checker", "fault"),
    [
        (checkers.acknowledged_is_stored, drop("inbox")),
        (checkers.stored_once, again("inbox", 0, id=99)),
        (checkers.stored_is_handled, change("inbox", 0, state="pending")),
        (checkers.stored_is_handled, change("inbox", 0, state="parked", attempts=3)),
        (checkers.handled_is_answered, drop("outbox")),
        (checkers.handled_is_answered, change("outbox", 0, state="queued")),
        (checkers.handled_is_answered, drop("sends")),
        (checkers.handled_is_answered, change("outbox", 0, state="unknown")),
        (checkers.sent_once, again("sends", 0)),
        (checkers.sent_once, drop("outbox")),
        (checkers.sent_in_order, change("sends", 0, at=99.0)),
        (checkers.handled_in_order, change("outbox", 0, id=999)),
        (checkers.ordered_once, drop("orders")),
        (checkers.ordered_once, again("orders", 0, id=99)),
        (checkers.ordered_once, change("orders", 0, inbox=2)),
        (checkers.rows_stay_apart, change("outbox", 0, tenant="t/22")),
        (checkers.rows_stay_apart, change("orders", 0, customer=2)),
        (checkers.sends_stay_apart, change("sends", 0, phone="562")),
        (checkers.sends_stay_apart, change("sends", 0, token="token-22")),
        (checkers.sends_stay_apart, change("sends", 0, body="from 22")),
    ],
)
def test_a_broken_promise_is_found(checker: checkers.Checker, fault: Callable[[History], None]) -> None:
    history = good()
    fault(history)
    assert list(checker(history))


def test_a_wrong_total_is_found() -> None:
    assert list(checkers.ordered_once(good(), total=99))


def test_a_second_send_after_an_unknown_outcome_is_allowed() -> None:
    history = good()
    again("sends", 0, at=50.0)(history)
    change("outbox", 0, ambiguous=1)(history)
    assert checkers.judge(history) == []


@pytest.mark.parametrize(("sent", "kept"), [((2, 1), True), ((1, 1), False), ((1, 2), False)])
def test_only_what_was_sent_first_may_be_handled_before_what_came_first(sent: tuple[int, int], *, kept: bool) -> None:
    history = good()
    change("outbox", 0, id=999)(history)
    for place in (0, 1):
        change("webhooks", place, sent=sent[place])(history)
    assert (list(checkers.handled_in_order(history)) == []) is kept


def test_order_is_judged_between_messages_that_are_not_neighbours() -> None:
    history = good()
    # A third message comes in between and has no turn of its own order to break.
    history.webhooks.append(Webhook("w9", "11", "561", "hola", 5.0, 20.0))
    history.inbox.append(InboxRow(9, "t/11", "11", "w9", 1, "done", 1))
    history.outbox.append(OutboxRow(1000, "t/11", "11", 1, 9, "delivered", 1, 0, "{}"))
    change("outbox", 0, id=999)(history)
    assert list(checkers.handled_in_order(history))
