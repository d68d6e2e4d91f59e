"""Bringing a schema to this version, on whichever database."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from comanda_store import migrations


def upgrade(connection: Connection) -> None:
    """Run what is missing of the migrations, inside the connection's transaction.

    A schema of the version after this one is left as it is: it only adds to ours, and a pod of this version that starts
    again in the middle of an upgrade works on it.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in revisions():
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def revisions() -> list[str]:
    """Return the revisions that this version knows, the first one first."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return [script.revision for script in scripts][::-1]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config
