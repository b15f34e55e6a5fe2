"""A real PgBouncer in front of a PostgreSQL server, where Debian's package is installed."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from pme_airflow.dev.playground.mariadb import program

__all__ = ["MISSING_PGBOUNCER", "pooled", "serving_pgbouncer"]

MISSING_PGBOUNCER = "needs Debian's pgbouncer"
_TRIES = 200


@contextmanager
def serving_pgbouncer(server: str, mode: str = "transaction", size: int = 3) -> Iterator[str]:
    """Run a pooler in front of a server that listens on a Unix socket; give the address of its administrative database.

    It runs as the user the server runs as, since it refuses to run as root and may not reach the socket otherwise.
    """
    url = make_url(server)
    sockets = str(url.query["host"])
    owner = Path(sockets).stat()
    with tempfile.TemporaryDirectory(prefix="pme-pgbouncer-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config = Path(folder) / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host={sockets} user={url.username}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {mode}\ndefault_pool_size = {size}\nmax_client_conn = 200\nlogfile = {folder}/log\n"
        )
        os.chmod(folder, 0o755)
        user = {}
        if os.geteuid() == 0:
            os.chown(folder, owner.st_uid, owner.st_gid)
            user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        process = subprocess.Popen(
            [str(program("pgbouncer")), str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user
        )  # type: ignore[call-overload]
        try:
            _wait_for(port)
            address = URL.create("postgresql+psycopg", url.username, None, "127.0.0.1", port, url.database)
            yield address.render_as_string(hide_password=False)
        finally:
            process.terminate()
            process.wait(timeout=30)


def pooled(address: str, pooler: str, driver: str = "psycopg") -> str:
    """A database's address by way of the pooler."""
    url = make_url(pooler).set(database=make_url(address).database, drivername=f"postgresql+{driver}")
    return url.render_as_string(hide_password=False)


def _wait_for(port: int) -> None:
    for _ in range(_TRIES):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("PgBouncer did not start.")
