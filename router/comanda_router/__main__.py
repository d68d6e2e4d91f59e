"""`python -m comanda_router`: one router, set up by its environment; with several workers, their parent."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Sequence
from functools import partial

import structlog
from pydantic import ValidationError

from comanda_contract.errors import ComandaError
from comanda_contract.logs import configure
from comanda_kube.kubeconfig import load_config
from comanda_router.health import serving_health
from comanda_router.server import serve
from comanda_router.settings import RouterSettings
from comanda_router.sockets import listen, listen_all
from comanda_router.workers import Workers
from comanda_router.workers_health import add_workers_health_routes

_log = structlog.get_logger()


def main() -> int:
    """Run until SIGTERM or SIGINT, answering what is under way. Returns the exit code."""
    configure("router")
    parser = argparse.ArgumentParser(prog="python -m comanda_router", description=__doc__)
    parser.add_argument("--listen-fd", type=int, help="listen on this open socket: a worker gets it from its parent")
    parser.add_argument("--health-fd", type=int, help="the same for health")
    arguments = parser.parse_args()
    try:
        settings = RouterSettings()
    except ValidationError as error:
        problems = [f"COMANDA_ROUTER_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        _log.error("settings_invalid", problems=problems)
        return 2
    if settings.directory_file is None:
        try:
            load_config()
        except ComandaError as error:
            _log.error(
                "no_directory", message=error.message, hint="Set COMANDA_ROUTER_DIRECTORY_FILE, or run in a pod."
            )
            return 2
    if arguments.listen_fd is not None:
        return serve(settings, _given(arguments.listen_fd), _given(arguments.health_fd), has_parent=True)
    try:
        health = listen(settings.host, settings.health_port) if settings.health_port else None
        listeners = listen_all(settings)
    except OSError as error:
        _log.error("cannot_listen", host=settings.host, port=settings.port, problem=str(error))
        return 1
    if len(listeners) > 1:
        return asyncio.run(_run_workers(listeners, health))
    return serve(settings, listeners[0], health, has_parent=False)


def _given(fd: int) -> socket.socket:
    return socket.socket(fileno=fd)


async def _run_workers(listeners: Sequence[socket.socket], health: socket.socket | None) -> int:
    workers = Workers(listeners)
    async with serving_health(partial(add_workers_health_routes, workers=workers), health):
        return await workers.run()


if __name__ == "__main__":
    sys.exit(main())
