"""Longer pieces of text that several nodes say: the cart, the opening hours, when the restaurant opens again."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from comanda_contract.cloud.messages_out import shorten
from comanda_flow.pricing import Bill, PricedLine

if TYPE_CHECKING:  # scene.py fills placeholders with these texts
    from comanda_flow.scene import Scene

_CART_LINES = 12
"""The most lines shown; with their lengths below they leave room for a question in Meta's 1,024 characters."""
_LINE_LENGTH = 60
_NAME_LENGTH = 40


def cart_text(scene: Scene, bill: Bill) -> str:
    """Return the lines of a cart and what they come to."""
    shown = [line_text(scene, line) for line in bill.lines[:_CART_LINES]]
    if len(bill.lines) > _CART_LINES:
        shown.append(scene.text("more_lines", count=str(len(bill.lines) - _CART_LINES)))
    return "\n".join([*shown, *sums_text(scene, bill)])


def line_text(scene: Scene, line: PricedLine) -> str:
    """Return one line: quantity, name, choices and remarks, price."""
    details = ", ".join(part for part in (line.options, line.notes) if part)
    name = shorten(line.name, _NAME_LENGTH) + (f" ({details})" if details else "")
    return f"• {line.quantity} × {shorten(name, _LINE_LENGTH)}: {scene.money(line.total_minor)}"


def sums_text(scene: Scene, bill: Bill) -> list[str]:
    """Return the lines under a cart: subtotal and delivery only where they differ from the total."""
    zone = bill.coverage.zone if bill.coverage is not None else None
    if bill.coverage is None or zone is None:
        return [scene.text("total", amount=scene.money(bill.total_minor))]
    key = "delivery_fee_estimated" if bill.coverage.estimated else "delivery_fee" if zone.fee_minor else "delivery_free"
    return [
        scene.text("subtotal", amount=scene.money(bill.subtotal_minor)),
        scene.text(key, amount=scene.money(bill.fee_minor)),
        scene.text("total", amount=scene.money(bill.total_minor)),
    ]


def status_text(scene: Scene) -> str:
    """Say that the restaurant is closed and when it opens."""
    opening = scene.restaurant.hours.next_opening(scene.now)
    if opening is None:
        return scene.text("closed_for_now")
    return scene.text("closed", opening=_opening_text(scene, opening))


def _opening_text(scene: Scene, opening: datetime) -> str:
    today = scene.now.astimezone(scene.restaurant.hours.zone).date()
    time = f"{opening:%H:%M}"
    away = opening.date() - today
    if away < timedelta(days=2):
        return scene.text("opening_tomorrow" if away else "opening_today", time=time)
    if away < timedelta(days=7):
        return scene.text("opening_day", day=_day(scene, opening.weekday()), time=time)
    return scene.text("opening_date", date=f"{opening:%d/%m}", time=time)


def hours_text(scene: Scene) -> str:
    """Return the week's openings, neighbouring days with the same hours on one line."""
    hours = scene.restaurant.hours
    if hours.always:
        return scene.text("always_open")
    lines = []
    for ranges, group in groupby(range(7), key=lambda day: hours.week[day]):
        days = list(group)
        last = f"–{_day(scene, days[-1])}" if len(days) > 1 else ""
        openings = ", ".join(map(str, ranges)) or scene.text("day_off")
        lines.append(f"{_day(scene, days[0])}{last}: {openings}")
    return "\n".join(lines)


def _day(scene: Scene, weekday: int) -> str:
    return scene.text(f"day_{weekday}")
