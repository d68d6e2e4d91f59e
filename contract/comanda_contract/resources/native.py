"""Kubernetes' own kinds that local mode reads from files: Secret and ConfigMap, as `kubectl apply` takes them."""

from __future__ import annotations

import base64
import binascii
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic.alias_generators import to_camel

from comanda_contract.resources.meta import Metadata


class _Native(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    api_version: Literal["v1"] = "v1"
    metadata: Metadata


class Secret(_Native):
    """A Secret; values never appear in its `repr`."""

    kind: Literal["Secret"] = "Secret"
    data: dict[str, SecretStr] = Field(default_factory=dict)
    string_data: dict[str, SecretStr] = Field(default_factory=dict)

    @field_validator("data")
    @classmethod
    def _is_base64(cls, data: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for key, value in data.items():
            try:
                base64.b64decode(value.get_secret_value(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                message = f"key {key} is not base64 of text; write it under stringData to give it as it is"
                raise ValueError(message) from None
        return data

    def values(self) -> dict[str, str]:
        """Return the secret's values in clear; `stringData` wins over `data`, as on the API server."""
        decoded = {key: base64.b64decode(value.get_secret_value()).decode() for key, value in self.data.items()}
        return decoded | {key: value.get_secret_value() for key, value in self.string_data.items()}


class ConfigMap(_Native):
    """A ConfigMap with text values."""

    kind: Literal["ConfigMap"] = "ConfigMap"
    data: dict[str, str] = Field(default_factory=dict)
