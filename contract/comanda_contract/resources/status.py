"""What every status holds: conditions as Kubernetes defines them, and the generation that they speak of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from comanda_contract.resources.forms import Timestamp
from comanda_contract.resources.meta import Part
from comanda_contract.resources.rules import Distinct


class Condition(Part):
    """One condition of a status, as Kubernetes defines it."""

    type: str = Field(
        description="What the condition is about, as one CamelCase word.",
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z][A-Za-z0-9]*$",
        examples=["Ready"],
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.", examples=["True"])
    reason: str = Field(
        default="",
        description="Why, as one CamelCase word for machines; the documents list them.",
        max_length=64,
        pattern=r"^([A-Za-z][A-Za-z0-9]*)?$",
        examples=["Acknowledged"],
    )
    message: str = Field(
        default="",
        description="Why, as a sentence for people: what is the matter, and what to do.",
        max_length=1024,
        examples=["Pod pool-default-0 serves it."],
    )
    observed_generation: int = Field(
        default=0, ge=0, description="Generation of the resource that the condition speaks of.", examples=[3]
    )
    last_transition_time: Timestamp | None = Field(
        default=None, description="When the status last changed, in UTC.", examples=["2026-11-24T09:30:00Z"]
    )


class StatusBase(Part):
    """What every status holds."""

    observed_generation: int = Field(
        default=0,
        ge=0,
        description="Generation of the resource that the status speaks of; behind metadata.generation, it is old news.",
        examples=[3],
    )
    conditions: Annotated[tuple[Condition, ...], Field(strict=False), Distinct("type")] = Field(
        default=(),
        max_length=16,
        description="What holds and what does not, one of each type.",
        examples=[[{"type": "Ready", "status": "True"}]],
    )
