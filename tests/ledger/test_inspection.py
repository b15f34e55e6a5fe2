"""A database is asked what it allows without a trace; a pooler in front of it is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from pme_airflow.clock import SystemClock
from pme_airflow.dev.playground.mariadb import program
from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import sqlite_engine, tuned
from pme_airflow.ledger.inspection import check_creatable, try_writing
from tests.support.databases import drop, fresh
from tests.support.pooler import MISSING_PGBOUNCER, serving_pgbouncer
from tests.support.unprivileged import public_folder, unprivileged


@pytest.mark.skipif(program("pgbouncer") is None, reason=MISSING_PGBOUNCER)
def test_pooler_is_seen(servers: Callable[[str], str]) -> None:
    address = fresh(servers("postgresql"))
    try:
        direct = Database(tuned(create_engine(address)), SystemClock())
        direct.prepare()
        assert not try_writing(direct).pooled
        with serving_pgbouncer(address) as pooled_address:
            engine = tuned(create_engine(pooled_address))
            trial = try_writing(Database(engine, SystemClock()))
            engine.dispose()
        direct.engine.dispose()
        assert trial.pooled
        assert trial.isolation == "read committed"
    finally:
        drop(address)


def test_file_that_cannot_be_made_is_named_and_none_is_left() -> None:
    with public_folder() as folder, unprivileged():
        place = Path(folder) / "home" / "ledger.db"
        with pytest.raises(LedgerUnavailableError, match="Allow writing to"):
            check_creatable(Database(sqlite_engine(place), SystemClock()))
        assert list(folder.iterdir()) == []


def test_file_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    place = tmp_path / "home" / "ledger.db"
    check_creatable(Database(sqlite_engine(place), SystemClock()))
    assert list(tmp_path.iterdir()) == []
