"""The chat page can be read and touched by everybody: contrast, size of targets, motion."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.async_api import Browser, ViewportSize, expect

from tests.test_simulator.browser import DESKTOP, PHONE, Bot, open_page
from tests.test_simulator.harness import Simulator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CONTRAST = """
() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const over = (top, under) => ({ r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a),
    b: top.b * top.a + under.b * (1 - top.a), a: 1 });
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ({ r, g, b }) => [r, g, b].map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.a > 0) layers.push(colour);
      if (colour.a === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 });
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const seen = node.checkVisibility({ visibilityProperty: true }) && !node.closest(".spoken, :disabled");
    if (!seen || !walker.currentNode.textContent.trim()) continue;
    const under = ground(node);
    const values = [light(over(parse(getComputedStyle(node).color), under)), light(under)].sort((a, b) => b - a);
    const ratio = (values[0] + 0.05) / (values[1] + 0.05);
    if (ratio < 4.5) poor.push(`${walker.currentNode.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""
SMALL_TARGETS = """
() => [...document.querySelectorAll("button, .number, .action, .place, input, textarea, .row")]
  .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.hidden)
  .map((node) => (node.matches("[type=radio], [type=checkbox]") ? node.closest("label") : node))
  .map((node) => [node.className || node.tagName, node.getBoundingClientRect()])
  .filter(([, box]) => box.width < 44 || box.height < 44)
  .map(([name, box]) => `${name}: ${box.width}×${box.height}`)
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_everything_is_readable_and_large_enough_to_touch(
    browser: Browser, live: Simulator, bot: Bot, viewport: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    chat = await open_page(browser, live, viewport, color_scheme=scheme, reduced_motion="reduce")
    page = chat.page

    async def check() -> None:
        assert await page.evaluate(CONTRAST) == []
        assert await page.evaluate(SMALL_TARGETS) == []
        assert await page.evaluate("document.getAnimations().length") == 0

    await page.goto(live.url)
    await page.get_by_role("link", name="Pizzería Napoli").wait_for()
    await check()
    await chat.open()
    for count, text in enumerate(("hello", "list", "place", "catalogue", "link", "formatted", "shop"), start=1):
        await chat.say(text)
        await expect(chat.log.locator(".theirs")).to_have_count(count)
    await check()
    for opener in ("Open the list", "Send location", "View catalogue", "Attach", "Emoji"):
        await page.get_by_role("button", name=opener).first.click()
        await chat.sheet.wait_for()
        await check()
        await page.keyboard.press("Escape")
        await expect(chat.sheet).to_have_count(0)
    await page.context.close()
    assert chat.problems == []
