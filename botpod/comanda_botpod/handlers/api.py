"""What a bot developer imports to write a handler.

A handler is a coroutine function, an entry point of the group `comanda.handlers`:

    from comanda_botpod.handlers.api import Context, Message

    async def handle(context: Context, message: Message) -> None:
        context.state["visits"] = context.state.get("visits", 0) + 1
        context.send.text(f"Welcome to {context.menu.called('en')}!")

It is called once for each message of a conversation, one at a time; conversations run side by side. What it asks for
is written in one transaction when it returns. When it raises, nothing is written, and it is called again for the same
message, up to five times. The guide is `docs/handlers.md`; `comanda_botpod.handlers.testing` runs a handler in a test.
"""

from __future__ import annotations

from comanda_botpod.handlers.sdk.context import Context, Customer, Log
from comanda_botpod.handlers.sdk.gathered import OrderWish, UsageError
from comanda_botpod.handlers.sdk.media import File, Media, MediaError
from comanda_botpod.handlers.sdk.message import Message
from comanda_botpod.handlers.sdk.orders import OrderError, Orders, PastLine, PastOrder
from comanda_botpod.handlers.sdk.send import Send
from comanda_botpod.handlers.sdk.turn import HandlerFunction
from comanda_botpod.media_errors import MediaRefusedError
from comanda_contract.cloud.messages_out import MessageLimitError, Row, Section
from comanda_flow import CartLine, OrderDraft, Restaurant, money

__all__ = [
    "CartLine",
    "Context",
    "Customer",
    "File",
    "HandlerFunction",
    "Log",
    "Media",
    "MediaError",
    "MediaRefusedError",
    "Message",
    "MessageLimitError",
    "OrderDraft",
    "OrderError",
    "OrderWish",
    "Orders",
    "PastLine",
    "PastOrder",
    "Restaurant",
    "Row",
    "Section",
    "Send",
    "UsageError",
    "money",
]
