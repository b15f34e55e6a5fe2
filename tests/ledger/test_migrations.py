"""Migrations keep what is there, and fill what later versions need."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, event, inspect, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.ledger import audience_models, audit, migrations
from pme_airflow.ledger.keys import slot_key
from pme_airflow.ledger.migrations import known_revisions, migrate
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.server_locks import lock_name
from pme_airflow.ledger.tables import HEAD_REVISION, metadata
from pme_airflow.ledger.tables import events as event_table
from pme_airflow.ledger.tables import links as link_table
from pme_airflow.ledger.tables import publications as publication_table
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, MODEL, OTHER, ledger_at

NOW = FakeClock().now()
MICROSECONDS = int(NOW.timestamp() * 1_000_000)
LONG = "r" * 690
RUNS = ["dag/run/mint/3", "cli/me@host/ledger flag/1a2b3c4d", f"dag/{LONG}", "python"]


def insert(engine: Engine, table: str, *rows: dict[str, Any]) -> None:
    names = ", ".join(rows[0])
    statement = text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{n}' for n in rows[0])})")
    with engine.begin() as connection:
        connection.execute(statement, list(rows))


def link(number: int, state: str, run: str, client_id: str = CLIENT) -> dict[str, Any]:
    day = int(timedelta(days=1).total_seconds() * 1_000_000)
    return {
        "link_id": f"lnk_{number:032x}", "client_id": client_id, "model_id": MODEL, "audience": AUDIENCE,
        "state": state, "run": run, "run_uid": "u", "valid_for": 86400, "requested_at": MICROSECONDS,
        "valid_until": MICROSECONDS + day, "revoke_attempts": 0, "irrevocable": False,
    }  # fmt: skip


@pytest.fixture
def engine(ledger_address: str) -> Engine:
    return create_engine(ledger_address, poolclass=NullPool)


@pytest.mark.parametrize("revision", sorted(known_revisions()))
def test_an_upgrade_from_every_earlier_revision_keeps_its_rows(
    engine: Engine, ledger_address: str, revision: str
) -> None:
    migrate(engine, revision)
    row = link(1, "live", RUNS[0])
    insert(engine, "pme_links", row)
    database = ledger_at(ledger_address)
    database.migrate()
    assert database.revision() == HEAD_REVISION
    with database.read() as tx:
        (kept,) = audit.list_links(tx)
    assert (kept.link_id, kept.state.value, kept.run) == (row["link_id"], "live", RUNS[0])


def test_the_upgrade_lets_a_retry_find_what_its_first_attempt_minted(engine: Engine, ledger_address: str) -> None:
    migrate(engine, "0003")
    kinds = [(run, state) for run in RUNS for state in ("live", "minting", "revoked")]
    insert(engine, "pme_links", *(link(number, state, run) for number, (run, state) in enumerate(kinds)))
    insert(engine, "pme_links", *(link(number, "live", RUNS[0]) for number in range(1000, 1700)))
    migrate(engine)
    task = RunContext.of_task("dag", "run", "mint", 5)
    with ledger_at(ledger_address).read() as tx:
        keys = tx.execute(select(link_table.c.run, link_table.c.state, link_table.c.task_key)).all()
    assert {key for run, state, key in keys if run == RUNS[0] and state != "revoked"} == {task.task_key}
    assert {key for run, state, key in keys if run != RUNS[0] or state == "revoked"} == {None}


def test_the_upgrade_gives_publications_and_what_left_the_account_an_owner(engine: Engine, ledger_address: str) -> None:
    migrate(engine, "0003")
    for number, (run, client_id) in enumerate(zip(RUNS[:3], (CLIENT, OTHER, CLIENT), strict=True)):
        row = link(number, "live", run, client_id)
        insert(engine, "pme_links", row)
        about = {"model_id": f"Model{number}", "audience": AUDIENCE, "run": run}
        publication = {
            "slot_key": f"key{number}", "target": "site", "slot": f"slot{number}", "link_id": row["link_id"],
            "link_seq": number + 1, "published_at": MICROSECONDS, "details": "{}", **about,
        }  # fmt: skip
        insert(engine, "pme_publications", publication)
        events = [{"at": MICROSECONDS, "event": event, "reason": "r", **about} for event in ("delisted", "published")]
        insert(engine, "pme_events", *events)
    migrate(engine)
    with ledger_at(ledger_address).read() as tx:
        found = tx.execute(select(publication_table.c.client_id, publication_table.c.publisher)
                           .order_by(publication_table.c.slot_key)).all()  # fmt: skip
        before = NOW - timedelta(days=1)
        gone = {c: set(audience_models.delisted_since(tx, c, AUDIENCE, before)) for c in (CLIENT, OTHER)}
    assert found == [(CLIENT, "dag"), (OTHER, None), (CLIENT, None)]
    assert gone == {CLIENT: {"Model0", "Model2"}, OTHER: {"Model1"}}


def test_the_upgrade_gives_events_their_target_and_slot(engine: Engine, ledger_address: str) -> None:
    migrate(engine, "0004")
    recorded = [  # event, link, reason, target, slot
        ("published", "a", "site shows it at page 1", "site", "page 1"),
        ("published", "b", "new is the name of old now; it shows it at page 2", "new", "page 2"),
        ("withdrawn", "a", "site no longer shows it at page 1: it left: really", "site", "page 1"),
        ("withdrawn", "b", "site no longer shows it at page 9: it was never shown there", None, None),
        ("published", "c", f"site shows it at {'p' * 490}", None, None),
        ("retiring", "c", "replaced at site, page 1", None, None),
    ]
    rows = [
        {"at": MICROSECONDS, "event": event, "link_id": link_id, "reason": reason[:500], "run": "r"}
        for event, link_id, reason, *_ in recorded
    ]
    insert(engine, "pme_events", *rows)
    migrate(engine)
    with ledger_at(ledger_address).read() as tx:
        columns = (event_table.c.target, event_table.c.slot, event_table.c.slot_key)
        found = tx.execute(select(*columns).order_by(event_table.c.seq)).all()
    assert [(target, slot) for target, slot, _ in found] == [(target, slot) for *_, target, slot in recorded]
    assert [key for _, _, key in found] == [None if t is None else slot_key(t, s) for t, s, _ in found]


def test_every_migration_can_be_undone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(engine)
    insert(engine, "pme_links", link(1, "live", RUNS[0]))
    for revision in ("0007", "0006", "0005", "0004", "0003", "0002", "0001"):
        with engine.connect() as connection, connection.begin():
            config = migrations._config()
            config.attributes["connection"] = connection
            command.downgrade(config, revision)
    migrate(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pme_links")) == 1


def test_a_migration_gives_its_lock_back(ledger_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL keeps such a lock for as long as the connection lives, and engines keep connections."""
    pooled = create_engine(ledger_address)
    migrate(pooled)
    monkeypatch.setattr(migrations, "_LOCK_SECONDS", 0)
    migrate(create_engine(ledger_address, poolclass=NullPool))
    pooled.dispose()


def test_a_migration_that_another_process_keeps_from_its_lock_says_so(
    engine: Engine, ledger_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ledger_address.startswith("mysql"):
        pytest.skip("elsewhere the database lets the second wait")
    monkeypatch.setattr(migrations, "_LOCK_SECONDS", 0)
    with create_engine(ledger_address, poolclass=NullPool).connect() as other:
        assert other.scalar(
            text("SELECT GET_LOCK(:name, 0)"), {"name": lock_name(migrations._LOCK_KIND, engine.url.database)}
        )
        with pytest.raises(LedgerUnavailableError, match="another process is migrating"):
            migrate(engine)


def test_a_migration_does_not_wait_for_that_of_another_ledger_on_the_server(
    engine: Engine, ledger_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ledger_address.startswith("mysql"):
        pytest.skip("elsewhere a lock is the database's own")
    monkeypatch.setattr(migrations, "_LOCK_SECONDS", 0)
    with create_engine(ledger_address, poolclass=NullPool).connect() as other:
        assert other.scalar(text("SELECT GET_LOCK(:name, 0)"), {"name": lock_name(migrations._LOCK_KIND, "another")})
        migrate(engine)
    assert "pme_links" in inspect(engine).get_table_names()


def killing_itself(engine: Engine, killer: Engine, statement: str) -> None:
    """Make each connection of an engine end after its first statement of a kind that was executed."""

    @event.listens_for(engine, "after_cursor_execute")
    def _executed(connection: Any, _cursor: object, executed: str, *_: object) -> None:
        if re.match(statement, executed.strip(), re.IGNORECASE):
            with killer.connect() as other:
                other.execute(text(f"KILL {connection.connection.dbapi_connection.thread_id()}"))


def test_a_migration_that_dies_after_each_statement_ends_and_keeps_no_lock(ledger_address: str) -> None:
    """MySQL and MariaDB commit each change of a table by itself, so the next attempt meets what the last one made."""
    if not ledger_address.startswith("mysql"):
        pytest.skip("elsewhere a migration that fails is undone")
    killer = create_engine(ledger_address, isolation_level="AUTOCOMMIT")
    dying = create_engine(ledger_address)
    killing_itself(dying, killer, "(CREATE|ALTER|DROP) ")
    died = 0
    while died < 100:
        try:
            migrate(dying)
            break
        except OperationalError:
            died += 1
            with killer.connect() as other:
                name = {"name": lock_name(migrations._LOCK_KIND, dying.url.database)}
                assert other.scalar(text("SELECT IS_FREE_LOCK(:name)"), name) == 1
    assert 30 < died < 100
    insert(killer, "pme_links", link(1, "live", RUNS[0]))
    database = ledger_at(ledger_address)
    assert database.revision() == HEAD_REVISION
    with database.read() as tx:
        found = inspect(tx.connection)
        for name, table in metadata.tables.items():
            assert {column["name"] for column in found.get_columns(name)} == {column.name for column in table.columns}
            assert {index.name for index in table.indexes} <= {index["name"] for index in found.get_indexes(name)}
    dying.dispose()
    killer.dispose()


def test_a_migration_whose_statement_is_refused_gives_its_lock_back(
    ledger_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection lives on in the pool, and with it a lock that nobody released."""
    pooled = create_engine(ledger_address)
    migrate(pooled, "0003")
    with pooled.begin() as connection:
        connection.execute(text("CREATE VIEW pme_listings AS SELECT link_id FROM pme_links"))
        connection.execute(text("DROP TABLE pme_publications"))
    with pytest.raises(DBAPIError):
        migrate(pooled)
    monkeypatch.setattr(migrations, "_LOCK_SECONDS", 0)
    with pytest.raises(DBAPIError):
        migrate(create_engine(ledger_address, poolclass=NullPool))
    pooled.dispose()


def test_migrations_are_found_wherever_the_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_HERE", Path("/srv/50%off/migrations"))
    config = migrations._config()
    assert config.get_main_option("script_location") == "/srv/50%off/migrations"
    assert config.get_main_option("path_separator") == "os"
