"""Settings of a bot pod, from environment variables that begin with `COMANDA_BOTPOD_`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class BotPodSettings(BaseSettings):
    """All that a pod is told; the same in a cluster and on a laptop."""

    model_config = SettingsConfigDict(env_prefix="COMANDA_BOTPOD_", extra="forbid", frozen=True)

    pod: str = Field(description="Stable name of this pod, such as pool-default-0.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8081, ge=0, le=65535, description="Port to listen on.")
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of /metrics alone; 0 serves it on the pod's port."
    )
    tenants_dir: Path = Field(description="Folder of mounted tenant settings.")
    credentials_dir: Path = Field(description="Folder of mounted credentials.")
    group_key: SecretStr = Field(description="Key that the router must show, hex.")
    database_url: str = Field(description="SQLAlchemy URL of the group's database.")
    graph_url: HttpUrl = Field(default=HttpUrl("https://graph.facebook.com"), description="Where the Graph API is.")
    turns_at_once: int = Field(default=64, ge=1, le=1024, description="Conversations handled at the same time.")
    sends_at_once: int = Field(default=64, ge=1, le=1024, description="Graph API calls under way at the same time.")
    send_timeout_seconds: float = Field(default=15.0, gt=0, le=60, description="Total limit of one Graph API call.")
    reload_seconds: float = Field(default=0.5, gt=0, le=60, description="How often mounted files are looked at.")
    stale_after_seconds: float = Field(
        default=3600, gt=0, le=7 * 86400, description="A message older than this is stored and not answered."
    )
    free_bytes: int = Field(
        default=64 * 1024 * 1024, ge=0, description="Below this room for the embedded database nothing is taken in."
    )
    pending_per_tenant: int = Field(
        default=20_000, ge=1, description="Messages of one tenant that may wait for their turn; more are refused."
    )
    rates_file: Path | None = Field(
        default=None, description="Meta's prices as CSV; without it the few that come with this version."
    )
    database_wait_seconds: float = Field(
        default=30,
        ge=0,
        le=600,
        description="How long a pod that starts waits for a database that is not there, or not migrated yet.",
    )
    lease_seconds: float = Field(
        default=5, ge=2, le=60, description="A pod that has not shown itself for so long is taken for dead."
    )
    unknown_seconds: float = Field(
        default=10, ge=1, le=3600, description="How long a status may settle a send before it goes out once more."
    )
    statuses_days: float = Field(default=9, ge=8, description="How long statuses are kept.")
    messages_days: float = Field(default=180, ge=8, description="How long messages are kept.")
    drain_seconds: float = Field(default=20.0, gt=0, le=120, description="How long a stopping pod may finish its work.")
