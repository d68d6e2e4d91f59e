"""What a parent of workers answers when it is asked for its health: what its workers say, put together."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from starlette.responses import JSONResponse, PlainTextResponse, Response

from comanda_contract.names import HEALTH_PATH, READY_PATH
from comanda_router.health import ACCOUNT_PATH, METRICS_PATH, ROUTE_PATH
from comanda_router.sockets import get
from comanda_router.workers import Workers

Said = tuple[int, bytes]
"""Status and body of a worker's answer; status 0 when it gave none."""


def add_workers_health_routes(app: FastAPI, workers: Workers) -> None:
    """Add the routes to an app."""

    @app.get(HEALTH_PATH)
    async def healthz() -> Response:
        """Answer while every worker does; one that is being started again is no reason to restart all."""
        said = await _ask(workers, HEALTH_PATH)
        hangs = any(
            status != 200 and worker.process is not None and worker.process.returncode is None
            for worker, (status, _) in zip(workers.workers, said, strict=True)
        )
        return PlainTextResponse("a worker hangs" if hangs else "ok", status_code=503 if hangs else 200)

    @app.get(READY_PATH)
    async def readyz() -> Response:
        """Tell whether webhooks are welcome: every worker takes them, since each may get any connection."""
        said = await _ask(workers, READY_PATH)
        ready = not workers.draining and all(status == 200 for status, _ in said)
        body = {
            "ready": ready,
            "draining": workers.draining,
            "workers": [json.loads(body) if status else {"ready": False} for status, body in said],
        }
        return JSONResponse(body, status_code=200 if ready else 503)

    @app.get(METRICS_PATH)
    async def metrics() -> Response:
        """Give every worker's metrics, told apart by the label `worker`."""
        said = await _ask(workers, METRICS_PATH)
        registry = CollectorRegistry()
        registry.register(Labelled([body.decode() if status == 200 else "" for status, body in said]))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get(ROUTE_PATH)
    async def route(phone_number_id: str) -> Response:
        """Tell where a number goes and why; every worker would say the same."""
        return await _ask_any(workers, ROUTE_PATH.format(phone_number_id=phone_number_id))

    @app.get(ACCOUNT_PATH)
    async def account(app: str, waba_id: str) -> Response:
        """Tell which numbers hear what Meta says of an account; every worker would say the same."""
        return await _ask_any(workers, ACCOUNT_PATH.format(app=app, waba_id=waba_id))


async def _ask_any(workers: Workers, path: str) -> Response:
    for status, body in await _ask(workers, path):
        if status:
            return Response(body, status_code=status, media_type="application/json")
    return JSONResponse({"code": "unavailable", "message": "No worker answers.", "hint": ""}, status_code=503)


async def _ask(workers: Workers, path: str) -> Sequence[Said]:
    answers = await asyncio.gather(
        *(get(worker.health_port, path) for worker in workers.workers), return_exceptions=True
    )
    return [(0, b"") if isinstance(answer, BaseException) else answer for answer in answers]


class Labelled(Collector):
    """The metrics of several workers, each in Prometheus' text format, with a label for the worker."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        """Give each metric once, with the samples of all workers."""
        merged: dict[str, Metric] = {}
        for worker, text in enumerate(self._texts):
            for family in text_string_to_metric_families(text):
                metric = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                metric.samples += [
                    sample._replace(labels={**sample.labels, "worker": str(worker)}) for sample in family.samples
                ]
        yield from merged.values()
