"""`BotPool`: a set of bot pods that many standard tenants share."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from comanda_contract.resources.meta import (
    CelRule,
    Definition,
    Image,
    Part,
    PrinterColumn,
    ResourceBase,
    Resources,
    Scheduling,
    SecretRef,
    StatusBase,
)


class Autoscaling(Part):
    """Bounds for a HorizontalPodAutoscaler that the operator makes for the pool."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule("self.minReplicas <= self.maxReplicas", "minReplicas must not be above maxReplicas"),
    )

    min_replicas: int = Field(default=2, ge=1, le=500, description="Fewest pods.", examples=[2])
    max_replicas: int = Field(default=10, ge=1, le=500, description="Most pods.", examples=[10])
    target_cpu_percent: int = Field(
        default=70, ge=10, le=100, description="CPU use, in percent of the request, to aim at.", examples=[70]
    )


class BotPoolSpec(Part):
    """How many pods, from which image, for how many tenants."""

    replicas: int = Field(
        default=2, ge=0, le=500, description="Pods in the pool; the scale subresource sets it.", examples=[2]
    )
    image: Image = Field(
        default="comanda-botpod:0.1.0", description="Image of the bot pods.", examples=["comanda-botpod:0.1.0"]
    )
    max_tenants: int = Field(
        default=5000,
        ge=1,
        le=20000,
        description="Tenants the pool takes; further ones are not scheduled.",
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
        description="Secret with the key url of the pool's database; none for the embedded one.",
        examples=[{"name": "pool-database"}],
    )
    autoscaling: Autoscaling | None = Field(
        default=None, description="Bounds for scaling by load; none for a fixed number.", examples=[{"maxReplicas": 10}]
    )


class BotPoolStatus(StatusBase):
    """What the operator found."""

    replicas: int = Field(default=0, ge=0, description="Pods that exist.", examples=[2])
    ready_replicas: int = Field(default=0, ge=0, description="Pods that are ready.", examples=[2])
    tenants: int = Field(default=0, ge=0, description="Tenants placed in the pool.", examples=[312])
    selector: str = Field(
        default="",
        max_length=512,
        description="Label selector of the pods, for autoscalers.",
        examples=["comanda.dev/group=pool-default"],
    )


class BotPool(ResourceBase):
    """A shared pool of bot pods for standard tenants."""

    definition: ClassVar[Definition] = Definition(
        plural="botpools",
        singular="botpool",
        short_names=("bp",),
        columns=(
            PrinterColumn("Replicas", ".spec.replicas", "integer"),
            PrinterColumn("Ready", ".status.readyReplicas", "integer"),
            PrinterColumn("Tenants", ".status.tenants", "integer"),
            PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
        ),
        scale=True,
    )

    kind: Literal["BotPool"] = Field(default="BotPool", description="Kind.", examples=["BotPool"])
    spec: BotPoolSpec = Field(default=BotPoolSpec(), description="What is wanted.", examples=[{"replicas": 2}])
    status: BotPoolStatus | None = Field(default=None, description="What is.", examples=[{"readyReplicas": 2}])
