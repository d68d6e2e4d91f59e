"""The demo: three restaurants, three customers, one order each, over signed webhooks; then a chat page to try.

Everything is real: the router checks Meta's signatures, pods store before they answer, the flow engine takes the
orders, and the replies go through the Graph API. Only Meta's side and the customers are simulated.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import aiohttp
from rich.align import Align
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from comanda_cli.customer import Bubble, Customer, Order, Say, SharePlace, Step, Tap
from comanda_cli.local.cluster import LocalCluster, LocalOptions
from comanda_cli.local.events import Events
from comanda_cli.local.processes import free_port, port_is_free
from comanda_cli.orders import COLUMNS, order_rows
from comanda_cli.output import Output, print_rows
from comanda_contract.errors import ComandaError, UnavailableError
from comanda_flow import money

TENANTS = resources.files("comanda_cli") / "demo_tenants"


@dataclass(frozen=True)
class Scene:
    """One customer's visit: where, who, what they do, and what the kitchen must have afterwards (minor units)."""

    restaurant: str
    phone_number_id: str
    tenant: str
    customer: str
    phone: str
    steps: tuple[Step, ...]
    total: int
    fulfilment: str
    currency: str


SCENES = (
    Scene(
        restaurant="Pizzería Napoli",
        phone_number_id="106540352242922",
        tenant="default/napoli",
        customer="Ana",
        phone="56911112222",
        steps=(
            Say("Hola, quiero 2 margarita y 1 coca cola"),
            Say("delivery"),
            Say("Av. Pedro de Valdivia 123, Providencia"),
            Say("sí"),
        ),
        total=2 * 8990 + 2490 + 2500,
        fulfilment="delivery",
        currency="CLP",
    ),
    Scene(
        restaurant="Taquería El Farol",
        phone_number_id="106540352242933",
        tenant="default/farol",
        customer="Beto",
        phone="5215511112222",
        steps=(
            Say("hola"),
            Tap("Ver menú"),
            Tap("Taco al pastor"),
            Tap("3"),
            Tap("Hacer el pedido"),
            Tap("Retiro en local"),
            Tap("Sí, confirmar"),
        ),
        total=3 * 2800,
        fulfilment="pickup",
        currency="MXN",
    ),
    Scene(
        restaurant="La Parrilla",
        phone_number_id="106540352242944",
        tenant="parrilla/parrilla",
        customer="Caro",
        phone="5491155556666",
        steps=(
            Order((("BIFE", 1), ("MALBEC", 1))),
            Tap("Delivery"),
            SharePlace(latitude=-34.5790, longitude=-58.4250),
            Tap("Sí, confirmar"),
        ),
        total=1850000 + 1200000 + 180000,
        fulfilment="delivery",
        currency="ARS",
    ),
)


async def run_demo(*, once: bool, data_dir: Path | None, router_port: int, simulator_port: int) -> bool:
    """Run the demo; True when every order arrived as it should. Raises `ComandaError` when it cannot start."""
    console = Console(highlight=False)
    with ExitStack() as stack:
        folder = stack.enter_context(resources.as_file(TENANTS))
        data = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comanda-demo-")))
        options = LocalOptions(folder, data.resolve(), _port(router_port, 8080), _port(simulator_port, 8090))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with aiohttp.ClientSession() as session:
            ready = asyncio.Event()
            cluster = LocalCluster(options, Events("text", on_ready=ready.set), session)
            running = asyncio.create_task(cluster.run(stop), name="cluster")
            try:
                await _until_ready(running, ready)
                ok = await _play(console, options, session)
                if not once and not stop.is_set():
                    await _stay(console, options, stop, running)
            finally:
                stop.set()
                await running
        return ok


async def _until_ready(running: asyncio.Task[None], ready: asyncio.Event) -> None:
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if running.done():
        running.result()
        raise UnavailableError("Stopped before everything was ready.")


async def _play(console: Console, options: LocalOptions, session: aiohttp.ClientSession) -> bool:
    """Play all scenes, print what is said, then the orders; True when they are as they should be."""
    problems: list[str] = []
    for scene in SCENES:
        title = f"{scene.customer} writes to {scene.restaurant}"
        console.print()
        console.rule(title, style="dim")
        customer = Customer(
            session,
            str(options.simulator_url),
            phone_number_id=scene.phone_number_id,
            phone=scene.phone,
            name=scene.customer,
        )
        try:
            for step in scene.steps:
                said, replies = await customer.do(step)
                console.print(_bubble(said, "green", "right"))
                for reply in replies:
                    console.print(_bubble(reply, "cyan", "left"))
        except ComandaError as error:
            problems.append(f"{scene.restaurant}: {error}")
    console.print()
    rows = order_rows(options.data_dir)
    print_rows(Output.text, COLUMNS, rows, "No orders.")
    problems += [problem for scene in SCENES for problem in order_problems(scene, rows)]
    for problem in problems:
        console.print(problem, style="bold red", markup=False)
    if not problems:
        console.print(f"\n✓ {len(SCENES)} orders, each once, each with the right total.", style="bold green")
    return not problems


def order_problems(scene: Scene, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say what is wrong with a scene's order."""
    orders = [row for row in rows if row["tenant"] == scene.tenant and row["customer_name"] == scene.customer]
    if len(orders) != 1:
        return [f"{scene.restaurant}: {scene.customer} has {len(orders)} orders, it should be one."]
    order = orders[0]
    if (order["total"], order["fulfilment"]) != (scene.total, scene.fulfilment):
        wanted = f"{money(scene.total, scene.currency, 'es')} {scene.fulfilment}"
        return [f"{scene.restaurant}: the order says {order['amount']} {order['fulfilment']}, it should be {wanted}."]
    return []


async def _stay(console: Console, options: LocalOptions, stop: asyncio.Event, running: asyncio.Task[None]) -> None:
    text = Text.assemble(
        ("Chat with the three bots yourself: ", "bold"),
        (str(options.simulator_url), "bold cyan underline"),
        f"\nOrders so far: comanda orders list --data-dir {options.data_dir}\nCtrl-C ends the demo.",
    )
    console.print(Panel.fit(text, border_style="cyan"))
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def _bubble(bubble: Bubble, colour: str, side: Literal["left", "right"]) -> Align:
    body = Text(bubble.text)
    for choice in bubble.choices:
        body.append(f"\n[ {choice} ]", style="dim")
    return Align(Panel.fit(body, border_style=colour, title=bubble.who, title_align="left"), side)


def _port(wanted: int, usual: int) -> int:
    if wanted:
        return wanted
    return usual if port_is_free(usual) else free_port()
