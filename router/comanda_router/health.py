"""What operators and probes ask a router: is it alive, is it ready, its metrics, and where a number goes and why.

On a port of its own, so that it is not reachable from where Meta's webhooks come; on the main port in local mode.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import Any

import uvicorn
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from comanda_contract.errors import InvalidInputError
from comanda_contract.names import HEALTH_PATH, READY_PATH
from comanda_contract.resources import Condition
from comanda_router.deliver import Lines
from comanda_router.places import Places

METRICS_PATH = "/metrics"
ROUTE_PATH = "/admin/route/{phone_number_id}"
UNKNOWN_NUMBER = "unknown_number"
"""The code of the answer for a number that the directory does not name."""
ACCOUNT_PATH = "/admin/account/{app}/{waba_id}"


class Health:
    """What a router knows of itself."""

    def __init__(self, places: Places, lines: Lines) -> None:
        self._places = places
        self._lines = lines
        self.draining = False
        self.condition: Callable[[], Condition] | None = None
        """How fresh the directory is; set where the Kubernetes API is followed. It never makes a router unready."""

    def readiness(self) -> dict[str, Any]:
        """Tell whether webhooks are welcome: a directory is loaded, a pod is live, and nobody has said to stop."""
        places = self._places
        return {
            "ready": places.ready and not self.draining,
            "draining": self.draining,
            "directory": places.loaded,
            "generation": places.generation,
            "pods": len(places.live),
            **({"condition": self.condition().model_dump(by_alias=True)} if self.condition is not None else {}),
        }

    def account(self, app: str, waba_id: str) -> Sequence[str]:
        """Return an app's numbers in a WhatsApp Business Account."""
        return self._places.of_account(app, waba_id)

    async def route(self, phone_number_id: str) -> dict[str, Any]:
        """Tell where a number goes and why. Raises `InvalidInputError` for an unknown one."""
        resting = self._lines.resting()
        # In a thread: all numbers of the group are placed again to tell.
        found = await asyncio.to_thread(self._places.explain, phone_number_id, resting.keys())
        if found is None:
            raise InvalidInputError(
                "phone_number_id",
                "is not in the directory: its webhooks are dead letters",
                hint="Is there a WhatsAppTenant with this phoneNumberId, and is it accepted?",
                code=UNKNOWN_NUMBER,
            )
        entry, explanation = found
        return {
            "phone_number_id": phone_number_id,
            "tenant": entry.tenant,
            "app": entry.app,
            "group": entry.group,
            "served": entry.ready and explanation.pod is not None,
            **asdict(explanation),
            "resting": sorted(place.pod.name for place in resting if place.group.name == entry.group),
        }


def add_health_routes(app: FastAPI, health: Health) -> None:
    """Add the routes to an app."""

    @app.get(HEALTH_PATH)
    async def healthz() -> Response:
        """Answer while the event loop turns."""
        return PlainTextResponse("ok")

    @app.get(READY_PATH)
    async def readyz() -> Response:
        """Tell whether webhooks are welcome; without a directory every one would be for an unknown number."""
        body = health.readiness()
        return JSONResponse(body, status_code=200 if body["ready"] else 503)

    @app.get(METRICS_PATH)
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get(ACCOUNT_PATH)
    async def account(app: str, waba_id: str) -> Response:
        """Tell which numbers hear what Meta says of an account as a whole."""
        return JSONResponse({"app": app, "waba_id": waba_id, "phone_number_ids": health.account(app, waba_id)})

    @app.get(ROUTE_PATH)
    async def route(phone_number_id: str) -> Response:
        """Tell where a number goes and why."""
        try:
            return JSONResponse(await health.route(phone_number_id))
        except InvalidInputError as error:
            return JSONResponse(error.to_dict(), status_code=404)


class _QuietServer(uvicorn.Server):
    """A second server in a process: signals are the first one's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


@asynccontextmanager
async def serving_health(add_routes: Callable[[FastAPI], None], listener: socket.socket | None) -> AsyncIterator[None]:
    """Serve routes on a listener of their own, if there is one."""
    if listener is None:
        yield
        return
    app = FastAPI(title="Comanda router: health", docs_url=None, redoc_url=None, openapi_url=None)
    add_routes(app)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = _QuietServer(config)
    serving = asyncio.create_task(server.serve([listener]), name="health")
    try:
        yield
    finally:
        server.should_exit = True
        await serving
