"""The chat page in a real browser: what customers do there, and that it reaches the bot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.test_simulator.browser import ARABIC, DESKTOP, PHONE, Bot, Chat, open_page
from tests.test_simulator.harness import NUMBER, SISTER, Simulator
from tests.test_simulator.test_nodes import PNG

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


async def tap_button(chat: Chat) -> None:
    await chat.page.get_by_role("button", name="Say “hola”").click()
    await chat.log.get_by_role("button", name="See the menu").click()
    tapped = await chat.sent(2)
    assert tapped["interactive"] == {"type": "button_reply", "button_reply": {"id": "menu", "title": "See the menu"}}
    assert tapped["context"]["id"]
    await expect(chat.log).to_contain_text("You chose menu")


async def choose_row(chat: Chat) -> None:
    await chat.say("list")
    await chat.log.get_by_role("button", name="Open the list").click()
    await expect(chat.sheet.get_by_role("button", name="Send")).to_be_disabled()
    await chat.sheet.get_by_text("Margherita").click()
    await chat.sheet.get_by_role("button", name="Send").click()
    chosen = await chat.sent(4)
    assert chosen["interactive"]["list_reply"] == {"id": "MARG", "title": "Margherita", "description": "Tomate"}


async def send_place(chat: Chat) -> None:
    await chat.say("place")
    await chat.log.get_by_role("button", name="Send location").click()
    await chat.sheet.get_by_role("button", name="Near the restaurant").click()
    place = await chat.sent(6)
    assert 0 < abs(place["location"]["latitude"] + 33.4372) < 0.01


async def send_order(chat: Chat) -> None:
    await chat.say("catalogue")
    await chat.log.get_by_role("button", name="View catalogue").click()
    for step in ("More Margherita", "More Margherita", "More Quattro formaggi", "Less Quattro formaggi"):
        await chat.sheet.get_by_role("button", name=step).click()
    await chat.sheet.get_by_label("Note for the restaurant").fill("sin cebolla")
    await expect(chat.sheet).to_contain_text("17,800")
    await chat.sheet.get_by_role("button", name="Send order").click()
    order = (await chat.sent(8))["order"]
    assert order["text"] == "sin cebolla"
    assert order["product_items"] == [
        {"product_retailer_id": "MARG", "quantity": 2, "item_price": 8900.0, "currency": "CLP"}
    ]
    await expect(chat.log).to_contain_text("2 × Margherita")
    await expect(chat.log).to_contain_text("Thanks for the order")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_whole_order_by_tapping(browser: Browser, live: Simulator, bot: Bot, viewport: ViewportSize) -> None:
    chat = await open_page(browser, live, viewport)
    await chat.page.goto(live.url)
    await chat.page.get_by_role("button", name="Ana Rojas").click()
    await chat.page.get_by_role("link", name="Pizzería Napoli").click()
    await expect(chat.page).to_have_url(re.compile(f"/chat/{NUMBER}$"))
    for step in (tap_button, choose_row, send_place, send_order):
        await step(chat)
    assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await chat.page.context.close()
    assert chat.problems == []


FOCUSED = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element with this name has the focus, and see that it shows it."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        if name in await page.evaluate(FOCUSED):
            assert await page.evaluate("document.activeElement.matches(':focus-visible')")
            return
    pytest.fail(f"the Tab key never reaches {name!r}")


async def press_in_log(chat: Chat, name: str) -> None:
    """Go from the conversation to the first button of this name by Tab alone and press it."""
    await chat.log.get_by_role("button", name=name).wait_for()
    await chat.page.get_by_role("region", name="Pizzería Napoli").focus()
    await tab_to(chat.page, name)
    await chat.page.keyboard.press("Enter")


async def type_line(chat: Chat, text: str) -> None:
    await chat.box.focus()
    await chat.page.keyboard.type(text)
    await chat.page.keyboard.press("Enter")


async def choose_row_by_keyboard(chat: Chat) -> None:
    keys = chat.page.keyboard
    await type_line(chat, "list")
    await press_in_log(chat, "Open the list")
    await chat.sheet.wait_for()
    await keys.press("Escape")
    await expect(chat.sheet).to_have_count(0)
    await expect(chat.log.get_by_role("button", name="Open the list")).to_be_focused()
    await keys.press("Enter")
    await chat.sheet.wait_for()
    await chat.sheet.get_by_role("radio").first.focus()
    await keys.press("ArrowDown")
    await keys.press("Enter")
    assert (await chat.sent(4))["interactive"]["list_reply"]["id"] == "WATER"


async def attach_place_by_keyboard(chat: Chat) -> None:
    keys = chat.page.keyboard
    await chat.box.focus()
    await keys.press("Shift+Tab")
    await keys.press("Shift+Tab")
    await keys.press("Enter")
    await chat.sheet.wait_for()
    await tab_to(chat.page, "Location")
    await keys.press("Enter")
    await expect(chat.sheet).to_contain_text("Where are you?")
    await tab_to(chat.page, "Near the restaurant")
    await keys.press("Enter")
    assert (await chat.sent(5))["type"] == "location"


async def order_by_keyboard(chat: Chat) -> None:
    keys = chat.page.keyboard
    await type_line(chat, "catalogue")
    await press_in_log(chat, "View catalogue")
    await tab_to(chat.page, "More Margherita")
    await keys.press("Space")
    await keys.press("Space")
    await tab_to(chat.page, "Send order")
    await keys.press("Enter")
    assert (await chat.sent(7))["order"]["product_items"][0]["quantity"] == 2


async def test_whole_visit_by_keyboard_alone(chat: Chat) -> None:
    keys = chat.page.keyboard
    await chat.page.goto(chat.sim.url)
    await chat.page.get_by_role("link", name="Pizzería Napoli").wait_for()
    await tab_to(chat.page, "Pizzería Napoli")
    await keys.press("Enter")
    await expect(chat.box).to_be_focused()
    await keys.type("first line")
    await keys.press("Shift+Enter")
    await keys.type("second line")
    await keys.press("Enter")
    assert (await chat.sent(1))["text"]["body"] == "first line\nsecond line"
    await press_in_log(chat, "See the menu")
    assert (await chat.sent(2))["interactive"]["button_reply"]["id"] == "menu"
    await choose_row_by_keyboard(chat)
    await attach_place_by_keyboard(chat)
    await order_by_keyboard(chat)


async def test_own_message_shows_sent_taken_and_read(chat: Chat, live: Simulator, bot: Bot) -> None:
    bot.quiet = True
    await chat.open()
    live.receiver.gate.clear()
    await chat.say("hello")
    ticks = chat.log.locator(".mine .ticks")
    await expect(ticks).to_have_text("sent")
    live.receiver.gate.set()
    await expect(ticks).to_have_text("read")
    await expect(chat.page.locator(".presence")).to_have_text("typing…")


async def test_bots_messages_are_read_while_the_chat_is_open(chat: Chat, live: Simulator) -> None:
    await chat.open(SISTER)
    await chat.say("hello")
    await chat.log.get_by_role("button", name="See the menu").wait_for()
    await live.receiver.until(lambda: "read" in [item["status"] for item in live.receiver.statuses])


async def test_message_from_another_restaurant_is_unread_until_opened(chat: Chat, live: Simulator) -> None:
    await live.write(phone_number_id=SISTER)
    await chat.open()
    await live.send_text("Tu pedido va en camino", number=SISTER)
    other = chat.page.get_by_role("link", name="Pizzería Roma")
    await expect(other).to_contain_text("Tu pedido va en camino")
    await expect(other.locator(".badge")).to_have_text("1")
    assert "read" not in [item["status"] for item in live.receiver.statuses]
    await other.click()
    await expect(other.locator(".badge")).to_have_count(0)
    await live.receiver.until(lambda: "read" in [item["status"] for item in live.receiver.statuses])


async def test_history_is_there_after_a_reload(chat: Chat) -> None:
    await chat.open()
    await chat.say("hello")
    await chat.log.get_by_role("button", name="See the menu").wait_for()
    await chat.page.reload()
    await expect(chat.log.locator(".message")).to_have_count(2)
    await expect(chat.log.locator(".mine .ticks")).to_have_text("read")
    await expect(chat.log.locator(".day")).to_have_text("Today")


async def test_lost_connection_is_told_and_healed(browser: Browser, live: Simulator, bot: Bot) -> None:
    chat = await open_page(browser, live)
    await chat.open()
    banner = chat.page.get_by_text("Connection lost. Trying again…")
    await expect(banner).to_be_hidden()
    await chat.page.route("**/simulator/events**", lambda route: route.abort())
    live.cloud.closing = True
    live.cloud.ledger.wake()
    await expect(banner).to_be_visible()
    live.cloud.closing = False
    await live.write("written meanwhile")
    await chat.page.unroute("**/simulator/events**")
    await expect(banner).to_be_hidden()
    await expect(chat.log).to_contain_text("written meanwhile")
    await expect(chat.log.get_by_role("button", name="See the menu")).to_be_visible()
    await chat.page.context.close()


async def test_message_taken_while_the_connection_was_lost_gets_its_tick(
    browser: Browser, live: Simulator, bot: Bot
) -> None:
    bot.quiet = True
    chat = await open_page(browser, live)
    await chat.open()
    live.receiver.script.append(503)
    live.receiver.gate.clear()
    await chat.say("hello")
    await expect(chat.log.locator(".mine .ticks")).to_have_text("sent")
    await chat.page.route("**/simulator/events**", lambda route: route.abort())
    live.cloud.closing = True
    live.cloud.ledger.wake()
    live.receiver.handler = None
    live.receiver.gate.set()
    await chat.sent(1)
    live.cloud.closing = False
    await chat.page.unroute("**/simulator/events**")
    await expect(chat.log.locator(".mine .ticks")).to_have_text("delivered")
    await chat.page.context.close()


async def test_message_that_never_arrives_says_so(chat: Chat, live: Simulator) -> None:
    await live.faults(fail_later={"code": 131026})
    await chat.open()
    await chat.say("hello")
    await expect(chat.log.locator(".theirs .failure")).to_contain_text("131026")


async def test_unsent_text_comes_back(browser: Browser, live: Simulator, bot: Bot) -> None:
    chat = await open_page(browser, live)
    await chat.open()
    await chat.page.route("**/simulator/messages**", lambda route: route.abort())
    await chat.say("do not lose me")
    await expect(chat.page.get_by_role("alert")).to_contain_text("Not sent")
    await expect(chat.box).to_have_value("do not lose me")
    await chat.page.context.close()


async def test_text_is_formatted_and_never_becomes_markup(chat: Chat) -> None:
    await chat.open()
    await chat.say("formatted")
    bubble = chat.log.locator(".theirs .text")
    await expect(bubble.locator("strong")).to_have_text("bold")
    await expect(bubble.locator("em")).to_have_text("italic")
    await expect(bubble.locator("s")).to_have_text("gone")
    await expect(bubble.locator("code")).to_have_text("code")
    await expect(bubble.locator("blockquote")).to_have_text("quoted")
    await expect(bubble.locator("a")).to_have_attribute("href", "https://menu.example/a")
    await expect(bubble).to_contain_text("2*3*4 <img src=x onerror=alert(1)>")
    await expect(bubble.locator("img")).to_have_count(0)


async def test_text_from_right_to_left_is_set_so(chat: Chat) -> None:
    await chat.open()
    await chat.say("arabic")
    bubble = chat.log.locator(".theirs .text")
    await expect(bubble).to_have_text(ARABIC)
    assert await bubble.evaluate("node => getComputedStyle(node).direction") == "rtl"


async def test_link_opens_a_new_tab_without_handing_anything_over(chat: Chat) -> None:
    await chat.open()
    await chat.say("link")
    link = chat.log.get_by_role("link", name="Pay")
    await expect(link).to_have_attribute("href", "https://pay.example/1")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    await expect(link).to_have_attribute("target", "_blank")


async def test_picture_is_picked_sent_and_shown(chat: Chat, tmp_path: Path) -> None:
    picture = tmp_path / "casa.png"
    picture.write_bytes(PNG)
    await chat.open()
    await chat.box.fill("my door")
    await chat.page.get_by_role("button", name="Attach").click()
    async with chat.page.expect_file_chooser() as chooser:
        await chat.sheet.get_by_role("button", name="Photo or document").click()
    await (await chooser.value).set_files(picture)
    image = (await chat.sent(1))["image"]
    assert (image["caption"], image["mime_type"]) == ("my door", "image/png")
    shown = chat.log.locator(".mine img")
    await expect(shown).to_have_attribute("alt", "my door")
    await expect(shown).to_have_js_property("naturalWidth", 1)
    await expect(chat.log.locator(".theirs .quote")).to_contain_text("my door")


async def test_message_is_answered_and_reacted_to(chat: Chat) -> None:
    await chat.open()
    await chat.say("shop")
    await expect(chat.log).to_contain_text("Av. 1")
    actions = chat.log.locator(".theirs").get_by_role("button", name="Actions for this message")
    await actions.click()
    await chat.sheet.get_by_role("button", name="Reply").click()
    await expect(chat.box).to_be_focused()
    await chat.say("thanks")
    shop = await chat.log.locator(".theirs").first.get_attribute("data-wamid")
    assert (await chat.sent(2))["context"]["id"] == shop
    await actions.first.click()
    await chat.sheet.get_by_role("button", name="React").click()
    await chat.sheet.get_by_role("button", name="👍").click()
    assert (await chat.sent(3))["reaction"] == {"message_id": shop, "emoji": "👍"}
    await expect(chat.log.locator(".theirs .reactions").first).to_have_text("👍")


async def test_details_show_the_wire_and_the_price(chat: Chat) -> None:
    await chat.open()
    await chat.say("hello")
    await chat.log.locator(".theirs").get_by_role("button", name="Actions for this message").click()
    await chat.sheet.get_by_role("button", name="Details").click()
    await expect(chat.sheet).to_contain_text("free_customer_service")
    await expect(chat.sheet).to_contain_text('"messaging_product": "whatsapp"')


async def test_coordinates_may_be_typed(chat: Chat) -> None:
    await chat.open()
    await chat.say("place")
    await chat.log.get_by_role("button", name="Send location").click()
    await chat.sheet.get_by_label("Latitude").fill("-33.5")
    await chat.sheet.get_by_label("Longitude").fill("-70.25")
    await chat.sheet.get_by_role("button", name="Send location").click()
    assert (await chat.sent(2))["location"] == {"latitude": -33.5, "longitude": -70.25}


async def test_own_position_may_be_used(browser: Browser, live: Simulator, bot: Bot) -> None:
    place = {"latitude": -33.25, "longitude": -70.5}
    chat = await open_page(browser, live, permissions=["geolocation"], geolocation=place)
    await chat.open()
    await chat.page.get_by_role("button", name="Attach").click()
    await chat.sheet.get_by_role("button", name="Location").click()
    await chat.sheet.get_by_role("button", name="Use my position").click()
    assert (await chat.sent(1))["location"] == place
    await chat.page.context.close()


async def test_somebody_else_has_another_conversation(chat: Chat, live: Simulator) -> None:
    await live.write("from Ana")
    await chat.open()
    await expect(chat.log).to_contain_text("from Ana")
    await chat.page.get_by_role("button", name="Leo Pérez").click()
    await expect(chat.page.get_by_text("No messages yet")).to_be_visible()
    await chat.say("from Leo")
    assert (await chat.sent(2))["from"] == "56955556666"
    await chat.page.reload()
    await expect(chat.log).to_contain_text("from Leo")


async def test_person_is_invented_with_a_hidden_phone(chat: Chat) -> None:
    await chat.open()
    await chat.page.get_by_role("button", name="Someone else…").click()
    await chat.sheet.get_by_role("button", name="Invent somebody").click()
    await chat.sheet.get_by_label("Name").fill("Zoë")
    await chat.sheet.get_by_label("Hide my phone number").check()
    await chat.sheet.get_by_role("button", name="Save").click()
    await expect(chat.page.get_by_role("button", name="Zoë")).to_have_attribute("aria-pressed", "true")
    await chat.say("hello")
    message = await chat.sent(1)
    assert "from" not in message
    assert message["from_user_id"].startswith("CL.")
    await expect(chat.log.get_by_role("button", name="See the menu")).to_be_visible()


async def test_page_speaks_the_persons_language(browser: Browser, live: Simulator) -> None:
    for locale, word in (("es-CL", "Restaurantes"), ("pt-BR", "Você é"), ("fr-FR", "Restaurants")):
        chat = await open_page(browser, live, locale=locale)
        await chat.page.goto(live.url)
        await expect(chat.page.get_by_text(word)).to_be_visible()
        await chat.page.context.close()


async def test_unknown_restaurant_shows_the_list(chat: Chat) -> None:
    await chat.page.goto(f"{chat.sim.url}/chat/404")
    await expect(chat.page.get_by_text("Pick a restaurant")).to_be_visible()
