"""Puts the simulator together: one ASGI application from one configuration."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import structlog
from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from comanda_contract.names import HEALTH_PATH
from comanda_simulator import nodes
from comanda_simulator.cloud import Cloud
from comanda_simulator.config import ConfigFile, SimulatorConfig, check_config
from comanda_simulator.control import control_routes
from comanda_simulator.graph import GraphHandler, MessagesEndpoint, graph_route
from comanda_simulator.page import page_routes

_log = structlog.get_logger(__name__)

_CONFIG_POLL_SECONDS = 0.5


class _GraphVersion(StringConvertor):
    regex = r"v[0-9]+\.[0-9]+"


register_url_convertor("graph_version", _GraphVersion())


def create_app(
    config: SimulatorConfig,
    *,
    config_file: ConfigFile | None = None,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """Return the application; its `state.cloud` is the `Cloud`. Raises `ConfigError`.

    With `config_file` the configuration is read again whenever that file changes. `clock` returns unix seconds.
    """
    cloud = Cloud(check_config(config), clock)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await cloud.sender.start()
        watcher = asyncio.create_task(_watch(cloud, config_file)) if config_file is not None else None
        yield
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        cloud.receipts.stop()
        await cloud.sender.stop()

    app = Starlette(routes=[*_graph_routes(cloud), *control_routes(cloud), *_own_routes()], lifespan=lifespan)
    app.state.cloud = cloud
    return app


def _graph_routes(cloud: Cloud) -> list[BaseRoute]:
    table: list[tuple[str, str, GraphHandler]] = [
        ("GET", "debug_token", nodes.debug_token),
        ("POST", "{node}/media", nodes.upload_media),
        ("POST", "{node}/register", nodes.register_number),
        ("GET", "{node}/phone_numbers", nodes.list_phone_numbers),
        ("GET", "{node}/subscribed_apps", nodes.get_subscribed_apps),
        ("POST", "{node}/subscribed_apps", nodes.subscribe_app),
        ("DELETE", "{node}/subscribed_apps", nodes.unsubscribe_app),
        ("GET", "{node}", nodes.get_node),
        ("DELETE", "{node}", nodes.delete_node),
    ]
    prefix = "/{version:graph_version}/"
    routes: list[BaseRoute] = [Route(f"{prefix}{{node}}/messages", MessagesEndpoint(cloud), methods=["POST"])]
    routes += [Route(prefix + path, graph_route(cloud, handler), methods=[method]) for method, path, handler in table]
    download = graph_route(cloud, nodes.download_media)
    return [*routes, Route("/media/{media_id}", download, name="download_media")]


def _own_routes() -> list[BaseRoute]:
    async def health(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    return [Route(HEALTH_PATH, health), *page_routes()]


async def _watch(cloud: Cloud, config_file: ConfigFile) -> None:
    while True:
        await asyncio.sleep(_CONFIG_POLL_SECONDS)
        config = config_file.changed()
        if config is not None:
            cloud.apply(config)
            _log.info("config_read", numbers=len(config.numbers), apps=len(config.apps))
