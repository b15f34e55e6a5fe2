"""A MariaDB of the playground serves while its block runs, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pme_airflow.dev.playground import mariadb
from pme_airflow.dev.playground.home import PlaygroundError


@pytest.mark.skipif(mariadb.program("mariadbd") is None, reason=mariadb.MISSING_MARIADB)
def test_a_server_serves_while_its_block_runs(tmp_path: Path) -> None:
    with mariadb.serving_mariadb(tmp_path) as (socket, address):
        engine = create_engine(address)
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        engine.dispose()
        assert socket.exists()
    assert not socket.exists()


def test_a_program_that_is_not_installed_is_none() -> None:
    assert mariadb.program("no-such-program") is None
    assert mariadb.program("sh")


def test_a_server_that_does_not_start_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mariadb, "_TRIES", 2)
    with pytest.raises(PlaygroundError, match="MariaDB did not start"):
        mariadb._wait_for(f"mysql+pymysql://root@localhost/mysql?unix_socket={tmp_path}/none")
