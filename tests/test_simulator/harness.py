"""A simulator on a free port, and an endpoint that receives its webhooks: both over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from comanda_contract.cloud import limits
from comanda_simulator.app import create_app
from comanda_simulator.cloud import Cloud
from comanda_simulator.config import AppConfig, NumberConfig, Place, Product, Settings, SimulatorConfig
from comanda_simulator.server import SimulatorServer, bind

Json = dict[str, Any]

SECRET = "app-secret-ñ"
OTHER_SECRET = "secret-of-another-app"
VERIFY_TOKEN = "verify-me"
TOKEN = "token-of-napoli"
OTHER_TOKEN = "token-of-aoki"
NUMBER = "100000000000001"
SISTER = "100000000000002"
FOREIGN = "100000000000003"
WABA = "200000000000001"
FOREIGN_WABA = "200000000000003"
DISPLAY = "56911112222"
CUSTOMER = "56933334444"
START = 1_795_000_000.0

TEXT: Json = {"type": "text", "text": {"body": "hola"}}
TEMPLATE: Json = {"type": "template", "template": {"name": "order_ready", "language": {"code": "es"}}}

CATALOG = (
    Product(sku="MARG", name="Margherita", description="Tomate, mozzarella, albahaca", price=8900, currency="CLP"),
    Product(sku="QUAT", name="Quattro formaggi", description="Cuatro quesos", price=10900, currency="CLP"),
)

FAST = {"delivered_after_seconds": 0.0, "retry_base_seconds": 0.01, "retry_max_seconds": 0.02}
"""Meta's waits, compressed for tests."""


def build_config(webhook_url: str = "http://127.0.0.1:9/webhook", **settings: Any) -> SimulatorConfig:
    """Return two numbers of one account and one of another account and app."""
    return SimulatorConfig(
        webhook_url=webhook_url,
        apps={
            "default": AppConfig(app_secret=SECRET, verify_token=VERIFY_TOKEN),
            "sushi": AppConfig(app_secret=OTHER_SECRET, verify_token="v2", app_id="300000000000002"),
        },
        numbers=(
            NumberConfig(
                phone_number_id=NUMBER,
                waba_id=WABA,
                display_phone_number=DISPLAY,
                display_name="Pizzería Napoli",
                access_token=TOKEN,
                catalog=CATALOG,
                location=Place(latitude=-33.4372, longitude=-70.6506, name="Pizzería Napoli"),
            ),
            NumberConfig(
                phone_number_id=SISTER,
                waba_id=WABA,
                display_phone_number="56911112223",
                display_name="Pizzería Roma",
                access_token=TOKEN,
            ),
            NumberConfig(
                phone_number_id=FOREIGN,
                waba_id=FOREIGN_WABA,
                display_phone_number="56911113333",
                display_name="Sushi Aoki",
                access_token=OTHER_TOKEN,
                app="sushi",
            ),
        ),
        settings=Settings(**{**FAST, **settings}),
    )


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Post:
    """One webhook as it arrived."""

    path: str
    body: bytes
    signature: str
    status: int

    @property
    def json(self) -> Json:
        return dict(json.loads(self.body))

    @property
    def changes(self) -> list[tuple[str, Json]]:
        return [(entry["id"], change["value"]) for entry in self.json["entry"] for change in entry["changes"]]


@dataclass
class Receiver:
    """The webhook endpoint: answers with the statuses in `script`, then 200; keeps everything it gets."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    script: deque[int] = field(default_factory=deque)
    verify_token: str = VERIFY_TOKEN
    handler: Callable[[Json], Awaitable[None]] | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    most_waiting: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.waiting += 1
        self.most_waiting = max(self.waiting, self.most_waiting)
        self.changed.set()
        await self.gate.wait()
        self.waiting -= 1
        status = self.script.popleft() if self.script else 200
        self.posts.append(Post(request.path, body, request.headers.get("X-Hub-Signature-256", ""), status))
        self.changed.set()
        if self.handler is not None and status == 200:
            await self.handler(json.loads(body))
        return web.Response(status=status, text="ok")

    async def challenge(self, request: web.Request) -> web.Response:
        if request.query["hub.verify_token"] != self.verify_token or request.query["hub.mode"] != "subscribe":
            return web.Response(status=403)
        return web.Response(text=request.query["hub.challenge"])

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not wanted():
                self.changed.clear()
                await self.changed.wait()

    @property
    def accepted(self) -> list[Post]:
        return [post for post in self.posts if post.status == 200]

    @property
    def messages(self) -> list[Json]:
        return [item for post in self.accepted for _, value in post.changes for item in value.get("messages", [])]

    @property
    def statuses(self) -> list[Json]:
        return [item for post in self.accepted for _, value in post.changes for item in value.get("statuses", [])]

    def statuses_of(self, wamid: str) -> list[str]:
        return [item["status"] for item in self.statuses if item["id"] == wamid]


@dataclass
class Simulator:
    """A running simulator with shorthands for its two sides."""

    url: str
    cloud: Cloud
    clock: Clock
    receiver: Receiver
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, *, token: str | None = TOKEN, **options: Any) -> tuple[int, Any]:
        """Call the Graph API or the control API; returns status and JSON."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        async with self.http.request(method, self.url + path, headers=headers, **options) as response:
            return response.status, await response.json(content_type=None)

    async def send(
        self, content: Json, *, to: str | None = CUSTOMER, number: str = NUMBER, token: str | None = TOKEN
    ) -> tuple[int, Json]:
        """Send as a business."""
        address = {"to": f"+{to}"} if to else {}
        body = {"messaging_product": "whatsapp", **address, **content}
        return await self.call("POST", f"/v26.0/{number}/messages", token=token, json=body)

    async def send_text(self, text: str = "Hola", **options: Any) -> str:
        """Send a text that is accepted; returns its wamid."""
        status, answer = await self.send({"type": "text", "text": {"body": text}}, **options)
        assert status == 200, answer
        return str(answer["messages"][0]["id"])

    async def write(self, text: str = "hola", *, wait: bool = False, sender: str = CUSTOMER, **fields: Any) -> Json:
        """Write as a customer."""
        request = {
            "phone_number_id": NUMBER,
            "from": sender,
            "name": "Ana",
            "message": {"type": "text", "text": {"body": text}},
        } | fields
        query = "?wait=acked" if wait else ""
        status, answer = await self.call("POST", f"/simulator/messages{query}", json=request)
        assert status == 200, answer
        return dict(answer)

    async def faults(self, **faults: Any) -> None:
        """Put faults in force."""
        status, answer = await self.call("PUT", "/simulator/faults", json=faults)
        assert status == 200, answer

    async def ledger(self, **query: Any) -> list[Json]:
        """Return ledger entries."""
        _, entries = await self.call("GET", "/simulator/ledger", params=query)
        return list(entries)


@asynccontextmanager
async def run_receiver() -> AsyncIterator[Receiver]:
    """Run a webhook endpoint that takes any path below /webhook."""
    receiver = Receiver()
    receiver.gate.set()
    app = web.Application(client_max_size=limits.WEBHOOK_BYTES)
    app.router.add_post("/webhook{rest:.*}", receiver.answer)
    app.router.add_get("/webhook{rest:.*}", receiver.challenge)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    listener = bind("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    receiver.url = f"http://127.0.0.1:{listener.getsockname()[1]}/webhook"
    try:
        yield receiver
    finally:
        receiver.gate.set()
        await runner.cleanup()


@asynccontextmanager
async def run_simulator(
    receiver: Receiver, config: SimulatorConfig | None = None, **settings: Any
) -> AsyncIterator[Simulator]:
    """Run a simulator that posts to the receiver."""
    config = msgspec.structs.replace(config or build_config(**settings), webhook_url=receiver.url)
    clock = Clock()
    app = create_app(config, clock=clock)
    listener = bind("127.0.0.1", 0)
    server = SimulatorServer(app, "127.0.0.1", 0)
    # The server's own loop looks for its end ten times a second and then waits; tests end it at once. How it stops
    # by itself is tested with a process of its own.
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with aiohttp.ClientSession() as http:
            yield Simulator(url, app.state.cloud, clock, receiver, http)
    finally:
        app.state.cloud.closing = True
        app.state.cloud.ledger.wake()
        for listening in server.servers:
            listening.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await server.lifespan.shutdown()
