"""What all resources share: camelCase fields, closed schemas, metadata, conditions, and what a kind tells its CRD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
DnsName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", examples=["default"])
]


@dataclass(frozen=True)
class CelRule:
    """A rule over several fields: the CEL expression for the API server and the sentence a person reads."""

    rule: str
    message: str


@dataclass(frozen=True)
class PrinterColumn:
    """A column of `kubectl get`."""

    name: str
    path: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True)
class Definition:
    """What a CRD says besides its schema."""

    plural: str
    singular: str
    short_names: tuple[str, ...]
    columns: tuple[PrinterColumn, ...]
    scale: bool = False
    selectable_fields: tuple[str, ...] = ()


class Part(BaseModel):
    """Base of everything inside a resource: camelCase outside, closed, immutable."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    cel_rules: ClassVar[tuple[CelRule, ...]] = ()


class Metadata(BaseModel):
    """Kubernetes' object metadata, as far as Comanda reads it; other fields are kept out of the way."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    name: DnsName
    namespace: DnsLabel = "default"
    uid: str = ""
    generation: int = 1
    creation_timestamp: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


class SecretRef(Part):
    """Names a Secret in the same namespace."""

    name: DnsName = Field(description="Name of a Secret in the same namespace.", examples=["napoli-token"])


class ConfigMapRef(Part):
    """Names a ConfigMap in the same namespace."""

    name: DnsName = Field(description="Name of a ConfigMap in the same namespace.", examples=["napoli-menu"])


class Condition(Part):
    """One condition of a status, as Kubernetes defines it."""

    type: str = Field(description="What the condition is about.", max_length=64, examples=["Ready"])
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.", examples=["True"])
    reason: str = Field(default="", description="One CamelCase word for why.", max_length=64, examples=["Acknowledged"])
    message: str = Field(
        default="",
        description="A sentence for people: what, and what to do.",
        max_length=1024,
        examples=["Pod pool-default-0 serves it."],
    )
    observed_generation: int = Field(default=0, ge=0, description="Generation of the spec it speaks of.", examples=[3])
    last_transition_time: str | None = Field(
        default=None,
        description="When the status last changed.",
        json_schema_extra={"format": "date-time"},
        examples=["2026-11-24T09:30:00Z"],
    )


class StatusBase(Part):
    """What every status holds."""

    observed_generation: int = Field(default=0, ge=0, description="Generation last reconciled.", examples=[3])
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="Accepted, CredentialsReady, Scheduled, Ready.",
        examples=[[{"type": "Ready", "status": "True"}]],
    )


class Scheduling(Part):
    """Where pods may run."""

    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict,
        max_length=16,
        description="Labels that a node must have.",
        examples=[{"kubernetes.io/arch": "amd64"}],
    )
    priority_class_name: str = Field(
        default="",
        max_length=253,
        description="PriorityClass of the pods; empty for the cluster's default.",
        examples=["bots"],
    )
    topology_key: str = Field(
        default="kubernetes.io/hostname",
        max_length=253,
        description="Node label over which the pods are spread.",
        examples=["topology.kubernetes.io/zone"],
    )


Quantity = Annotated[
    str, Field(max_length=32, pattern=r"^([0-9]+(\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", examples=["250m"])
]


class Amounts(Part):
    """CPU and memory."""

    cpu: Quantity | None = Field(default=None, description="CPU, in cores or millicores.", examples=["250m"])
    memory: Quantity | None = Field(
        default=None, description="Memory in bytes, with a binary suffix.", examples=["256Mi"]
    )


class Resources(Part):
    """Requests and limits of the bot container."""

    requests: Amounts = Field(
        default=Amounts(cpu="100m", memory="128Mi"),
        description="What a node must have free.",
        examples=[{"cpu": "100m"}],
    )
    limits: Amounts = Field(
        default=Amounts(memory="512Mi"),
        description="What the container may use at most.",
        examples=[{"memory": "512Mi"}],
    )


Image = Annotated[str, Field(max_length=512, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$")]


class ResourceBase(BaseModel):
    """Base of the custom resources."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    definition: ClassVar[Definition]

    api_version: Literal["comanda.dev/v1alpha1"] = Field(
        default="comanda.dev/v1alpha1", description="API group and version.", examples=["comanda.dev/v1alpha1"]
    )
    metadata: Metadata = Field(description="Name, namespace, labels.", examples=[{"name": "napoli"}])
