"""The router's HTTP surface: Meta's challenge, webhooks, health, readiness, metrics, and where a number goes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from comanda_contract.directory import Directory
from comanda_contract.names import DEFAULT_APP
from comanda_kube.client import Client
from comanda_kube.kubeconfig import load_config
from comanda_router.apps import Apps
from comanda_router.dead_letters import DeadLetters
from comanda_router.deliver import LineLimits, Lines
from comanda_router.directory.files import FileDirectory
from comanda_router.directory.kubernetes import KubernetesDirectory
from comanda_router.health import Health, add_health_routes, serving_health
from comanda_router.hot import Answers
from comanda_router.metrics import DIRECTORY_AGE, DIRECTORY_STATE, PODS
from comanda_router.places import Places
from comanda_router.plain import PlainWebhooks
from comanda_router.settings import RouterSettings
from comanda_router.webhook import Webhooks

_log = structlog.get_logger()

Use = Callable[[Directory], Awaitable[None]]
"""Puts a directory in force."""


class RouterApp:
    """The ASGI app: webhooks go straight to their receiver, everything else through FastAPI."""

    def __init__(self, surface: ASGIApp, health: Health) -> None:
        self._surface = surface
        self._plain: PlainWebhooks | None = None
        self.health = health
        self.answers = Answers()

    @property
    def webhooks(self) -> Webhooks:
        """What the hot path hands webhooks to; there once the app has started."""
        assert self._plain is not None  # noqa: S101 - no connection is accepted before
        return self._plain.webhooks

    def start(self, webhooks: Webhooks) -> None:
        """Take webhooks from now on."""
        self._plain = PlainWebhooks(webhooks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one connection event."""
        if scope["type"] == "http" and scope["method"] == "POST" and self._plain is not None:
            await self._plain(scope, receive, send)
        else:
            await self._surface(scope, receive, send)


def create_app(settings: RouterSettings, health_listener: socket.socket | None = None) -> RouterApp:
    """Return the ASGI app of one router; starting it loads the directory and the apps' secrets.

    Without a listener for them, the routes for health and administration are the app's own.
    """
    apps = Apps(settings.apps_dir)
    places = Places()
    limits = LineLimits(
        deadline_seconds=settings.deadline_seconds,
        stall_seconds=min(settings.stall_seconds, settings.deadline_seconds / 2),
        waiting_deliveries=settings.pod_queue_deliveries,
        waiting_bytes=settings.pod_queue_bytes,
    )
    lines = Lines(bytes.fromhex(settings.master_key.get_secret_value()), limits)
    health = Health(places, lines)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        dead_letters = DeadLetters(settings.dead_letters_dir, settings.dead_letters_bytes)
        webhooks = Webhooks(apps, places, lines, dead_letters, settings)
        router.start(webhooks)
        lines.start()
        PODS.follow(lines.states)

        async def use(directory: Directory) -> None:
            # Secrets first: a number whose app is not known yet would be refused.
            with suppress(OSError):  # `_keep_fresh` tells of it
                apps.refresh()
            # In a thread: with 100,000 numbers it takes up to a second, in which webhooks go on.
            places.put(await asyncio.to_thread(places.plan, directory))
            webhooks.tidy()

        async with AsyncExitStack() as stack:
            stack.callback(lines.close)
            if settings.directory_file is not None:
                await stack.enter_async_context(
                    _following_file(settings.directory_file, settings.reload_seconds, places, use)
                )
            else:
                await stack.enter_async_context(_following_kubernetes(settings.snapshot_file, places, health, use))
            refreshing = asyncio.create_task(_keep_fresh(apps, settings.reload_seconds), name="secrets")
            stack.push_async_callback(_end, refreshing)
            _log.info("router_started", generation=places.generation, numbers=len(places.entries))
            await stack.enter_async_context(serving_health(partial(add_health_routes, health=health), health_listener))
            yield

    surface = FastAPI(title="Comanda router", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    router = RouterApp(surface, health)

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

    if health_listener is None:
        add_health_routes(surface, health)
    return router


@asynccontextmanager
async def _following_file(file: Path, seconds: float, places: Places, use: Use) -> AsyncIterator[None]:
    followed = FileDirectory(file, use, places.entry)
    DIRECTORY_AGE.follow(lambda: {"file": followed.age_seconds})
    async with followed.following(seconds):
        yield


@asynccontextmanager
async def _following_kubernetes(
    snapshot_file: Path | None, places: Places, health: Health, use: Use
) -> AsyncIterator[None]:
    """Follow the Kubernetes API. Raises `InvalidConfigError` where none is configured."""
    async with Client(load_config(), "comanda-router") as client:
        followed = KubernetesDirectory(client, use, snapshot_file)
        health.condition = lambda: followed.condition
        places.is_doubtful = lambda: not followed.is_fresh
        DIRECTORY_AGE.follow(lambda: {"kubernetes": followed.age_seconds})
        DIRECTORY_STATE.follow(lambda: followed.facts)
        async with followed.following():
            yield


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _keep_fresh(apps: Apps, seconds: float) -> None:
    while True:
        try:
            apps.refresh()
        except OSError as error:
            _log.error("secrets_unreadable", problem=type(error).__name__)
        await asyncio.sleep(seconds)
