"""`python -m comanda_operator`: one replica of the operator, inside kopf's shell.

kopf starts and ends it, on signals too. It watches nothing for us: docs/decisions say why.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import kopf
import structlog
from pydantic import ValidationError

from comanda_contract.errors import ComandaError
from comanda_contract.logs import configure
from comanda_kube.config import ClusterConfig
from comanda_kube.kubeconfig import load_config
from comanda_operator.app import Operator, operator
from comanda_operator.health import serving_health
from comanda_operator.settings import OperatorSettings

_log = structlog.get_logger()


def main() -> int:
    """Run until SIGTERM or SIGINT, or until a part of it breaks. Returns the exit code."""
    configure("operator")
    try:
        settings, config = OperatorSettings(), load_config()
    except ValidationError as error:
        problems = [f"COMANDA_OPERATOR_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        _log.error("settings_invalid", problems=problems)
        return 2
    except ComandaError as error:
        _log.error("not_started", **error.to_dict())
        return 2
    try:
        return asyncio.run(_run(settings, config))
    except ComandaError as error:
        _log.error("not_started", **error.to_dict())
        return 2


async def _run(settings: OperatorSettings, config: ClusterConfig) -> int:
    registry, stop = kopf.OperatorRegistry(), asyncio.Event()
    shell = AsyncExitStack()
    async with operator(settings, config) as made:

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:
            return kopf.AiohttpSession(server=config.server, aiohttp_session=_session(config))

        @kopf.on.startup(registry=registry)
        async def start(**_: Any) -> None:
            supervisor = await shell.enter_async_context(made.running())
            await shell.enter_async_context(serving_health(made, settings))
            supervisor.add_done_callback(lambda _: stop.set())
            _log.info("operator_started", namespace=settings.namespace)

        @kopf.on.cleanup(registry=registry)
        async def end(**_: Any) -> None:
            await shell.aclose()

        await kopf.operator(
            registry=registry, settings=_shell_settings(), standalone=True, clusterwide=True, stop_flag=stop
        )
        return _exit_code(made)


def _session(config: ClusterConfig) -> aiohttp.ClientSession:
    """Return a session for kopf's own questions, of the API's version and groups; it logs in anew when refused."""
    token = config.token.reread() if config.token is not None else ""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=config.tls or True), headers=headers)


def _shell_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = 40
    return settings


def _exit_code(made: Operator) -> int:
    """Return 1 when a part of the operator ended by itself: whoever runs it starts it again."""
    supervisor = made.supervisor
    return 0 if supervisor is None or supervisor.cancelled() or supervisor.exception() is None else 1


if __name__ == "__main__":
    sys.exit(main())
