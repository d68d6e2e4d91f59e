"""What probes ask the operator: is every part of it alive, does it know everything; and its metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from comanda_contract.names import HEALTH_PATH, READY_PATH
from comanda_operator.app import Operator
from comanda_operator.settings import OperatorSettings

SILENT_SECONDS = 300.0
"""A watch that was heard of last so long ago is dead: the API ends one at least every two minutes."""


def health(operator: Operator) -> dict[str, Any]:
    """Say which parts live. A dead task, or a watch that is silent for long, makes it unhealthy."""
    dead = [task.get_name() for task in operator.tasks if task.done()]
    informers = operator.watches.informers.items()
    silent = [
        name for name, informer in informers if informer.synced.is_set() and informer.age_seconds > SILENT_SECONDS
    ]
    # While the API is away nothing is heard; a restart would not bring it back.
    failing = {name: informer.failing_with for name, informer in informers if informer.failing_with}
    silent = [name for name in silent if name not in failing]
    return {
        "healthy": not dead and not silent,
        "leading": operator.elector.may_write,
        "holder": operator.elector.holder,
        "synced": operator.is_synced,
        "began": operator.watches.began,
        "waiting": len(operator.queue),
        "working": operator.queue.working,
        "outstanding": operator.reconciler.acknowledger.outstanding,
        "deletions_held": len(operator.state.deletions.held),
        "dead": dead,
        "silent": silent,
        "failing": failing,
    }


@asynccontextmanager
async def serving_health(operator: Operator, settings: OperatorSettings) -> AsyncIterator[None]:
    """Answer probes meanwhile."""

    async def healthz(_: web.Request) -> web.Response:
        said = health(operator)
        return web.json_response(said, status=200 if said["healthy"] else 503)

    async def readyz(_: web.Request) -> web.Response:
        said = health(operator)
        return web.json_response(said, status=200 if said["healthy"] and said["synced"] else 503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    if not settings.health_port:
        yield
        return
    app = web.Application()
    app.add_routes([web.get(HEALTH_PATH, healthz), web.get(READY_PATH, readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.health_port).start()
    try:
        yield
    finally:
        await runner.cleanup()
