"""`BotPool`: a set of bot pods that many standard tenants share."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from comanda_contract.resources.forms import Image
from comanda_contract.resources.meta import (
    AGE,
    Definition,
    Part,
    PrinterColumn,
    ResourceBase,
    SecretRef,
    condition_column,
    name_rule,
)
from comanda_contract.resources.quantities import Resources
from comanda_contract.resources.rules import Rule
from comanda_contract.resources.scheduling import Scheduling
from comanda_contract.resources.status import StatusBase


class Autoscaling(Part):
    """Bounds for a HorizontalPodAutoscaler that the operator makes for the pool."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas must not be above maxReplicas; lower the one or raise the other",
            lambda bounds: bounds.min_replicas <= bounds.max_replicas,
            "minReplicas",
        ),
    )

    min_replicas: int = Field(
        default=2, ge=1, le=500, description="Pods that the pool has at least, however little comes in.", examples=[2]
    )
    max_replicas: int = Field(
        default=10, ge=1, le=500, description="Pods that the pool has at most, however much comes in.", examples=[10]
    )
    target_cpu_percent: int = Field(
        default=70,
        ge=10,
        le=100,
        description="CPU use to aim at, in percent of resources.requests.cpu.",
        examples=[70],
    )


class BotPoolSpec(Part):
    """How many pods, from which image, for how many tenants."""

    replicas: int = Field(
        default=2,
        ge=0,
        le=500,
        description="Pods of the pool. kubectl scale and autoscalers set it; with autoscaling, it is where they begin.",
        examples=[2],
    )
    image: Image | None = Field(
        default=None,
        description="Image of the bot pods. Without it, the bot pod's image that the operator was installed with.",
        examples=["comanda-botpod:0.1.0"],
    )
    max_tenants: int = Field(
        default=5000,
        ge=1,
        le=20000,
        description="Tenants that the pool takes; further ones wait until it has room and say so.",
        examples=[5000],
    )
    resources: Resources = Field(
        default=Resources(), description="Requests and limits of each pod.", examples=[{"requests": {"cpu": "500m"}}]
    )
    scheduling: Scheduling = Field(
        default=Scheduling(),
        description="Where the pods run.",
        examples=[{"topologyKey": "topology.kubernetes.io/zone"}],
    )
    database: SecretRef | None = Field(
        default=None,
        description="Secret with the key url, the address of the pool's PostgreSQL. Without it, pods keep "
        "their data in an embedded database.",
        examples=[{"name": "pool-database"}],
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Bounds for a HorizontalPodAutoscaler by CPU use. Without it, the number of pods is fixed, or "
        "set by an autoscaler of your own.",
        examples=[{"maxReplicas": 10}],
    )


class BotPoolStatus(StatusBase):
    """What the operator found."""

    replicas: int = Field(default=0, ge=0, description="Pods that there are.", examples=[2])
    ready_replicas: int = Field(default=0, ge=0, description="Pods that are ready.", examples=[2])
    tenants: int = Field(default=0, ge=0, description="Tenants that have a place in the pool.", examples=[312])
    selector: str = Field(
        default="",
        max_length=512,
        description="Label selector of the pods, which autoscalers read.",
        examples=["comanda.dev/group=pool-default"],
    )


class BotPool(ResourceBase):
    """A shared pool of bot pods for standard tenants."""

    definition: ClassVar[Definition] = Definition(
        plural="botpools",
        singular="botpool",
        short_names=("bp",),
        columns=(
            PrinterColumn("Replicas", ".spec.replicas", "Pods that are wanted.", "integer"),
            PrinterColumn("Ready", ".status.readyReplicas", "Pods that are ready.", "integer"),
            PrinterColumn("Tenants", ".status.tenants", "Tenants that have a place in it.", "integer"),
            PrinterColumn("Max Tenants", ".spec.maxTenants", "Tenants that it takes.", "integer", 1),
            condition_column("Reason", "Ready", "reason", "Why it is ready or not.", priority=1),
            PrinterColumn("Image", ".spec.image", "Image of its pods.", priority=1),
            AGE,
        ),
        scale=True,
    )
    rules: ClassVar[tuple[Rule, ...]] = (name_rule(47, "its pods are named pool-NAME-0 and labelled with it"),)

    kind: Literal["BotPool"] = Field(default="BotPool", description="Kind.", examples=["BotPool"])
    spec: BotPoolSpec = Field(
        default=BotPoolSpec(),
        description="What is wanted: how many pods, from which image, for how many tenants.",
        examples=[{"replicas": 2}],
    )
    status: BotPoolStatus | None = Field(
        default=None, description="What is, as the operator found it.", examples=[{"readyReplicas": 2}]
    )
