"""The pod's HTTP surface: deliveries, health, readiness, metrics."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated

import msgspec
import structlog
from fastapi import FastAPI, Header
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest, start_http_server
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from comanda_botpod.deliveries import DeliveriesEndpoint
from comanda_botpod.moves import serve_moves
from comanda_botpod.pod import Pod, running_pod
from comanda_botpod.settings import BotPodSettings
from comanda_contract.activity import ACTIVITY_PATH, Activity
from comanda_contract.errors import ComandaError
from comanda_contract.names import DELIVERIES_PATH, HEALTH_PATH, READY_PATH

_log = structlog.get_logger()


@asynccontextmanager
async def own_metrics(settings: BotPodSettings) -> AsyncIterator[None]:
    """Serve the metrics on a port of their own, if one is set."""
    if not settings.metrics_port:
        yield
        return
    server, thread = start_http_server(settings.metrics_port, settings.host)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class PodApp:
    """The ASGI app: deliveries go straight to their endpoint, everything else through FastAPI."""

    def __init__(self) -> None:
        self.surface: ASGIApp | None = None
        self.deliveries: DeliveriesEndpoint | None = None
        self.pod: Pod | None = None
        """The running pod; None before start-up."""
        self.refused: ComandaError | None = None
        """Why the pod does not start."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one connection event."""
        is_delivery = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == DELIVERIES_PATH
        if scope["type"] == "lifespan":
            send = partial(self._tell_lifespan, send)
        target = self.deliveries if is_delivery and self.deliveries is not None else self.surface
        assert target is not None  # noqa: S101 - set before the app is handed out
        await target(scope, receive, send)

    async def _tell_lifespan(self, send: Send, message: Message) -> None:
        """Pass a start-up event on; a refusal of ours was logged as a sentence and needs no traceback."""
        if self.refused is not None and message["type"] == "lifespan.startup.failed":
            message = {"type": "lifespan.startup.failed"}
        await send(message)


def create_app(settings: BotPodSettings) -> PodApp:
    """Return the ASGI app of one pod; starting it opens the database, stopping it drains."""
    made = PodApp()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with own_metrics(settings), AsyncExitStack() as stack:
            try:
                pod = await stack.enter_async_context(running_pod(settings))
            except ComandaError as error:
                made.refused = error
                _log.error("pod_not_started", **error.to_dict())
                raise
            made.pod = pod
            made.deliveries = DeliveriesEndpoint(pod.inbox, settings.group_key.get_secret_value())
            yield

    app = made.surface = FastAPI(
        title="Comanda bot pod", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )

    @app.get(HEALTH_PATH)
    async def healthz() -> Response:
        """Answer while the event loop turns; the database does not matter here."""
        return Response("ok", media_type="text/plain")

    @app.get(READY_PATH)
    async def readyz() -> Response:
        """Tell whether deliveries are welcome, and the digest of the tenants' files that are loaded."""
        pod = made.pod
        if pod is None:
            return JSONResponse({"ready": False}, status_code=503)
        body = {
            "ready": pod.ready,
            "loaded": pod.tenants.loaded,
            "shards": pod.tenants.shards,
            "problems": pod.tenants.problems | pod.handlers.problems,
        }
        return JSONResponse(body, status_code=200 if pod.ready else 503)

    @app.get(ACTIVITY_PATH)
    async def activity(since: int = 0, authorization: Annotated[str, Header()] = "") -> Response:
        """Tell the operator when the last message of each number came."""
        expected = f"Bearer {settings.group_key.get_secret_value()}"
        if not hmac.compare_digest(authorization.encode(), expected.encode()):
            return JSONResponse({"code": "unauthorized", "message": "The group key is missing or wrong."}, 401)
        said = made.pod.inbox.activity(since) if made.pod is not None else Activity()
        return Response(msgspec.json.encode(said), media_type="application/json")

    key = settings.group_key.get_secret_value()
    serve_moves(app, key, lambda: made.pod.moves if made.pod is not None else None)

    if not settings.metrics_port:

        @app.get("/metrics")
        async def metrics() -> Response:
            """Prometheus' text format."""
            return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return made
