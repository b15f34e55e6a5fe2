"""PendingMint and sweeping against a plain loop, and against the bound that latency sets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import create_engine

from benchmarks.measure import RUNS, Figure, api, plain_mint, services, timed
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.durations import Validity
from pme_airflow.ledger import flags
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint import MintLinksRequest, mint_links
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest, sweep
from tests.support.databases import fresh, serving_database

LATENCY = 0.05
#: What a connection has that names neither: see ``pme_airflow.hooks.connection``.
DEFAULTS = {"grow_to": 32, "largest_batch": 25}
LINKS = 2000
LARGE = 5000
PLAIN = 40


def ensure(made: Services, models: list[str]) -> None:
    """Mint for every model."""
    request = MintLinksRequest(models, "default", Validity.parse(timedelta(hours=24)))
    outcome = mint_links(made, RunContext("bench/run/mint/-1"), request)
    assert outcome.links == len(models)


def flag_all(made: Services) -> None:
    """Flag every link there is."""
    with made.database.write(RunContext("bench")) as tx:
        flags.flag(tx, "benchmark", audiences=["default"])


def figures() -> Iterator[Figure]:
    """Ratios to a plain loop, and shares of the bound."""
    models = list(sample_models(LINKS))
    many = list(sample_models(LARGE))
    bound = LARGE * LATENCY / (10 * 8)
    with api(LATENCY) as address:
        usual, defaults, fixed, wide, mint_share, sweep_share = [], [], [], [], [], []
        for _ in range(RUNS):
            usual.append(plain_mint(address, models[:PLAIN]))
            with services(address) as made:
                took = timed(lambda made=made: ensure(made, many))  # type: ignore[misc]
                fixed.append(usual[-1] / (took / LARGE))
                mint_share.append(bound / took)
                flag_all(made)
                sweep_share.append(bound / timed(lambda made=made: sweep(made, RunContext("bench"), SweepRequest())))  # type: ignore[misc]
            with services(address, **DEFAULTS) as made:
                took = timed(lambda made=made: ensure(made, models))  # type: ignore[misc]
                defaults.append(usual[-1] / (took / LINKS))
            with services(address, batch_size=25, max_concurrency=16) as made:
                took = timed(lambda made=made: ensure(made, models))  # type: ignore[misc]
                wide.append(usual[-1] / (took / LINKS))
    yield Figure("mint against a plain requests loop, defaults", defaults, "110", " times")
    yield Figure("the same, batch 10 and never more than 8 at once", fixed, "", " times")
    yield Figure("the same, batch 25 and 16 at once", wide, "220", " times")
    yield Figure(f"share of the bound, mint, batch 10 and 8 at once, {LARGE:,} links", mint_share, "0.92")
    yield Figure(f"share of the bound, sweep, batch 10 and 8 at once, {LARGE:,} links", sweep_share, "0.92")


def on_postgresql() -> Iterator[Figure]:
    """The share of the bound with the ledger on PostgreSQL."""
    models = list(sample_models(LARGE))
    shares = []
    with api(LATENCY) as address, serving_database("postgresql") as admin:
        for _ in range(RUNS):
            engine = tuned(create_engine(fresh(admin)))
            with services(address, engine) as made:
                took = timed(lambda made=made: ensure(made, models))  # type: ignore[misc]
            shares.append(LARGE * LATENCY / (10 * 8) / took)
    yield Figure(f"share of the bound, mint on PostgreSQL, batch 10 and 8 at once, {LARGE:,} links", shares, "0.88")
