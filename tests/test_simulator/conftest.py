import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.test_simulator.browser import ARGUMENTS, Bot, Chat, chromium, open_page
from tests.test_simulator.harness import Receiver, Simulator, run_receiver, run_simulator


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with run_receiver() as running:
        yield running


@pytest.fixture
async def sim(receiver: Receiver) -> AsyncIterator[Simulator]:
    async with run_simulator(receiver) as running:
        yield running


# Tests of the page share one browser, so all they use lives in the loop of their module.


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def live() -> AsyncIterator[Simulator]:
    """A simulator whose clock is the browser's."""
    async with run_receiver() as receiver, run_simulator(receiver) as running:
        running.clock.now = time.time()
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def bot(live: Simulator) -> AsyncIterator[Bot]:
    made = Bot(live)
    live.receiver.handler = made.take
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def chat(browser: Browser, live: Simulator, bot: Bot) -> AsyncIterator[Chat]:
    made = await open_page(browser, live)
    yield made
    await made.page.context.close()
    assert made.problems == []
