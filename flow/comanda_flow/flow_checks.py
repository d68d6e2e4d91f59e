"""Rules of a flow that its schema cannot hold: where it leads, what it says, and how long that is."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter

from rapidfuzz import process

from comanda_contract.cloud import limits
from comanda_flow.documents import ANY_LANGUAGE, dotted
from comanda_flow.errors import Problem
from comanda_flow.flow import EDGES, TERMINAL_KINDS, AskNode, ConfirmNode, Flow, InfoNode, MessageNode, Node
from comanda_flow.phrasebook import BUTTON_KEYS, GENERAL_PLACEHOLDERS, PHRASEBOOK, ROW_KEYS, placeholders_of

Edge = tuple[str, str]
"""Where a reference stands in the document, and the node it names."""


def check_flow(flow: Flow, *, known: frozenset[str], known_texts: frozenset[str]) -> list[Problem]:
    """Return every broken rule.

    `known` and `known_texts` are all names in the document, also of entries that broke the schema and are not in
    `flow`; reachability is judged only when there are none of those.
    """
    problems = [*_unknown_targets(flow, known), *_orders_without_yes(flow)]
    problems += [*_texts_used(flow, known_texts), *_texts_written(flow)]
    if known == frozenset(flow.nodes) and not problems_of_targets(problems):
        problems += [*_unreachable(flow), *_dead_ends(flow), *_endless(flow)]
    return problems


def problems_of_targets(problems: list[Problem]) -> bool:
    """Tell whether some reference leads nowhere, so that reachability cannot be judged fairly."""
    return any("no node" in problem.rule for problem in problems)


def edges_of(name: str, node: Node) -> list[Edge]:
    """Return where a node leads, in the document's order."""
    found = [(f"nodes.{name}.{field}", target) for field in EDGES if (target := getattr(node, field, None))]
    options = getattr(node, "options", [])
    return found + [(dotted(["nodes", name, "options", i, "goto"]), option.goto) for i, option in enumerate(options)]


def _entrances(flow: Flow) -> list[Edge]:
    entrances = [("start", flow.start), ("on_order", flow.on_order)]
    for name, intent in flow.intents.items():
        entrances.append((f"intents.{name}.goto", intent.goto))
        if intent.with_cart:
            entrances.append((f"intents.{name}.with_cart", intent.with_cart))
    return entrances


def _all_edges(flow: Flow) -> list[Edge]:
    return _entrances(flow) + [edge for name, node in flow.nodes.items() for edge in edges_of(name, node)]


def _unknown_targets(flow: Flow, known: frozenset[str]) -> Iterator[Problem]:
    for path, target in _all_edges(flow):
        if target not in known:
            near = process.extractOne(target, sorted(known), score_cutoff=60)
            hint = f"Did you mean “{near[0]}”?" if near else "Add the node, or name another."
            yield Problem(path, f"leads to “{target}”, which is no node", hint)


def _orders_without_yes(flow: Flow) -> Iterator[Problem]:
    places = {name for name, node in flow.nodes.items() if node.kind == "place_order"}
    allowed = {f"nodes.{name}.place" for name, node in flow.nodes.items() if isinstance(node, ConfirmNode)}
    for path, target in _all_edges(flow):
        if target in places and path not in allowed:
            yield Problem(path, "places an order without a yes", "Lead to a confirm node instead.")
        if path in allowed and target in flow.nodes and target not in places:
            yield Problem(path, "must lead to a place_order node", "A yes to the summary is a yes to the order.")


def _reachable(flow: Flow) -> set[str]:
    reached: set[str] = set()
    waiting = [target for _, target in _entrances(flow)]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [target for _, target in edges_of(name, flow.nodes[name])]
    return reached


def _unreachable(flow: Flow) -> Iterator[Problem]:
    reached = _reachable(flow)
    for name in flow.nodes:
        if name not in reached:
            yield Problem(f"nodes.{name}", "is never reached", "Lead to it from another node or an intent.")


def _dead_ends(flow: Flow) -> Iterator[Problem]:
    for name, node in flow.nodes.items():
        leads_on = any(target != name for _, target in edges_of(name, node))
        if not leads_on and node.kind not in TERMINAL_KINDS and not getattr(node, "end", False):
            yield Problem(f"nodes.{name}", "is a dead end", "Give it options, otherwise or goto, or say end: true.")


def _endless(flow: Flow) -> Iterator[Problem]:
    """Find messages that follow each other in a circle without ever waiting for the customer."""
    for name in flow.nodes:
        at, steps = name, 0
        while steps <= len(flow.nodes) and (following := _goes_on_at_once(flow, at)):
            at, steps = following, steps + 1
            if at == name:
                yield Problem(f"nodes.{name}.goto", "goes in a circle without waiting", "Use options instead of goto.")
                break


def _goes_on_at_once(flow: Flow, name: str) -> str | None:
    node = flow.nodes[name]
    return node.goto if isinstance(node, MessageNode) else None


def _texts_used(flow: Flow, known_texts: frozenset[str]) -> Iterator[Problem]:
    for name, node in flow.nodes.items():
        uses = [(f"nodes.{name}.say", node.say, _said_limit(node))]
        options = getattr(node, "options", [])
        limit = limits.BUTTON_TITLE if len(options) <= limits.BUTTONS else limits.ROW_TITLE
        uses += [(dotted(["nodes", name, "options", i, "title"]), o.title, limit) for i, o in enumerate(options)]
        for path, key, most in uses:
            if key in flow.texts:
                yield from _too_long(f"texts.{key}", flow.texts[key], most, path)
            elif key not in PHRASEBOOK and key not in known_texts:
                near = process.extractOne(key, [*flow.texts, *PHRASEBOOK], score_cutoff=70)
                hint = f"Did you mean “{near[0]}”?" if near else "Add it to texts."
                yield Problem(path, f"says “{key}”, which is no text", hint)
        yield from _repeated_titles(flow, name, [option.title for option in options])
        if len({option.goto for option in options}) < len(options):
            yield Problem(f"nodes.{name}.options", "leads to the same node twice", "Keep one of the two.")


def _said_limit(node: Node) -> int:
    """Return how long a node's text may be: text beside buttons, lists or a location request is shorter."""
    plain = isinstance(node, MessageNode | InfoNode) and not node.options
    return limits.TEXT_BODY if plain or node.kind in TERMINAL_KINDS else limits.INTERACTIVE_BODY


def _too_long(path: str, texts: dict[str, str], most: int, used_at: str) -> Iterator[Problem]:
    for language, text in texts.items():
        length = limits.length(_fixed_part(text))
        if length > most:
            where = path if language == ANY_LANGUAGE else f"{path}.{language}"
            rule = f"has {length} characters, WhatsApp allows {most} where {used_at} uses it"
            yield Problem(where, rule, "Shorten it.")


def _fixed_part(template: str) -> str:
    try:
        return "".join(literal for literal, *_ in Formatter().parse(template))
    except ValueError:
        return template


def _repeated_titles(flow: Flow, name: str, keys: list[str]) -> Iterator[Problem]:
    known = [key for key in keys if key in flow.texts or key in PHRASEBOOK]
    for language in flow.locales:
        titles = [flow.text(key, language) for key in known]
        if len(set(titles)) < len(titles):
            yield Problem(f"nodes.{name}.options", f"has the same title twice in “{language}”", "Word them apart.")
            return


def _texts_written(flow: Flow) -> Iterator[Problem]:
    default = flow.locales[0]
    for key, texts in flow.texts.items():
        if default not in texts and ANY_LANGUAGE not in texts:
            yield Problem(f"texts.{key}.{default}", "is missing in the default locale", "Add the translation.")
        for language, text in texts.items():
            path = f"texts.{key}" if language == ANY_LANGUAGE else f"texts.{key}.{language}"
            if language != ANY_LANGUAGE and language not in flow.locales:
                yield Problem(path, "is in a language that locales does not name", f"Add {language} to locales.")
            yield from _placeholder_problems(path, key, text)
        if key in BUTTON_KEYS or key in ROW_KEYS:
            most = limits.BUTTON_TITLE if key in BUTTON_KEYS else limits.ROW_TITLE
            yield from _too_long(f"texts.{key}", texts, most, "a button" if key in BUTTON_KEYS else "a list")


def _placeholder_problems(path: str, key: str, text: str) -> Iterator[Problem]:
    try:
        used = placeholders_of(text)
    except ValueError:
        yield Problem(path, "has a brace without its partner", "Write {{ and }} for braces that should be seen.")
        return
    allowed = GENERAL_PLACEHOLDERS | (placeholders_of(PHRASEBOOK[key]["es"]) if key in PHRASEBOOK else frozenset())
    for name in sorted(used - allowed):
        yield Problem(path, f"uses {{{name}}}, which is no placeholder", f"Known are: {', '.join(sorted(allowed))}.")


__all__ = ["AskNode", "check_flow", "edges_of"]
