"""Statements over many rows: what they write, whatever the database, and how often they are compiled."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import event, func, insert, select
from sqlalchemy.dialects import mysql, postgresql

from pme_airflow.errors import LedgerError
from pme_airflow.ledger import bulk
from pme_airflow.ledger.bulk import insert_missing, insert_rows, one_of, update_rows
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import EPOCH, claims, events, links, manifests, paces
from tests.support.clocks import FakeClock
from tests.support.databases import fresh
from tests.support.ledgers import ledger_at

SHARED = {"owner": "uid", "process": "host|1|1", "expires_at": EPOCH}


KINDS = ["sqlite", "postgresql", "psycopg", "mysql"]
LINK = {"client_id": "c", "audience": "a", "state": "live", "run": "r", "run_uid": "u", "valid_for": 60, "task_key": None,
        "requested_at": EPOCH, "valid_until": EPOCH, "revoke_attempts": 0}  # fmt: skip


def _fresh(servers: Callable[[str], str], kind: str) -> Database:
    """An empty ledger; of ``psycopg``, in PostgreSQL under its newer driver."""
    address = fresh(servers("postgresql" if kind == "psycopg" else kind))
    return ledger_at(address.replace("psycopg2", "psycopg") if kind == "psycopg" else address)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_written_changed_and_found_alike_on_every_database(servers: Callable[[str], str], kind: str) -> None:
    database = _fresh(servers, kind)
    names = ["a", "b\x00c", "caf\u00e9", "\ud800", "x" * 300, "d'e\"f\\"]
    later = EPOCH + timedelta(microseconds=1)
    with database.write() as tx:
        insert_rows(tx, claims, {"claim_key": names}, SHARED)
        insert_rows(tx, claims, {"claim_key": ["a", "new"]}, {**SHARED, "owner": "other"}, skip_existing=True)
        update_rows(tx, claims, "claim_key", {"claim_key": names[:2], "expires_at": [later, later]})
    with database.read() as tx:
        query = select(claims.c.claim_key, claims.c.owner, claims.c.expires_at)
        found = tx.execute(query.where(one_of(tx, claims.c.claim_key, [*names, "absent"]))).all()
        assert len(found) == len(names)
        assert {row.owner for row in found} == {"uid"}
        assert {row.claim_key for row in found if row.expires_at == later} == {"a", "b\ufffdc"}
        assert tx.scalars(query.where(one_of(tx, claims.c.claim_key, []))).all() == []
        assert tx.scalar(select(claims.c.owner).where(one_of(tx, claims.c.claim_key, ["new"]))) == "other"
        assert tx.scalars(select(events.c.seq).where(one_of(tx, events.c.seq, [1, 2]))).all() == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_of_a_column_is_written_to_many_rows(servers: Callable[[str], str], kind: str) -> None:
    database = _fresh(servers, kind)
    later = EPOCH + timedelta(days=20_000, microseconds=1)
    pages = [
        {"manifest_id": "m", "page": page, "models": ["d'e", "caf\u00e9", page], "seen_at": later} for page in (0, 1)
    ]
    with database.write() as tx:
        insert_rows(tx, links, {"link_id": ["x", "y"], "model_id": ["m", "n"], "irrevocable": [True, False]}, LINK)
        seqs = tx.scalars(select(links.c.seq).order_by(links.c.seq)).all()
        assert seqs == sorted(seqs)
        changed = {"flagged_at": [None, later], "sealed": ["s" * 5000, None], "revoke_attempts": [0, 7],
                   "irrevocable": [False, True], "verified": [None, None]}  # fmt: skip
        update_rows(tx, links, "seq", {"seq": seqs[::-1], **changed})
        insert_missing(tx, manifests, pages)
    columns = [links.c[name] for name in ("link_id", "model_id", "task_key", *changed)]
    with database.read() as tx:
        assert [tuple(row) for row in tx.execute(select(*columns).order_by(links.c.seq))] == [
            ("x", "m", None, later, None, 7, True, None),
            ("y", "n", None, None, "s" * 5000, 0, False, None),
        ]
        assert tx.scalars(select(manifests.c.models).order_by(manifests.c.page)).all() == [p["models"] for p in pages]


@pytest.mark.parametrize("kind", ["postgresql", "psycopg"])
def test_many_rows_are_one_statement_and_no_text_is_cut(servers: Callable[[str], str], kind: str) -> None:
    database = _fresh(servers, kind)
    names = [f"key {index}" for index in range(200)]
    sent: list[bool] = []
    with database.write() as tx:
        event.listen(tx.connection, "before_cursor_execute", lambda *args: sent.append(args[-1]))
        insert_rows(tx, claims, {"claim_key": names}, SHARED)
        update_rows(tx, claims, "claim_key", {"claim_key": names, "owner": ["other"] * len(names)})
    assert sent == [False, False]
    with pytest.raises(LedgerError), database.write() as tx:
        insert_rows(tx, claims, {"claim_key": ["new"]}, SHARED | {"owner": "x" * 41})
    with pytest.raises(LedgerError), database.write() as tx:
        update_rows(tx, claims, "claim_key", {"claim_key": names[:1], "owner": ["x" * 41]})


def test_rows_are_updated_by_few_statements_on_mysql(servers: Callable[[str], str]) -> None:
    database = _fresh(servers, "mysql")
    names = [f"key {index}" for index in range(bulk._MYSQL_ROWS + 1)]
    times = [EPOCH + timedelta(microseconds=index) for index in range(len(names))]
    sent: list[str] = []
    with database.write() as tx:
        insert_rows(tx, claims, {"claim_key": [*names, "other"]}, SHARED)
        event.listen(tx.connection, "before_cursor_execute", lambda *args: sent.append(args[2]))
        update_rows(tx, claims, "claim_key", {"claim_key": names, "owner": ["new"] * len(names), "expires_at": times})
    assert len([text for text in sent if text.startswith("UPDATE pme_claims")]) == 2
    with database.read() as tx:
        found = tx.execute(select(claims.c.claim_key, claims.c.owner, claims.c.expires_at)).all()
    assert {row.claim_key: (row.owner, row.expires_at) for row in found} == {
        **{name: ("new", at) for name, at in zip(names, times, strict=True)},
        "other": ("uid", EPOCH),
    }
    with pytest.raises(LedgerError), database.write() as tx:
        update_rows(tx, claims, "claim_key", {"claim_key": names[:2], "owner": ["x" * 41, "y"]})


def test_a_statement_is_compiled_once(ledger: Database) -> None:
    with ledger.write() as tx, mock.patch.object(bulk._SQLITE, "statement_compiler") as compiler:
        compiler.side_effect = AssertionError("compiled again")
        with pytest.raises(AssertionError, match="compiled again"):
            insert_rows(tx, claims, {"expires_at": [EPOCH], "claim_key": ["z"]})
        compiler.side_effect = None
    with ledger.write() as tx:
        insert_rows(tx, claims, {"claim_key": ["a"]}, SHARED)
    with ledger.write() as tx, mock.patch.object(bulk._SQLITE, "statement_compiler") as compiler:
        insert_rows(tx, claims, {"claim_key": [f"k{index}" for index in range(700)]}, SHARED)
    assert not compiler.called


def test_rows_whose_key_exists_are_left_as_they_are(ledger: Database, clock: FakeClock) -> None:
    rows = [{"pace_key": key, "next_at": clock.now()} for key in "abc"]
    with ledger.write() as tx:
        insert_missing(tx, paces, [])
        assert tx.scalar(select(func.count()).select_from(paces)) == 0
        tx.execute(insert(paces), {"pace_key": "b", "next_at": EPOCH})
        insert_missing(tx, paces, rows)
    query = select(paces.c.pace_key, paces.c.next_at).order_by(paces.c.pace_key)
    with ledger.read() as tx:
        assert [tuple(row) for row in tx.execute(query)] == [("a", clock.now()), ("b", EPOCH), ("c", clock.now())]
        assert tx.scalars(query).all() == ["a", "b", "c"]
        assert tx.scalar(query) == "a"
        assert tx.scalar(query.where(paces.c.pace_key == "none")) is None


# --------------------------------------------------- what other databases are sent


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (
            bulk._insert_arrays(claims, ("claim_key",), ("owner",), True),
            "INSERT INTO pme_claims (claim_key, owner) SELECT given.claim_key, CAST(%(given_owner)s::VARCHAR AS TEXT) AS "
            "anon_1 FROM unnest(%(given_claim_key)s::TEXT[]) AS given(claim_key) ON CONFLICT DO NOTHING",
        ),
        (
            bulk._insert_arrays(manifests, ("manifest_id", "models"), (), False),
            "INSERT INTO pme_manifests (manifest_id, models) SELECT given.manifest_id, CAST(given.models AS JSON) AS "
            "models FROM unnest(%(given_manifest_id)s::TEXT[], %(given_models)s::TEXT[]) AS given(manifest_id, models)",
        ),
        (
            bulk._update_arrays(links, "seq", ("seq", "sealed", "flagged_at")),
            "UPDATE pme_links SET sealed=given.sealed, flagged_at=given.flagged_at FROM unnest(%(given_seq)s::BIGINT[], "
            "%(given_sealed)s::TEXT[], %(given_flagged_at)s::BIGINT[]) AS given(seq, sealed, flagged_at) WHERE "
            "pme_links.seq = given.seq",
        ),
    ],
    ids=["insert", "insert JSON", "update"],
)
def test_postgresql_is_sent_an_array_for_each_column(statement: Any, text: str) -> None:
    assert " ".join(str(statement.compile(dialect=postgresql.dialect())).split()) == text


def test_mysql_is_sent_keys_with_their_values_and_what_is_the_same_once() -> None:
    same, each = {"owner": ["x", "x"]}, {"expires_at": [1, 2]}
    assert bulk._listed_changes("claim_key", ["a", "b"], {**same, **each}) == (
        ["owner = %s", "expires_at = ELT(FIELD(claim_key, %s, %s), %s, %s)"], ["x", "a", "b", 1, 2]
    )  # fmt: skip


def test_mysql_is_sent_so_many_rows_in_a_statement_that_it_is_taken() -> None:
    sent: list[tuple[str, tuple[Any, ...]]] = []
    connection = SimpleNamespace(dialect=mysql.dialect(), exec_driver_sql=lambda *given: sent.append(given))
    tx: Any = SimpleNamespace(dialect="mysql", connection=connection)
    keys = [f"key {number}" for number in range(bulk._MYSQL_ROWS + 1)]
    update_rows(tx, claims, "claim_key", {"claim_key": keys, "owner": ["new"] * len(keys)})
    (first, last) = sent
    assert last == (
        "UPDATE pme_claims FORCE INDEX (PRIMARY) SET owner = %s WHERE claim_key IN (%s)", ("new", keys[-1])
    )  # fmt: skip
    assert first[1] == ("new", *keys[:-1])
    assert first[0].endswith(f"IN ({', '.join(['%s'] * bulk._MYSQL_ROWS)})")


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_mysql_skips_rows_whose_key_exists_by_a_word_of_its_own(dialect: str) -> None:
    sent: list[tuple[Any, Any]] = []
    tx: Any = SimpleNamespace(dialect=dialect, execute=lambda *given: sent.append(given))
    insert_missing(tx, paces, [{"pace_key": "a", "next_at": EPOCH}, {"pace_key": "b", "next_at": EPOCH}])
    insert_rows(tx, paces, {"pace_key": ["c"]}, {"next_at": EPOCH})
    (skipping, rows), (plain, _) = sent
    assert str(skipping.compile(dialect=mysql.dialect())).startswith("INSERT IGNORE INTO pme_paces")
    assert str(plain.compile(dialect=mysql.dialect())).startswith("INSERT INTO pme_paces")
    assert rows == [{"pace_key": "a", "next_at": EPOCH}, {"pace_key": "b", "next_at": EPOCH}]
