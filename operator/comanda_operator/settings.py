"""Settings of the operator, from environment variables that begin with `COMANDA_OPERATOR_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict


class OperatorSettings(BaseSettings):
    """All that an operator is told; how to reach the API it finds as every program in a pod does."""

    model_config = SettingsConfigDict(env_prefix="COMANDA_OPERATOR_", extra="forbid", frozen=True)

    namespace: str = Field(
        default="comanda", min_length=1, max_length=63, description="Where operator and router run, and the Lease is."
    )
    identity: str = Field(default="", description="Name of this replica in Lease and Events; by default the host's.")
    master_key_file: Path = Field(
        description="File with the key, in hex, from which each group's key is derived; the router has the same."
    )
    host: str = Field(default="127.0.0.1", description="Address of health and metrics.")
    health_port: int = Field(
        default=9090, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics; 0: none."
    )
    graph_url: HttpUrl = Field(
        default=HttpUrl("https://graph.facebook.com"), description="Where Meta is found, by pods and operator."
    )
    activity_seconds: float = Field(
        default=300.0, ge=0, le=86_400, description="How often pods are asked when messages came last; 0: never."
    )
    meta_check_hours: float = Field(
        default=6.0,
        ge=0,
        le=24 * 7,
        description="How often Meta is asked of each tenant's token, number and subscription; 0: never.",
    )
    meta_checks_per_second: float = Field(
        default=5.0, gt=0, le=1000, description="Tenants of which Meta is asked at most; each takes four calls."
    )
    bot_image: str = Field(
        default="comanda-botpod:0.1.0",
        min_length=1,
        max_length=512,
        description="Image of pods whose pool or tenant names none.",
    )
    bot_pull_secrets: tuple[str, ...] = Field(
        default=(),
        description="Secrets with credentials of a registry, for bot pods, as a JSON list; each must be in every "
        "namespace that has such pods.",
    )
    database_ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = Field(
        default=(5432,),
        min_length=1,
        max_length=8,
        description="Ports on which bot pods may reach their databases, as a JSON list.",
    )
    allowed_images: tuple[str, ...] = Field(
        default=(),
        description='Beginnings of images that enterprise tenants may run, as a JSON list such as ["registry/team/"]; '
        "empty: any.",
    )
    # They keep an API of its usual size busy. What more of them send would wait there, and a person's edit behind it.
    workers: int = Field(default=8, ge=1, le=256, description="Keys that are worked on at once.")
    writes_per_second: float = Field(default=200.0, gt=0, le=10_000, description="Writes to the API at most.")
    sweep_seconds: float = Field(default=600.0, ge=1, description="How often everything is looked at, to be sure.")
    lease_seconds: float = Field(
        default=15.0, ge=1, le=120, description="How long a Lease lasts: a dead leader is followed after that."
    )
    pod_port: int = Field(default=8081, ge=1, le=65535, description="Port on which pods say what they have loaded.")
