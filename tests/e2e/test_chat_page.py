"""A person orders on the chat page of the whole product: `comanda up` with its own simulator, and a browser."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, async_playwright, expect

from comanda_cli.local.processes import free_port
from comanda_cli.orders import order_rows
from tests.e2e.world import DEMO_TENANTS
from tests.harness import until
from tests.test_simulator.browser import ARGUMENTS, DESKTOP, PHONE, chromium
from tests.test_simulator.test_chat_looks import CONTRAST, SMALL_TARGETS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

PATIENCE_SECONDS = 30.0
"""How long a browser waits for something to appear: the machine may be busy."""
FOCUSED = """
(({ activeElement: node }) =>
  node.getAttribute("aria-label") || node.labels?.[0]?.textContent || node.textContent)(document)
"""


@dataclass
class Shop:
    """The product as it runs for all tests of this file."""

    data_dir: Path
    url: str
    session: aiohttp.ClientSession

    def orders_of(self, person: Person) -> list[dict[str, Any]]:
        return [row for row in order_rows(self.data_dir) if row["customer_name"] == person.name]

    async def statuses_of(self, wamid: str) -> set[str]:
        """Return what became of a message of a bot, as far as the router has taken it."""
        params = {"after": "0", "direction": "status"}
        async with self.session.get(f"{self.url}/simulator/ledger", params=params) as response:
            entries = await response.json()
        return {entry["payload"]["status"] for entry in entries if entry["wamid"] == wamid and entry["acked"]}


@dataclass
class Person:
    """Somebody with the chat page open. Each test has a person of its own, so each conversation begins anew."""

    name: str
    phone: str
    page: Page
    problems: list[str] = field(default_factory=list)
    answers: int = 0

    def __post_init__(self) -> None:
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.log = self.page.get_by_role("log")
        self.sheet = self.page.get_by_role("dialog")
        self.box = self.page.get_by_role("textbox", name="Escribe un mensaje")

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(message.text)

    async def come_in(self, url: str) -> None:
        """Open the page and say who one is."""
        await self.page.goto(url)
        await self.page.get_by_role("button", name="Otra persona…").click()
        await self.sheet.get_by_label("Nombre").fill(self.name)
        await self.sheet.get_by_label("Teléfono, con código de país").fill(self.phone)
        await self.sheet.get_by_role("button", name="Guardar").click()
        await expect(self.page.get_by_role("button", name=self.name)).to_have_attribute("aria-pressed", "true")

    async def come_in_by_keyboard(self, url: str) -> None:
        """Open the page and say who one is, without touching it."""
        await self.page.goto(url)
        await self.page.get_by_role("button", name="Otra persona…").wait_for()
        await self.press("Otra persona…")
        await self.sheet.wait_for()
        for label, value in (("Nombre", self.name), ("Teléfono", self.phone)):
            await self.tab_to(label)
            await self.page.keyboard.type(value)
        await self.press("Guardar")
        await expect(self.page.get_by_role("button", name=self.name)).to_have_attribute("aria-pressed", "true")

    async def visit(self, restaurant: str) -> None:
        await self.page.get_by_role("link", name=restaurant).click()
        await expect(self.page.get_by_role("heading", name=restaurant)).to_be_visible()

    async def answered(self, *words: str) -> None:
        """Wait for the bot's next message, and for the tick that shows that it has taken one's own."""
        self.answers += 1
        await expect(self.log.locator(".theirs")).to_have_count(self.answers)
        for word in words:
            await expect(self.log.locator(".theirs").last).to_contain_text(word)
        await expect(self.log.locator(".mine .ticks").last).to_have_attribute(
            "data-state", re.compile("delivered|read")
        )

    async def say(self, text: str, *answer: str) -> None:
        await self.box.fill(text)
        await self.box.press("Enter")
        await self.answered(*answer)

    async def tap(self, name: str, *answer: str) -> None:
        await self.log.get_by_role("button", name=name).last.click()
        await self.answered(*answer)

    async def choose(self, row: str, *answer: str) -> None:
        """Open the newest list, choose a row and send it."""
        await self.log.get_by_role("button", name="Ver opciones").last.click()
        await self.sheet.get_by_text(row).click()
        await self.sheet.get_by_role("button", name="Enviar").click()
        await self.answered(*answer)

    async def tab_to(self, name: str) -> None:
        """Press Tab until the element with this name has the focus, and see that it shows it."""
        for _ in range(60):
            await self.page.keyboard.press("Tab")
            if name in await self.page.evaluate(FOCUSED):
                assert await self.page.evaluate("document.activeElement.matches(':focus-visible')")
                return
        pytest.fail(f"the Tab key never reaches {name!r}")

    async def press(self, name: str) -> None:
        await self.tab_to(name)
        await self.page.keyboard.press("Enter")

    async def press_in_answer(self, name: str) -> None:
        """Go to a button of the bot's newest message from the composer, backwards, and press it."""
        for _ in range(20):
            await self.page.keyboard.press("Shift+Tab")
            if await self.page.evaluate(FOCUSED) == name:
                await self.page.keyboard.press("Enter")
                return
        pytest.fail(f"Shift+Tab never reaches {name!r}")

    async def sees_order(self, shop: Shop, order: dict[str, Any]) -> None:
        """Hold that the kitchen has this one order and the person sees its code, and that all looks as it should."""
        [row] = shop.orders_of(self)
        assert {key: row[key] for key in order} == order
        confirmation = self.log.locator(".theirs").last
        await expect(confirmation).to_contain_text(row["code"])
        wamid = str(await confirmation.get_attribute("data-wamid"))

        async def read() -> bool:
            return await shop.statuses_of(wamid) == {"sent", "delivered", "read"}

        await until(read, PATIENCE_SECONDS, "the confirmation is read")
        states = await self.log.locator(".mine .ticks").evaluate_all("ticks => ticks.map((tick) => tick.dataset.state)")
        assert set(states) <= {"delivered", "read"}
        assert await self.page.evaluate(CONTRAST) == []
        assert await self.page.evaluate(SMALL_TARGETS) == []
        assert await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert self.problems == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    data_dir = tmp_path_factory.mktemp("chat") / "data"
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "comanda_cli.app", "up", "-f", str(DEMO_TENANTS), "--data-dir", str(data_dir),
        "--router-port", str(free_port()), "--simulator-port", str(port), "--output", "json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(90):
            # Nothing is said before `ready`; an end of the output is a start that failed.
            first = json.loads(await process.stdout.readline())
        assert first["event"] == "ready", first
        async with aiohttp.ClientSession() as session:
            yield Shop(data_dir, str(first["simulator"]), session)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield running
        await running.close()


@asynccontextmanager
async def person_with(
    browser: Browser, viewport: ViewportSize, name: str, phone: str, **options: Any
) -> AsyncIterator[Person]:
    touch = viewport["width"] < 800
    context = await browser.new_context(
        viewport=viewport, has_touch=touch, is_mobile=touch, locale="es-CL", reduced_motion="reduce", **options
    )
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    try:
        yield Person(name, phone, await context.new_page())
    finally:
        await context.close()


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    yield
    expect.set_options(timeout=None)


async def test_desktop_orders_by_typing(browser: Browser, shop: Shop) -> None:
    async with person_with(browser, DESKTOP, "Marta Soto", "56991112201") as person:
        await person.come_in(shop.url)
        await person.visit("Pizzería Napoli")
        await expect(person.page.locator(".presence")).to_have_text("+999 5224 2922")
        await person.say("Hola, quiero 2 margarita y 1 coca cola", "Total: $ 20.470", "delivery o lo retiras")
        await person.say("delivery", "A qué dirección")
        await person.say("Av. Pedro de Valdivia 123, Providencia", "Envío: $ 2.500", "Total: $ 22.970")
        await person.say("sí", "Pedido recibido", "Total: $ 22.970")
        preview = person.page.get_by_role("link", name="Pizzería Napoli")
        await expect(preview).to_contain_text("¡Pedido recibido! Tu código es")
        await expect(preview).not_to_contain_text("*")
        await person.sees_order(
            shop, {"tenant": "default/napoli", "total": 2 * 8990 + 2490 + 2500, "fulfilment": "delivery"}
        )


async def test_phone_orders_by_lists_and_buttons_alone(browser: Browser, shop: Shop) -> None:
    async with person_with(browser, PHONE, "Pía Campos", "56991112202", color_scheme="dark") as person:
        await person.come_in(shop.url)
        await person.visit("Taquería El Farol")
        await person.page.get_by_role("button", name="Di «hola»").click()
        await person.answered("¡Qué onda!")
        await person.tap("Ver menú", "menú")
        await person.choose("Burrito norteño", "Burrito norteño")
        await person.choose("Camarón", "Cuántas unidades")
        await person.tap("2", "2 × Burrito norteño", "$ 250.00")
        await person.tap("Hacer el pedido", "delivery o lo retiras")
        await person.tap("Retiro en local", "Resumen", "Total: $ 250.00")
        await person.tap("Sí, confirmar", "Pedido recibido")
        await person.sees_order(
            shop, {"tenant": "default/farol", "total": 2 * (9500 + 3000), "fulfilment": "pickup", "currency": "MXN"}
        )


async def test_phone_orders_with_the_keyboard_alone(browser: Browser, shop: Shop) -> None:
    async with person_with(browser, PHONE, "Bruno Vidal", "56991112203") as person:
        keys = person.page.keyboard
        await person.come_in_by_keyboard(shop.url)
        await person.press("Taquería El Farol")
        await expect(person.page.get_by_role("heading", name="Taquería El Farol")).to_be_visible()
        await person.press("Di «hola»")
        await person.answered("¡Qué onda!")
        await person.tab_to("Escribe un mensaje")
        await person.press_in_answer("Ver menú")
        await person.answered("menú")
        await person.tab_to("Escribe un mensaje")
        await person.press_in_answer("Ver opciones")
        await person.sheet.wait_for()
        await keys.press("Tab")
        await keys.press("Space")
        await keys.press("ArrowDown")
        await expect(person.sheet.get_by_role("radio", name="Taco de suadero")).to_be_checked()
        await keys.press("Enter")
        await person.answered("Cuántas unidades", "Taco de suadero")
        for button, answer in (
            ("3", "3 × Taco de suadero"),
            ("Hacer el pedido", "delivery o lo retiras"),
            ("Retiro en local", "Total: $ 90.00"),
            ("Sí, confirmar", "Pedido recibido"),
        ):
            await person.tab_to("Escribe un mensaje")
            await person.press_in_answer(button)
            await person.answered(answer)
        await person.sees_order(shop, {"tenant": "default/farol", "total": 3 * 3000, "fulfilment": "pickup"})


async def test_phone_orders_from_the_catalogue_and_shares_a_place(browser: Browser, shop: Shop) -> None:
    async with person_with(browser, PHONE, "Julieta Rivas", "5491155556601") as person:
        await person.come_in(shop.url)
        await person.visit("La Parrilla")
        await person.page.get_by_role("button", name="Adjuntar").click()
        await person.sheet.get_by_role("button", name="Catálogo").click()
        for step in ("Más Bife de chorizo", "Más Malbec 750 ml", "Más Malbec 750 ml", "Menos Malbec 750 ml"):
            await person.sheet.get_by_role("button", name=step).click()
        await expect(person.sheet).to_contain_text("Total: $30.500")
        await person.sheet.get_by_role("button", name="Enviar pedido").click()
        await person.answered("Total: $ 30.500")
        await person.tap("Delivery", "A dónde te lo mandamos")
        await person.log.get_by_role("button", name="Enviar ubicación").click()
        await person.sheet.get_by_role("button", name="Cerca del restaurante").click()
        await person.answered("Envío: $ 1.800", "Total: $ 32.300")
        await person.tap("Sí, confirmar", "¡A la parrilla!")
        await person.sees_order(
            shop,
            {"tenant": "parrilla/parrilla", "total": 1850000 + 1200000 + 180000, "fulfilment": "delivery"},
        )
        [order] = shop.orders_of(person)
        assert (round(order["latitude"], 2), round(order["longitude"], 2)) == (-34.58, -58.43)
