"""Where to deliver: taking an address or a location, asking for the district, refusing kindly what is too far."""

from __future__ import annotations

from comanda_contract.cloud.messages_in import Place
from comanda_contract.cloud.messages_out import shorten
from comanda_flow import lexicon
from comanda_flow.answers import fulfilment_in, is_address
from comanda_flow.flow import AskNode
from comanda_flow.pricing import coverage_of
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step, go, wait
from comanda_flow.screens import Tap, ask_location, choose, page, say
from comanda_flow.text import tokens
from comanda_flow.understand import understand

_ADDRESS_LENGTH = 250
_DISTRICT_LENGTH = 60


def at_address(scene: Scene, text: str) -> Scene:
    """Deliver to a typed address; a place given before no longer counts."""
    address = shorten(" ".join(text.split()), _ADDRESS_LENGTH)
    return scene.with_state(address=address, district="", latitude=None, longitude=None)


def at_place(scene: Scene, place: Place) -> Scene:
    """Deliver to a location; a typed address stays when it is only made more exact."""
    typed = "" if coverage_of(scene.restaurant, scene.state).kind == "outside" else scene.state.address
    named = ", ".join(part for part in (place.name, place.address) if part)
    return scene.with_state(
        fulfilment="delivery",
        latitude=place.latitude,
        longitude=place.longitude,
        address=typed or shorten(named, _ADDRESS_LENGTH),
        district="",
    )


def enter(scene: Scene, node: AskNode) -> Step:
    """Ask for the place, for its district, or for another place; go on when it is served."""
    kind = coverage_of(scene.restaurant, scene.state).kind
    if kind == "outside":
        return _outside(scene)
    if kind == "district":
        return ask_district(scene, 0)
    exact = scene.state.latitude is not None or node.field == "address"
    return go(scene, node.goto) if kind == "served" and exact else wait(scene, ask_location(scene.text(node.say)))


def answer(scene: Scene, node: AskNode, said: Said) -> Step | None:
    """Take a typed address or district; also a change of mind, to pick it up."""
    fulfilment, rest = fulfilment_in(said.text)
    if fulfilment == "pickup" and not rest:
        return _pick_up(scene, node)
    if coverage_of(scene.restaurant, scene.state).kind == "district" and not looks_like_street(said.text):
        return go(scene.with_state(district=shorten(said.text, _DISTRICT_LENGTH)), scene.state.node)
    if node.field == "location":
        return enter(scene.noting("send_location"), node)
    if orders_something(scene, said):
        return None
    address = rest if fulfilment == "delivery" else said.text
    if not is_address(address):
        return enter(scene.noting("address_short"), node) if said.words else None
    return enter(at_address(scene, address), node)


def _pick_up(scene: Scene, node: AskNode) -> Step:
    if not scene.restaurant.pickup:
        return enter(scene.noting("only_delivery"), node)
    return go(scene.with_state(fulfilment="pickup"), node.goto)


def orders_something(scene: Scene, said: Said) -> bool:
    """Tell an order from an address: it begins as one and names something on the menu."""
    first = said.words[0] if said.words else ""
    begins = first in lexicon.ORDERING or first in lexicon.NUMBERS or first.isdigit()
    return begins and bool(understand(said.text, scene.restaurant).mentions)


def looks_like_street(text: str) -> bool:
    """Tell whether a text is an address beyond doubt: words and a number, or a word for street."""
    read = [token for token in tokens(text) if not token.separates]
    numbered = any(t.word[:1].isdigit() for t in read[1:]) and any(t.word.isalpha() and len(t.word) > 2 for t in read)
    return len(read) > 1 and (numbered or read[0].word in lexicon.STREETS)


def ask_district(scene: Scene, number: int) -> Step:
    """Ask in which of the delivery zones' districts the place is."""
    names = [name for zone in scene.restaurant.zones for name in zone.names]
    taps = [Tap(scene.id("district", shorten(name, _DISTRICT_LENGTH)), name) for name in dict.fromkeys(names)]
    taps.append(Tap(scene.id("district", "-"), scene.text("other_district")))
    text = scene.text("ask_district", place=scene.state.address or scene.text("that_place"))
    return wait(scene, choose(scene, text, page(scene, taps, number, "districts", "")))


def _outside(scene: Scene) -> Step:
    other = Tap(scene.id("elsewhere"), scene.text("other_address_button"))
    if not scene.restaurant.pickup:
        return wait(scene, say(scene.text("outside_only_delivery"), [other]))
    pickup = Tap(scene.id("set", "fulfilment=pickup"), scene.text("pickup_button"))
    return wait(scene, say(scene.text("outside"), [pickup, other]))
