"""What several test rooms need: servers on real ports, signatures, and waiting for things to become true."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

APP_SECRET = "app-secret-of-tests"
PREVIOUS_SECRET = "previous-secret-of-tests"
VERIFY_TOKEN = "verify-token-of-tests"


def sign(body: bytes, secret: str = APP_SECRET) -> str:
    """Return the value of X-Hub-Signature-256."""
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


KEEP_ALIVE_SECONDS = 75


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI app on a free loopback port; yields its URL."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=5,
        # Longer than clients keep a connection: else one that is taken up again may just be ending.
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done())
        if task.done():
            task.result()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


PATIENCE = 3
"""A wait that ends well takes no longer for it, and how fast something is, the benchmarks say."""


async def until(
    condition: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0, what: str = "the condition"
) -> None:
    """Wait until something is true, looking often at first. Raises AssertionError when the limit passes first.

    The limit is what an idle machine needs at most; a busy one is given `PATIENCE` times as long.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE * seconds):
            while True:
                value = condition()
                if value if isinstance(value, bool) else await value:
                    return
                # Each look takes processor time from what is waited for.
                await asyncio.sleep(min(max(0.01, (time.monotonic() - began) / 20), 0.1))
    except TimeoutError:
        message = f"{what} did not become true within {PATIENCE * seconds} s"
        raise AssertionError(message) from None


NOW = int(time.time())
"""When the tests began: what is older than an hour is not answered."""


def text_message(wamid: str, sender: str = "56911112222", text: str = "hola", timestamp: int = NOW) -> dict[str, Any]:
    """Return one item of `messages`."""
    return {"id": wamid, "from": sender, "timestamp": str(timestamp), "type": "text", "text": {"body": text}}


def change(number: str, **value: Any) -> dict[str, Any]:
    """Return one change of field `messages` for a number."""
    metadata = {"display_phone_number": "1", "phone_number_id": number}
    return {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}


def webhook(*changes: dict[str, Any], waba: str = "WABA1") -> dict[str, Any]:
    """Return a webhook body with one entry."""
    return {"object": "whatsapp_business_account", "entry": [{"id": waba, "changes": list(changes)}]}
