"""CPU and memory as Kubernetes writes them, within bounds, and requests that do not exceed their limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from comanda_contract.resources.meta import Part
from comanda_contract.resources.rules import Rule

_FACTORS = {
    "": Decimal(1), "m": Decimal("0.001"),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip

_CPU = r"^([0-9]{1,5}(\.[0-9]{1,3})?|[0-9]{1,8}m)$"
_MEMORY = r"^[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?$"


def amount(quantity: str) -> Decimal:
    """Return a quantity in cores or bytes: `amount("250m")` is 0.25. For what `Cpu` and `Memory` allow."""
    number = quantity.rstrip("mkKMGTi")
    return Decimal(number) * _FACTORS[quantity[len(number) :]]


def _between(pattern: str, least: str, most: str, message: str) -> Rule:
    form = re.compile(pattern)
    cel = (
        f"string(self).matches(r'{pattern}')"
        f" && quantity(string(self)).compareTo(quantity('{least}')) >= 0"
        f" && quantity(string(self)).compareTo(quantity('{most}')) <= 0"
    )

    def holds(text: str) -> bool:
        return form.fullmatch(text) is not None and amount(least) <= amount(text) <= amount(most)

    return Rule(cel, message, holds)


def _text_of_integer(value: Any) -> Any:
    return str(value) if type(value) is int else value


# Kubernetes takes `cpu: 2` for `cpu: "2"`, and so do all who write YAML for it.
_INTEGER_TOO = BeforeValidator(_text_of_integer)
_AS_KUBERNETES = {"x-kubernetes-int-or-string": True}

Cpu = Annotated[
    str,
    Field(max_length=16, json_schema_extra=_AS_KUBERNETES),
    _between(_CPU, "10m", "64", "must be cores or millicores from 10m to 64, such as 250m or 1.5"),
    _INTEGER_TOO,
]
Memory = Annotated[
    str,
    Field(max_length=20, json_schema_extra=_AS_KUBERNETES),
    _between(_MEMORY, "32Mi", "256Gi", "must be bytes from 32Mi to 256Gi with a suffix of Ki, Mi or Gi, such as 512Mi"),
    _INTEGER_TOO,
]


class Requests(Part):
    """What a node must have free."""

    cpu: Cpu = Field(
        default="100m",
        description="CPU that a node must have free for each pod, in cores or millicores, such as 250m or 1.5.",
        examples=["250m"],
    )
    memory: Memory = Field(
        default="128Mi",
        description="Memory that a node must have free for each pod, in bytes, such as 256Mi.",
        examples=["256Mi"],
    )


class Ceilings(Part):
    """What a container may use at most."""

    cpu: Cpu | None = Field(
        default=None,
        description="CPU that the bot container may use at most, in cores or millicores. Without it, all that the "
        "node has.",
        examples=["2"],
    )
    memory: Memory = Field(
        default="512Mi",
        description="Memory that the bot container may use at most, in bytes; it is killed and started again above it.",
        examples=["512Mi"],
    )


def _at_most_the_limit(resource: str) -> Rule:
    requested, limit = f"self.requests.{resource}", f"self.limits.{resource}"
    both = f"has({requested}) && has({limit})"
    # What is no quantity is said by the field's own rule, and this one has nothing to add.
    quantities = f"isQuantity(string({requested})) && isQuantity(string({limit}))"
    compared = f"quantity(string({requested})).compareTo(quantity(string({limit}))) <= 0"
    return Rule(
        f"!({both}) || !({quantities}) || {compared}",
        f"requests.{resource} must not be above limits.{resource}; lower the one or raise the other",
        _compared(resource),
        f"requests.{resource}",
    )


def _compared(resource: str) -> Callable[[Resources], bool]:
    def holds(resources: Resources) -> bool:
        requested, limit = getattr(resources.requests, resource), getattr(resources.limits, resource)
        return requested is None or limit is None or amount(requested) <= amount(limit)

    return holds


class Resources(Part):
    """Requests and limits of the bot container."""

    rules: ClassVar[tuple[Rule, ...]] = (_at_most_the_limit("cpu"), _at_most_the_limit("memory"))

    requests: Requests = Field(
        default=Requests(), description="What a node must have free for each pod.", examples=[{"cpu": "100m"}]
    )
    limits: Ceilings = Field(
        default=Ceilings(),
        description="What the bot container of each pod may use at most.",
        examples=[{"memory": "512Mi"}],
    )
