"""The router's HTTP surface: Meta's challenge, webhooks, health, readiness, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import structlog
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from comanda_contract.names import DEFAULT_APP, HEALTH_PATH, READY_PATH
from comanda_router.apps import Apps
from comanda_router.dead_letters import DeadLetters
from comanda_router.deliver import Lines
from comanda_router.places import Places
from comanda_router.settings import RouterSettings
from comanda_router.webhook import WebhookReceiver

_log = structlog.get_logger()


class RouterApp:
    """The ASGI app: webhooks go straight to their receiver, everything else through FastAPI."""

    def __init__(self, surface: ASGIApp, receiver: WebhookReceiver | None = None) -> None:
        self._surface = surface
        self.receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one connection event."""
        if scope["type"] == "http" and scope["method"] == "POST" and self.receiver is not None:
            await self.receiver(scope, receive, send)
        else:
            await self._surface(scope, receive, send)


def create_app(settings: RouterSettings) -> RouterApp:
    """Return the ASGI app of one router; starting it loads the directory and the apps' secrets."""
    apps = Apps(settings.apps_dir)
    places = Places(settings.directory_file)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
            lines = Lines(session, bytes.fromhex(settings.master_key.get_secret_value()), settings.deadline_seconds)
            dead_letters = DeadLetters(settings.dead_letters_dir, settings.dead_letters_bytes)
            router.receiver = WebhookReceiver(apps, places, lines, dead_letters, settings.deadline_seconds)
            _refresh(apps, places)
            refreshing = asyncio.create_task(_keep_fresh(apps, places, settings.reload_seconds), name="refresh")
            _log.info("router_started", apps=len(places.directory.apps), numbers=len(places.directory.numbers))
            yield
            refreshing.cancel()
            await asyncio.gather(refreshing, return_exceptions=True)

    surface = FastAPI(title="Comanda router", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    router = RouterApp(surface)

    @surface.get("/webhook")
    @surface.get("/webhook/{app}")
    async def challenge(request: Request, app: str = DEFAULT_APP) -> Response:
        """Answer Meta's challenge, which comes whenever the callback is set in the dashboard."""
        query = request.query_params
        known = apps.get(app)
        token = query.get("hub.verify_token", "").encode()
        if known is None or query.get("hub.mode") != "subscribe" or not known.accepts_token(token):
            return PlainTextResponse("The verify token is not this app's.", status_code=403)
        return PlainTextResponse(query.get("hub.challenge", ""))

    @surface.get(HEALTH_PATH)
    async def healthz() -> Response:
        """Answer while the event loop turns."""
        return PlainTextResponse("ok")

    @surface.get(READY_PATH)
    async def readyz() -> Response:
        """Tell whether the directory is loaded; without one, every webhook would be an unknown number."""
        body = {"ready": places.loaded, "generation": places.directory.generation}
        return JSONResponse(body, status_code=200 if places.loaded else 503)

    @surface.get("/metrics")
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def _refresh(apps: Apps, places: Places) -> None:
    # Secrets first: a number whose app is not known yet would be refused.
    apps.refresh()
    places.refresh()


async def _keep_fresh(apps: Apps, places: Places, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            _refresh(apps, places)
        except OSError as error:
            _log.error("refresh_failed", error=str(error))
