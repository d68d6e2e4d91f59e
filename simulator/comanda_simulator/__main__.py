"""`python -m comanda_simulator --config FILE`: the simulator as a process of its own."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import structlog
from structlog.typing import Processor

from comanda_contract.errors import ComandaError
from comanda_simulator.app import create_app
from comanda_simulator.config import ConfigFile
from comanda_simulator.server import serve


def main() -> int:
    """Run until SIGTERM; 1 with one line on stderr when it cannot start."""
    parser = argparse.ArgumentParser(prog="comanda_simulator", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="configuration file (JSON), read again on change")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on")
    options = parser.parse_args()
    _log_as_json()
    log = structlog.get_logger("comanda_simulator")
    try:
        config_file = ConfigFile(options.config)
        app = create_app(config_file.current, config_file=config_file)
        serve(app, options.host, options.port)
    except ComandaError as error:
        log.error("cannot_start", **error.to_dict())  # noqa: TRY400 - one line for people, not a traceback
        return 1
    log.info("stopped")
    return 0


def _log_as_json() -> None:
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


if __name__ == "__main__":
    sys.exit(main())
