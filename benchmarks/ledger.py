"""The ledger after years: a million links on SQLite, ten million and 200,000 slots on PostgreSQL."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from sqlalchemy import create_engine

from benchmarks.measure import CLIENT_ID, Figure, timed
from benchmarks.years import AUDIENCE, HOT_LINKS, HOT_MODEL, fill, model
from pme_airflow.clock import SystemClock
from pme_airflow.durations import Validity
from pme_airflow.ledger import audience_models, audit, flags, mint_requests, mint_runs, sweep_queue
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.lookup import by_fingerprint
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.run_context import RunContext
from tests.support.databases import fresh, serving_database

TRIES = 30
#: Each kind of database: how many nights of how many models.
SIZES = {"sqlite": (50, 20_000), "postgresql": (100, 100_000)}


def figures() -> Iterator[Figure]:
    """Milliseconds of each question."""
    for kind, (nights, models) in SIZES.items():
        with tempfile.TemporaryDirectory(prefix="pme-bench-"), serving_database(kind) as admin:
            database = Database(tuned(create_engine(fresh(admin))), SystemClock(), migrate=True)
            now = SystemClock().now()
            rows = fill(database, CLIENT_ID, now, nights, models)
            for name, tries, work in _questions(database, nights, models):
                samples = [timed(work) * 1000 for _ in range(tries)]
                yield Figure(f"{kind}, {rows:,} links: {name}", samples, "", " ms")
            database.engine.dispose()


def _questions(database: Database, nights: int, models: int) -> Iterator[tuple[str, int, Callable[[], None]]]:
    now = SystemClock().now()
    turns = itertools.count(1)
    keep = Demand(CLIENT_ID, AUDIENCE, Validity.parse("24h"), timedelta(hours=12))
    renew = Demand(CLIENT_ID, AUDIENCE, Validity.parse("24h"))
    listing = audience_models.Listing(CLIENT_ID, AUDIENCE, "*")

    def due() -> None:
        with database.write(RunContext("bench")) as tx:
            sweep_queue.take_due(tx, CLIENT_ID, 130)

    def look() -> None:
        first = next(turns) * 500 % models
        with database.read() as tx:
            wanted = [model((first + index) % models) for index in range(500)]
            assert len(mint_requests.look(tx, keep, wanted, now, lambda _: True)) == 500

    def ensure() -> None:
        actor, first = RunContext(f"bench/{next(turns)}/mint/-1"), next(turns) * 80 % models
        with database.write(actor) as tx:
            mint_run = mint_runs.begin(tx)
            wanted = [model((first + index) % models) for index in range(80)]
            mint_requests.prepare(tx, mint_run, renew, wanted, now, lambda _: True)

    def find() -> None:
        with database.read() as tx:
            assert by_fingerprint(tx, f"sha256:{nights * models - 7:064x}") is not None

    def known() -> None:
        with database.read() as tx:
            assert len(audience_models.known_models(tx, listing, now)) == models

    def flag(reason: str) -> None:
        with database.write(RunContext("bench")) as tx:
            flagged = flags.flag(tx, reason, models=[HOT_MODEL])
            assert len(flagged.links) == HOT_LINKS

    def purge() -> None:
        before = now - timedelta(days=nights - 2.5 - next(purged) / 50)
        audit.purge(database, before)

    purged = itertools.count()
    yield "what is due", TRIES, due
    yield "whether 500 models have a link that will do", TRIES, look
    yield "recording 80 mints", TRIES, ensure
    yield "finding a fingerprint", TRIES, find
    yield f"the models of an audience of {models:,}", 5, known
    yield f"flagging a model with {HOT_LINKS:,} links", 1, partial(flag, "first")
    yield f"dropping the {models:,} links of a night", 1, purge
