"""What is wrong with a document that a person wrote: every problem at once, each with its place and a way out.

InvalidInputError (contract)
└── DocumentError       problems: all that was found
    ├── FlowError       a flow document
    └── RestaurantError a restaurant document
StateError              stored conversation state that is no JSON object
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comanda_contract.errors import InvalidInputError


@dataclass(frozen=True, order=True)
class Problem:
    """One broken rule: where (`nodes.menu.options[2].goto`), which rule, and what to do about it."""

    path: str
    rule: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.rule} {self.hint}".strip()


class DocumentError(InvalidInputError):
    """A document breaks rules; `problems` lists all of them, the message shows the first."""

    code = "invalid_document"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(first.path, first.rule + more, hint=first.hint)
        self.problems = tuple(problems)


class FlowError(DocumentError):
    """A flow document cannot be used."""

    code = "invalid_flow"


class RestaurantError(DocumentError):
    """A restaurant document cannot be used."""

    code = "invalid_restaurant"


class StateError(InvalidInputError):
    """Stored conversation state is not what `encode_state` wrote."""

    code = "invalid_state"
