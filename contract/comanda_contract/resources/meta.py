"""What all resources share: camelCase fields, closed schemas, rules, metadata, and what a kind tells its CRD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from comanda_contract.resources.forms import DnsLabel, DnsName
from comanda_contract.resources.rules import RULES, Rule


@dataclass(frozen=True)
class PrinterColumn:
    """A column of `kubectl get`; those with a priority above 0 are shown by `-o wide` alone."""

    name: str
    path: str
    description: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    priority: int = 0


AGE = PrinterColumn("Age", ".metadata.creationTimestamp", "Time since it was made.", "date")


def condition_column(name: str, condition: str, field: str, description: str, priority: int = 0) -> PrinterColumn:
    """Return the column that shows a field of one condition."""
    path = f'.status.conditions[?(@.type=="{condition}")].{field}'
    return PrinterColumn(name, path, description, priority=priority)


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
    """Base of everything inside a resource: camelCase outside, closed, immutable, of the types that JSON has.

    As for the API server, a field that is null is a field that is not there.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True)

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _null_says_nothing(cls, data: Any) -> Any:
        if not isinstance(data, dict) or None not in data.values():
            return data
        known = {info.alias for info in cls.model_fields.values()}
        return {key: value for key, value in data.items() if value is not None or key not in known}

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        broken = [rule.error(self) for rule in self.rules if not rule.allows(self)]
        if broken:
            raise ValidationError.from_exception_data(type(self).__name__, broken)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        if cls.rules:
            handler.resolve_ref_schema(described)[RULES] = [rule.to_dict() for rule in cls.rules]
        return described


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


_ATOMIC = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})


class SecretRef(Part):
    """Names a Secret in the same namespace."""

    model_config = _ATOMIC

    name: DnsName = Field(description="Name of a Secret in the namespace of this resource.", examples=["napoli-token"])


class ConfigMapRef(Part):
    """Names a ConfigMap in the same namespace."""

    model_config = _ATOMIC

    name: DnsName = Field(
        description="Name of a ConfigMap in the namespace of this resource.", examples=["napoli-menu"]
    )


def name_rule(most: int, reason: str) -> Rule:
    """Return the rule for the names of a kind: a label of at most so many characters, for a reason."""
    message = f"must be lower-case letters, digits and -, at most {most} characters, because {reason}; choose another"
    pattern = f"^[a-z0-9]([-a-z0-9]{{0,{most - 2}}}[a-z0-9])?$"
    return Rule(
        f"self.metadata.name.matches(r'{pattern}')",
        message,
        lambda resource: _is_label(resource.metadata.name, most),
        "metadata.name",
    )


def _is_label(name: str, most: int) -> bool:
    return len(name) <= most and "." not in name  # Metadata has seen to the rest


class ResourceBase(Part):
    """Base of the custom resources."""

    definition: ClassVar[Definition]

    api_version: Literal["comanda.dev/v1alpha1"] = Field(
        default="comanda.dev/v1alpha1", description="API group and version.", examples=["comanda.dev/v1alpha1"]
    )
    metadata: Metadata = Field(description="Name, namespace, labels.", examples=[{"name": "napoli"}])

    @classmethod
    def model_validate(cls, obj: Any, **settings: Any) -> Self:
        """Read a resource as the API server does: fields by their names in YAML alone. Raises `ValidationError`."""
        return super().model_validate(obj, **{"by_alias": True, "by_name": False, **settings})
