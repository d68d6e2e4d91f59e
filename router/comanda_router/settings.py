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
    directory_file: Path = Field(description="The directory of apps, numbers, groups and pods.")
    apps_dir: Path = Field(description="Folder with a folder of mounted secrets for each Meta app.")
    master_key: SecretStr = Field(description="Key from which each group's key is derived, hex.")
    dead_letters_dir: Path = Field(description="Folder for what belongs to no tenant.")
    dead_letters_bytes: int = Field(default=64 * 1024 * 1024, ge=4096, description="Size of all dead letters at most.")
    deadline_seconds: float = Field(
        default=4.0, gt=0, le=20, description="Total limit of one webhook; Meta waits about 5 s."
    )
    reload_seconds: float = Field(default=0.25, gt=0, le=60, description="How often mounted files are looked at.")
