"""The conversation engine and the ordering domain: pure functions of flow, restaurant, state, message and time.

    flow = load_flow(document)                     what the bot says and where that leads
    restaurant = load_restaurant(document, …)      what it sells, when, where and for how much
    turn = advance(flow, restaurant, state, message, contact, now)

No I/O, no clock, no random: callers read the documents, store the states and send the replies.
"""

from __future__ import annotations

from comanda_flow.engine import Turn, advance
from comanda_flow.errors import FlowError, Problem, RestaurantError, StateError
from comanda_flow.flow import Flow
from comanda_flow.flow_loading import load_flow
from comanda_flow.money import money
from comanda_flow.orders import OrderDraft, OrderLine
from comanda_flow.restaurant import Restaurant, load_restaurant
from comanda_flow.restaurant_document import RestaurantDocument
from comanda_flow.state import CartLine, State, decode_state, encode_state

STANDARD_FLOW_RESOURCE = ("comanda_flow", "standard.yaml")
"""Package and file of the standard flow: `importlib.resources.files(package) / file`."""

__all__ = [
    "STANDARD_FLOW_RESOURCE",
    "CartLine",
    "Flow",
    "FlowError",
    "OrderDraft",
    "OrderLine",
    "Problem",
    "Restaurant",
    "RestaurantDocument",
    "RestaurantError",
    "State",
    "StateError",
    "Turn",
    "advance",
    "decode_state",
    "encode_state",
    "load_flow",
    "load_restaurant",
    "money",
]
