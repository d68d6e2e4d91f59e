"""Settings of the router, from environment variables that begin with `COMANDA_ROUTER_`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class RouterSettings(BaseSettings):
    """All that a router is told; the same in a cluster and on a laptop."""

    model_config = SettingsConfigDict(env_prefix="COMANDA_ROUTER_", extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on.")
    health_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port for `/healthz`, `/readyz`, `/metrics` and `/admin`; 0: they are on the main port.",
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="Processes that share the port; each takes a core under load."
    )
    reuse_port: bool = Field(
        default=False, description="Let another router listen on the same port: replicas on one machine."
    )
    directory_file: Path | None = Field(
        default=None,
        description="The directory of apps, numbers, groups and pods; without one, the Kubernetes API is followed.",
    )
    snapshot_file: Path | None = Field(
        default=None, description="Where the last directory is kept, for a start while the Kubernetes API is away."
    )
    apps_dir: Path = Field(description="Folder with the mounted secrets of the Meta apps, as APP.KEY.")
    master_key: SecretStr = Field(description="Key from which each group's key is derived, hex.")
    dead_letters_dir: Path = Field(description="Folder for what belongs to no tenant.")
    dead_letters_bytes: int = Field(default=64 * 1024 * 1024, ge=4096, description="Size of all dead letters at most.")
    deadline_seconds: float = Field(
        default=4.0, gt=0, le=20, description="Total limit of one webhook; Meta waits about 5 s."
    )
    reload_seconds: float = Field(
        default=0.25, gt=0, le=60, description="How often files are looked at: secrets, and the directory."
    )
    stall_seconds: float = Field(
        default=1.0,
        gt=0,
        le=20,
        description="A pod that has not answered for so long gets a rest; its numbers move on.",
    )
    pod_queue_deliveries: int = Field(
        default=8192, ge=1, description="Deliveries that may wait for one pod; on top of that webhooks get 503 at once."
    )
    pod_queue_bytes: int = Field(default=16 * 1024 * 1024, ge=4096, description="The same in bytes.")
    under_way_bytes: int = Field(
        default=256 * 1024 * 1024, ge=4 * 1024 * 1024, description="Bodies of all webhooks that wait for their answer."
    )
    customer_per_minute: int = Field(
        default=60,
        ge=1,
        le=100_000,
        description="Messages a minute of one customer to one number that get a turn: more than anybody types.",
    )
    customer_burst: int = Field(
        default=60, ge=1, le=100_000, description="The same at once, as when a phone that was offline comes back."
    )
    log_every: int = Field(
        default=1000, ge=0, description="One webhook in so many is logged, without who wrote or what; 0: none."
    )
    request_seconds: float = Field(
        default=10.0, gt=0, le=300, description="A request that has not come whole by then is cut off."
    )
    drain_seconds: float | None = Field(
        default=None,
        ge=0,
        le=120,
        description="How long the listener stays open after SIGTERM, while readiness is off; by default 5 with a "
        "health port and 0 without one, since then nobody watches readiness.",
    )

    @property
    def drain(self) -> float:
        """How long to drain, in seconds."""
        if self.drain_seconds is None:
            return 5.0 if self.health_port else 0.0
        return self.drain_seconds
