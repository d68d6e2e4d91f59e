"""The flow language: a conversation as data, which a restaurant chain writes in YAML without writing code.

    version: 1
    start: welcome                what a new customer meets
    on_order: fulfilment          where to go when somebody simply typed an order
    locales: [es, en, pt]         the first one is the default; every text must have it
    texts: {key: {es: …, en: …}}  sentences with {placeholders}; engine sentences may be overridden by their key
    intents: {name: {goto, words}}  wishes understood at any time ("menú", "hablar con una persona")
    nodes: {name: {kind, …}}      the steps

Each kind of node is one model here and one module in `nodes/`. `Flow.model_json_schema()` is the published schema.
Rules that a schema cannot hold are in `flow_checks.py`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from comanda_flow.documents import ANY_LANGUAGE, Document, LocalText, in_language
from comanda_flow.intents import Phrases, compile_phrases
from comanda_flow.phrasebook import PHRASEBOOK

NodeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
TextKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
Locale = Annotated[str, Field(pattern=r"^[a-z]{2}$")]


class Option(Document):
    """Something the customer can tap: up to three become buttons, four to ten a list."""

    title: TextKey = Field(description="The key of its text: at most 20 characters on a button, 24 in a list.")
    goto: NodeName
    when: Literal["always", "cart", "returning"] = Field(
        default="always", description="Shown always, with something in the cart, or to who has ordered before."
    )


class _Node(Document):
    """What every kind has."""

    say: TextKey = Field(description="The key of the text to say.")


class _Speaking(_Node):
    """A node that says something and offers ways to go on."""

    options: list[Option] = Field(default=[], max_length=10)
    otherwise: NodeName | None = Field(default=None, description="Where any other answer leads.")
    end: bool = Field(default=False, description="The conversation may rest here.")


class MessageNode(_Speaking):
    """Says something."""

    kind: Literal["message"]
    goto: NodeName | None = Field(default=None, description="Go on at once, without waiting for an answer.")
    clear: bool = Field(default=False, description="Empties the cart.")


class InfoNode(_Speaking):
    """Says something about the restaurant; `location` sends its place on the map."""

    kind: Literal["info"]
    show: Literal["hours", "address", "location"]


class MenuNode(_Node):
    """Shows the menu and takes what is chosen or typed: category, item, options, quantity."""

    kind: Literal["menu"]
    goto: NodeName = Field(description="Where to go when something was put into the cart.")
    empty: NodeName | None = Field(default=None, description="Where to go when nothing can be ordered.")
    ask_quantity: bool = Field(default=True, description="Ask how many of what was tapped; else it is one.")


class CartNode(_Node):
    """Shows the cart: order it, add to it, take lines out."""

    kind: Literal["cart"]
    confirm: NodeName
    add: NodeName
    empty: NodeName = Field(description="Where to go when there is nothing in the cart.")


class AskNode(_Node):
    """Asks for one thing about the order; passes on at once when it is known or does not apply."""

    kind: Literal["ask"]
    field: Literal["fulfilment", "address", "location", "name", "notes", "payment"]
    goto: NodeName
    when: Literal["always", "delivery", "pickup"] = "always"
    empty: NodeName | None = Field(default=None, description="Where to go when there is nothing in the cart.")
    edit: NodeName | None = Field(default=None, description="A further button: change the order first.")


class ConfirmNode(_Node):
    """Shows the summary with its total and waits for an explicit yes."""

    kind: Literal["confirm"]
    place: NodeName = Field(description="Where a yes leads: a place_order node. (YAML reads a key `yes` as true.)")
    change: NodeName
    cancel: NodeName
    empty: NodeName


class PlaceOrderNode(_Node):
    """Places the order; reached only from a confirm node's `place`."""

    kind: Literal["place_order"]


class RepeatNode(_Node):
    """Fills the cart with the last order."""

    kind: Literal["repeat"]
    goto: NodeName
    empty: NodeName = Field(description="Where to go when there is no last order.")


class HandoverNode(_Node):
    """Calls a person and leaves the conversation to them."""

    kind: Literal["handover"]


Node = Annotated[
    MessageNode | InfoNode | MenuNode | CartNode | AskNode | ConfirmNode | PlaceOrderNode | RepeatNode | HandoverNode,
    Field(discriminator="kind"),
]

TERMINAL_KINDS = frozenset({"place_order", "handover"})
"""Kinds after which the conversation rests."""
EDGES = ("goto", "otherwise", "empty", "confirm", "add", "edit", "place", "change", "cancel")
"""Fields of nodes that lead to another node."""


class Intent(Document):
    """A wish that is understood at any time, when a message says it and nothing else."""

    goto: NodeName
    with_cart: NodeName | None = Field(default=None, description="Where to go instead while the cart is not empty.")
    words: dict[Locale, list[str]] = Field(min_length=1, description="Phrases by language.")


class Flow(Document):
    """A whole conversation."""

    version: Literal[1]
    start: NodeName
    on_order: NodeName = Field(description="Where a typed or catalogue order leads once it is complete.")
    locales: list[Locale] = Field(min_length=1, max_length=20)
    idle_hours: float = Field(default=6, gt=0, le=720, description="After this silence a conversation begins anew.")
    texts: dict[TextKey, LocalText] = Field(default={}, max_length=500)
    intents: dict[NodeName, Intent] = Field(default={}, max_length=100)
    nodes: dict[NodeName, Node] = Field(min_length=1, max_length=200)

    @cached_property
    def phrases(self) -> Phrases:
        """The words of all intents, ready for matching; made once a flow."""
        return compile_phrases({name: intent.words for name, intent in self.intents.items()})

    def text(self, key: str, language: str) -> str:
        """Return the template of a text: the flow's own before the engine's, the language before the default."""
        own = self.texts.get(key)
        default = self.locales[0]
        if own is not None:
            return own.get(language) or own.get(default) or in_language(own, ANY_LANGUAGE)
        return PHRASEBOOK[key].get(language) or PHRASEBOOK[key].get(default) or PHRASEBOOK[key]["es"]

    def first(self, kind: str) -> str:
        """Return the name of the first node of a kind, "" when there is none."""
        return next((name for name, node in self.nodes.items() if node.kind == kind), "")

    def asking(self, *fields: str) -> str:
        """Return the name of the first node that asks for one of these fields, "" when there is none."""
        return next(
            (name for name, node in self.nodes.items() if isinstance(node, AskNode) and node.field in fields), ""
        )

    def rests(self, name: str) -> bool:
        """Tell whether nothing is being asked at a node, so that the next message begins anew."""
        node = self.nodes.get(name)
        return node is None or node.kind in TERMINAL_KINDS or bool(getattr(node, "end", False))
