"""A bot for regulars: it offers to repeat their last order, and hands everything else to the staff.

customer writes            the last order is offered, priced as of today     buttons: again · other
customer taps “again”      the order is placed, and a thank-you comes in 45 minutes
customer taps “other”      a person takes over
customer sends a picture   it goes to the restaurant's own service: proof of a bank transfer, most often
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import cast

from comanda_botpod.handlers.api import (
    Context,
    MediaError,
    Message,
    OrderDraft,
    OrderError,
    OrderWish,
    PastOrder,
    money,
)

THANKS_AFTER = timedelta(minutes=45)


async def handle(context: Context, message: Message) -> None:
    """Answer one message."""
    if message.type == "timer":
        thank(context, message)
    elif message.tapped == "again":
        await place_again(context)
    elif message.type in {"image", "document"}:
        await pass_on(context, message)
    elif message.tapped == "other":
        hand_over(context)
    else:
        await offer(context)


async def offer(context: Context) -> None:
    """Show the last order at today's prices."""
    wish = await last_wish(context)
    if wish is None:
        hand_over(context)
        return
    try:
        draft = context.orders.quote(wish)
    except OrderError as error:
        context.log.info("not_offered", reason=error.code)
        hand_over(context)
        return
    # What was shown is what may be ordered: a price that changed in between is shown again.
    context.state["quoted"] = draft.total_minor
    greeting = f"¡Hola{', ' + context.customer.name if context.customer.name else ''}! ¿Lo mismo de la última vez?"
    context.send.buttons(f"{greeting}\n\n{bill(context, draft)}", {"again": "Lo mismo", "other": "Otra cosa"})


async def place_again(context: Context) -> None:
    """Order what was offered, unless it changed."""
    wish = await last_wish(context)
    if wish is None:
        hand_over(context)
        return
    try:
        changed = context.orders.quote(wish).total_minor != context.state.get("quoted")
        if changed:
            await offer(context)
            return
        draft = context.orders.place(wish)
    except OrderError as error:
        context.log.info("not_placed", reason=error.code)
        hand_over(context)
        return
    context.state.pop("quoted", None)
    context.schedule(THANKS_AFTER, {"code": draft.code})
    context.send.text(f"¡Listo! Tu pedido es el *{draft.code}*.\n\n{bill(context, draft)}")


def thank(context: Context, message: Message) -> None:
    """Say thank you, once the food should be there."""
    payload = cast("dict[str, str]", message.payload)
    context.send.text(f"¿Qué tal tu pedido {payload['code']}? Gracias por pedir en {context.menu.called('es')}.")


async def pass_on(context: Context, message: Message) -> None:
    """Give a picture or document to the restaurant's own service, and the customer to a person."""
    try:
        file = await context.media.fetch()
    except MediaError as error:
        if error.again:
            raise  # the turn is tried again
        context.send.text("No pude abrir tu archivo. ¿Me lo mandas de nuevo?")
        return
    # The turn may be repeated; by the message's id the service can tell.
    headers = {"Content-Type": file.mime_type, "Idempotency-Key": message.id}
    async with context.http.post(os.environ["RECEIPTS_URL"], data=file.content, headers=headers) as answer:
        answer.raise_for_status()
    hand_over(context)


def hand_over(context: Context) -> None:
    """Let the staff answer."""
    context.state.pop("quoted", None)
    context.handover()
    context.send.text("Te atiende una persona en un momento.")


async def last_wish(context: Context) -> OrderWish | None:
    """Return the customer's last order as a wish for today; None when not all of it is to be had."""
    past: PastOrder | None = next(iter(await context.orders.recent()), None)
    if past is None:
        return None
    lines = context.orders.again(past)
    if len(lines) < len(past.lines):
        return None
    return OrderWish(
        lines=lines,
        fulfilment=past.fulfilment,
        customer_name=context.customer.name,
        address=past.address,
        latitude=past.latitude,
        longitude=past.longitude,
    )


def bill(context: Context, draft: OrderDraft) -> str:
    """Write an order's lines and its total."""
    menu = context.menu
    lines = [f"{line.quantity} × {line.name}{f' ({line.options})' if line.options else ''}" for line in draft.lines]
    return "\n".join([*lines, f"Total {money(draft.total_minor, menu.currency, menu.locale)}"])
