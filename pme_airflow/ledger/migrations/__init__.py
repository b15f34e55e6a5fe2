"""Migrations of the ledger's tables, run by Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

__all__ = ["known_revisions", "migrate"]

_HERE = Path(__file__).parent
_LOCK = 7_306_914


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def known_revisions() -> frozenset[str]:
    """Every version this package can bring up to date."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the tables up to a version; two processes that do so at once take turns."""
    with engine.begin() as connection:
        _take_turns(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _take_turns(connection: Connection) -> None:
    name = connection.dialect.name
    if name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    elif name in ("mysql", "mariadb"):
        connection.execute(text("SELECT GET_LOCK('pme_airflow_migration', 60)"))
