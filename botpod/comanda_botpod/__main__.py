"""`python -m comanda_botpod`: one bot pod, set up by its environment."""

from __future__ import annotations

import gc
import signal
import sys

import structlog
import uvicorn
from pydantic import ValidationError

from comanda_botpod.app import create_app
from comanda_botpod.settings import BotPodSettings
from comanda_contract.logs import configure


def main() -> int:
    """Run until SIGTERM or SIGINT, then drain. Returns the exit code."""
    configure("botpod")
    try:
        settings = BotPodSettings()
    except ValidationError as error:
        problems = [f"COMANDA_BOTPOD_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        structlog.get_logger().error("settings_invalid", problems=problems)
        return 2
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        # The router keeps its connections longer idle than it takes to notice that a pod is gone.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    # What start-up made lives as long as the process: leave it out of every later collection.
    gc.collect()
    gc.freeze()
    server = uvicorn.Server(config)
    # uvicorn raises the signal once more when it has stopped; a stop that was asked for and went well ends with 0.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
