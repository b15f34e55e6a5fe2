"""Each question that is asked often is answered from an index, on PostgreSQL and on SQLite."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, update

from benchmarks.years import AUDIENCE, DUE, HOT_LINKS, HOT_MODEL, TARGETS, fill, model
from pme_airflow.clock import SystemClock
from pme_airflow.durations import Validity
from pme_airflow.ledger import (
    audience_models,
    audit,
    exposed,
    flags,
    mint_answers,
    mint_requests,
    mint_runs,
    publications,
    revocations,
    slot_claims,
    sweep_queue,
)
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.due import RenewalDemand, dark_slots, renewals_due, sweep_due
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.links import by_id, newest_live_of
from pme_airflow.ledger.lookup import by_fingerprint
from pme_airflow.ledger.mint_answers import MintAnswer
from pme_airflow.ledger.mint_requests import Demand, PendingMint
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import links
from pme_airflow.ledger.transaction import WriteTransaction
from tests.support.databases import fresh
from tests.support.ledgers import made, token
from tests.support.rooms import CLIENT

NIGHTS, MODELS = 60, 4000
TONIGHT = RunContext("pme_nightly_rotation/tonight/mint/0")
LISTING = audience_models.Listing(CLIENT, AUDIENCE, "*")
DEMAND = Demand(CLIENT, AUDIENCE, Validity.parse("24h"), timedelta(hours=12))
RENEW = Demand(CLIENT, AUDIENCE, DEMAND.validity)
RENEWAL = RenewalDemand(CLIENT, AUDIENCE, timedelta(hours=12), timedelta(minutes=15))
NOW = SystemClock().now()
_numbers = count()
#: A step of SQLite's that reads all links of a state or of an audience, which are most of them: "is null" stands as "=?".
_NEARLY_ALL = re.compile(r"SEARCH (\w+) .*\((?:state|audience)=\?(?: AND (?:retire_at|flagged_at)=\?)?\)$")
#: Tables that grow with the years; the others hold what is under way.
LARGE = ("pme_links", "pme_events", "pme_publications")
_WHOLE = re.compile(rf"SCAN ({'|'.join(LARGE)})\b(?!.*USING)")
#: What asks for all that an audience is shown, or looks there for many links at once, may read all publications.
READS_ALL_SHOWN = ("known", "purge")

#: The indexes that answer a question.
INDEXES = {
    "due": {"pme_links_flagged", "pme_links_retire", "pme_links_until"},
    "watch": {"pme_links_flagged", "pme_links_retire", "pme_links_until", "pme_links_asked", "pme_events_kind"},
    "ensure": {"pme_links_current"},
    "settle": {"pme_links_fingerprint"},
    "known": {"pme_links_asked", "pme_events_kind"},
    "find": {"pme_links_fingerprint", "pme_links_current"},
    "publish": {"pme_publications_pkey", "pme_publications_owner"},
    "flag": {"pme_links_model", "pme_links_flagged"},
    "purge": {"pme_links_until", "pme_events_link"},
}

Ask = Callable[[WriteTransaction], Any]


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def ledger(request: pytest.FixtureRequest, servers: Callable[[str], str]) -> Iterator[Database]:
    """A ledger of a quarter of a million links."""
    database = Database(tuned(create_engine(fresh(servers(request.param)))), SystemClock(), migrate=True)
    fill(database, CLIENT, NOW, NIGHTS, MODELS)
    yield database
    database.engine.dispose()


def due(tx: WriteTransaction) -> Any:
    found = sweep_queue.take_due(tx, CLIENT, 130)
    assert len(found) == 130
    sweep_queue.extend(tx)
    sweep_queue.next_due_at(tx, CLIENT)
    sweep_queue.next_retirement_in(tx, CLIENT)
    revocations.anything_to_close(tx, NOW)
    return revocations.expire(tx, NOW)


def watch(tx: WriteTransaction) -> Any:
    """What the trigger asks every few seconds; every slot is looked at once in ten minutes alone."""
    assert sweep_due(tx, CLIENT).count == DUE
    assert renewals_due(tx, RENEWAL).count == 0
    return dark_slots(tx, RENEWAL, NOW - timedelta(seconds=30))


def ensure(tx: WriteTransaction) -> Any:
    wanted = [model(index) for index in range(80)]
    assert len(mint_requests.look(tx, DEMAND, wanted, NOW, lambda _: True)) == 80
    return renewed(tx, wanted)


def renewed(tx: WriteTransaction, wanted: Sequence[str]) -> Sequence[Any]:
    return mint_requests.prepare(tx, mint_runs.begin(tx), RENEW, wanted, NOW, lambda _: True)


def settle(tx: WriteTransaction) -> Any:
    pending = renewed(tx, [model(index) for index in range(80)])
    answers = [
        MintAnswer(
            entry, made(token(), NOW + timedelta(days=1), entry.model_id), "a sealed text", f"sha256:{number:064x}"
        )
        for number, entry in enumerate(pending, NIGHTS * MODELS)
        if isinstance(entry, PendingMint)
    ]
    assert len(mint_answers.settle(tx, RENEW, answers, NOW)) == 80


def flag(tx: WriteTransaction) -> Any:
    flagged = flags.flag(tx, "test", models=[HOT_MODEL])
    assert len(flagged.links) == HOT_LINKS
    return exposed.flagged_alive(tx)


def known(tx: WriteTransaction) -> Any:
    assert len(audience_models.known_models(tx, LISTING, NOW)) == MODELS
    return audience_models.delisted_since(tx, CLIENT, AUDIENCE, NOW - timedelta(hours=26))


def purge(tx: WriteTransaction) -> Any:
    assert audit.purge_part(tx, NOW - timedelta(days=NIGHTS - 2.5)) == 500


def find(tx: WriteTransaction) -> Any:
    assert by_fingerprint(tx, f"sha256:{NIGHTS * MODELS - 7:064x}") is not None
    assert newest_live_of(tx, CLIENT, AUDIENCE, [model(3), model(4)])
    return audit.sealed_rows(tx, 0)


def publish(tx: WriteTransaction) -> Any:
    target = TARGETS[0]
    link = newest_live_of(tx, CLIENT, AUDIENCE, [model(5)])[model(5)]
    publications.shown_in(tx, target, [model(5), model(6)])
    publications.still_live(tx, [link.link_id], tx.now())
    plans = slot_claims.open_slots(tx, target, {"a new slot": link.link_id})
    assert plans["a new slot"].action is slot_claims.SlotAction.PUT
    shown = publications.Shown("a new slot", link.link_id, {})
    assert publications.publish(tx, target, [shown]) == {}
    return publications.shown_at(tx, target, publications.SlotOwner(CLIENT, AUDIENCE), model(5))


QUESTIONS = pytest.mark.parametrize(
    "ask", [due, watch, ensure, settle, known, find, publish, flag, purge], ids=lambda ask: ask.__name__
)


@dataclass(frozen=True)
class Plans:
    """How a database would answer a question: the statements that read a large table whole, and the indexes used."""

    statements: int
    whole: dict[str, list[str]]
    indexes: set[str]


@contextmanager
def undone(ledger: Database) -> Iterator[WriteTransaction]:
    """A transaction that is rolled back, changes of tables included."""
    with ledger.engine.connect() as connection, connection.begin() as transaction:
        yield WriteTransaction(connection, ledger.shared_now, TONIGHT)
        transaction.rollback()


def plans_of(tx: WriteTransaction, ask: Ask, without: Sequence[str] = ()) -> Plans:
    """Ask, and return how the database would answer the same without some indexes, which could take minutes."""
    with tx.connection.begin_nested() as asking, recorded(tx.connection) as asked:
        ask(tx)
        asking.rollback()
    for index in without:
        tx.connection.exec_driver_sql(f"DROP INDEX {index}")
    whole: dict[str, list[str]] = {}
    indexes: set[str] = set()
    for statement, parameters in asked:
        scanned, through = how(tx.connection, statement, parameters)
        indexes |= through
        if scanned and not (ask.__name__ in READS_ALL_SHOWN and set(scanned) == {"pme_publications"}):
            whole[statement] = scanned
    return Plans(len(asked), whole, indexes)


@QUESTIONS
def test_it_reads_no_large_table_whole(ledger: Database, ask: Ask) -> None:
    with undone(ledger) as tx:
        plans = plans_of(tx, ask)
    assert plans.statements >= 2
    assert plans.whole == {}
    assert INDEXES[ask.__name__] <= plans.indexes


@QUESTIONS
def test_a_dropped_index_is_noticed(ledger: Database, ask: Ask) -> None:
    """The check above fails without any one of the indexes that it names: the plans are the database's own."""
    for index in sorted(INDEXES[ask.__name__] - {"pme_publications_pkey"}):
        with undone(ledger) as tx:
            assert index not in plans_of(tx, ask, [index]).indexes


@pytest.mark.parametrize(
    ("indexes", "ask"),
    [("pme_links_fingerprint", find), ("pme_events_kind pme_events_slot", known), ("pme_events_link", purge)],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_table_that_is_read_whole_is_noticed(ledger: Database, indexes: str, ask: Ask) -> None:
    with undone(ledger) as tx:
        assert plans_of(tx, ask, indexes.split()).whole


#: One live link, which neither has ended nor is due, and what makes it due or ended.
ONE = f"lnk_{NIGHTS * MODELS - 1000:032x}"
PAST = {"valid_until": NOW - timedelta(seconds=1)}


def alone(tx: WriteTransaction, values: dict[str, Any]) -> None:
    """Let nothing be due but one link."""
    tx.execute(update(links).where(links.c.retire_at.is_not(None)).values(retire_at=None))
    assert sweep_queue.take_due(tx, CLIENT, 10) == []
    assert sweep_queue.next_due_at(tx, CLIENT) is None
    assert not revocations.anything_to_close(tx, NOW)
    assert tx.execute(update(links).where(links.c.link_id == ONE).values(**values)).rowcount == 1


@pytest.mark.parametrize(
    "values",
    [
        {"flagged_at": NOW - timedelta(seconds=1)},
        {"retire_at": NOW - timedelta(seconds=1)},
        {"flagged_at": NOW, "next_attempt_at": NOW - timedelta(seconds=1), "revoke_attempts": 1},
        {"flagged_at": NOW, "sweep_until": NOW - timedelta(seconds=1), "sweep_owner": "another"},
    ],
    ids=["flagged", "retired", "denied before", "taken by a sweep that died"],
)
def test_one_link_that_is_due_is_found_among_all(ledger: Database, values: dict[str, Any]) -> None:
    with undone(ledger) as tx:
        alone(tx, values)
        assert sweep_queue.next_due_at(tx, CLIENT) == timedelta(0)
        assert [due.row.link_id for due in sweep_queue.take_due(tx, CLIENT, 10)] == [ONE]


@pytest.mark.parametrize(
    ("values", "closed"),
    [(PAST, "expired"), ({"state": "unaccounted", **PAST}, "expired"), ({"state": "minting"}, "unaccounted")],
    ids=["ended", "lost and ended", "left by a worker that died"],
)
def test_one_link_that_has_ended_is_found_among_all(ledger: Database, values: dict[str, Any], closed: str) -> None:
    with undone(ledger) as tx:
        alone(tx, values)
        assert revocations.anything_to_close(tx, NOW)
        revocations.expire(tx, NOW)
        assert by_id(tx, ONE).state.value == closed  # type: ignore[union-attr]
        assert not revocations.anything_to_close(tx, NOW)


@contextmanager
def recorded(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """The statements that read or change a large table."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not statement.lstrip().startswith("INSERT") and any(table in statement for table in LARGE):
            asked.append((statement, parameters[0] if many else parameters))

    event.listen(connection, "before_cursor_execute", note)
    yield asked
    event.remove(connection, "before_cursor_execute", note)


def how(connection: Connection, statement: str, parameters: Any) -> tuple[list[str], set[str]]:
    """The large tables that a statement would read from end to end, and the indexes it would go by."""
    if connection.dialect.name == "sqlite":
        # The comment makes each text another: an "explain" of the driver's cache does not notice a dropped index.
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement} -- {next(_numbers)}", parameters).all()
        lines = [str(row[3]) for row in plan]
        named = {match[1] for line in lines if (match := re.search(r"INDEX (\w+)", line))}
        keyed = {"pme_publications_pkey"} if "sqlite_autoindex_pme_publications_1" in named else set()
        found = [match for line in lines if (match := _WHOLE.match(line))]
        if not {State.MINTING, State.UNACCOUNTED}.intersection(parameters):  # few links are in these states
            found += [match for line in lines if (match := _NEARLY_ALL.match(line))]
        return [match[1] for match in found], named | keyed
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar()
    tree = plan if isinstance(plan, list) else json.loads(str(plan))
    nodes = list(_nodes(tree[0]["Plan"]))
    whole = [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"]
    return [table for table in whole if table in LARGE], {node["Index Name"] for node in nodes if "Index Name" in node}


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
