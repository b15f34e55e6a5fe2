"""A private MariaDB server on a socket in a folder, where Debian's package is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from pme_airflow.dev.playground.home import PlaygroundError, stop

__all__ = ["MISSING_MARIADB", "program", "serving_mariadb"]

MISSING_MARIADB = "needs Debian's mariadb-server"
_TRIES = 200


def program(name: str) -> str | None:
    """Return the path of a program, also of one in ``/usr/sbin``, where Debian puts servers."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextmanager
def serving_mariadb(folder: Path, *options: str) -> Iterator[tuple[Path, str]]:
    """Run a server in a folder while the block runs.

    :param options: further ones of the server.
    :return: its socket, and the address of its administrative database.
    :raises PlaygroundError: where it does not start.
    """
    data, socket = folder / "data", folder / "db.sock"
    user = ["--user=root"] if os.getuid() == 0 else []
    install = ["mariadb-install-db", f"--datadir={data}", "--auth-root-authentication-method=normal",
               "--skip-test-db", *user]  # fmt: skip
    if subprocess.run(install, capture_output=True).returncode:  # several at once may run out of asynchronous I/O
        shutil.rmtree(data, ignore_errors=True)
        time.sleep(3)
        subprocess.run(install, check=True, capture_output=True)
    process = subprocess.Popen(
        [str(program("mariadbd")), "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking",
         f"--pid-file={folder}/pid", *options, *user],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"mysql+pymysql://root@localhost/mysql?unix_socket={socket}&charset=utf8mb4"
    try:
        _wait_for(address)
        yield socket, address
    finally:
        stop(process)


def _wait_for(address: str) -> None:
    engine = create_engine(address)
    for _ in range(_TRIES):
        try:
            with engine.connect():
                engine.dispose()
                return
        except OperationalError:
            time.sleep(0.1)
    raise PlaygroundError("MariaDB did not start.")
