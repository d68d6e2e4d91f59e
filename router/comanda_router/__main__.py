"""`python -m comanda_router`: one router, set up by its environment."""

from __future__ import annotations

import gc
import signal
import sys

import structlog
import uvicorn
from pydantic import ValidationError

from comanda_router.app import create_app
from comanda_router.logs import configure
from comanda_router.settings import RouterSettings


def main() -> int:
    """Run until SIGTERM or SIGINT, answering what is under way. Returns the exit code."""
    configure("router")
    try:
        settings = RouterSettings()
    except ValidationError as error:
        problems = [f"COMANDA_ROUTER_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        structlog.get_logger().error("settings_invalid", problems=problems)
        return 2
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
        lifespan="on",
    )
    gc.collect()
    gc.freeze()
    server = uvicorn.Server(config)
    # uvicorn raises the signal once more when it has stopped; a stop that was asked for and went well ends with 0.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
