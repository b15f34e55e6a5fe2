"""Migrations of the ledger's tables, run by Alembic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from pme_airflow.ledger.server_locks import server_lock

__all__ = ["known_revisions", "migrate", "migration_lock"]

_HERE = Path(__file__).parent
_LOCK = 7_306_914
_LOCK_KIND = "pme_migration"
_LOCK_SECONDS = 60


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def known_revisions() -> frozenset[str]:
    """Return every version this package can bring up to date."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the tables up to a version; two processes that do so at once take turns."""
    with engine.connect() as connection, migration_lock(connection), connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@contextmanager
def migration_lock(connection: Connection) -> Iterator[None]:
    """Keep other processes from migrating MySQL meanwhile; there a migration's statements commit one by one."""
    refusal = f"The ledger's tables: another process is migrating them, for over {_LOCK_SECONDS} s. Try again."
    with server_lock(connection, _LOCK_KIND, _LOCK_SECONDS, refusal):
        yield
