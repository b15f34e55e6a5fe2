"""Ledgers for tests of the ledger alone: one in memory under a clock of the test's own, and rows made directly."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import create_engine, insert, update
from sqlalchemy.pool import NullPool, StaticPool

from pme_airflow.api.messages import EmbedLink
from pme_airflow.api.outcomes import Made
from pme_airflow.clock import Clock, SystemClock
from pme_airflow.durations import Validity
from pme_airflow.ledger import audit, claims, links, mint_answers, mint_requests, mint_runs
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.mint_answers import MintAnswer, Settled
from pme_airflow.ledger.mint_requests import Demand, PendingMint
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import links as link_table
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken, SecretStr

CLIENT = "client-a"
OTHER = "client-b"
AUDIENCE = "intranet"
MODEL = "ModelAAAAAA"
DAY = Validity.parse("24h")
DEMAND = Demand(CLIENT, AUDIENCE, DAY)


def ledger_in_memory(clock: Clock) -> Database:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    database = Database(tuned(engine), clock)
    database.prepare()
    return database


def ledger_at(address: str, clock: Clock | None = None, *, migrate: bool = True) -> Database:
    """A ledger as one worker process would open it."""
    return Database(tuned(create_engine(address, poolclass=NullPool)), clock or SystemClock(), migrate=migrate)


def task(run: str = "monday", name: str = "mint", index: int = -1, dag: str = "dag") -> RunContext:
    return RunContext.of_task(dag, run, name, index)


def dead_process() -> str:
    """The name of a process of this machine that is gone."""
    return RunContext("x").process.rsplit("|", 2)[0] + "|999999|1"


def token() -> AccessToken:
    """A token that no other link has."""
    return AccessToken(uuid.uuid4().hex[:25])


def made(of: AccessToken, until: datetime, model_id: str = MODEL) -> Made:
    return Made(EmbedLink(model_id, of, "showcase", SecretStr("https://x.test/"), until))


def begin_mint(
    database: Database, demand: Demand = DEMAND, model_id: str = MODEL, run: RunContext | None = None
) -> PendingMint:
    """Record a mint that is about to be sent."""
    with database.write(run or task(f"run{uuid.uuid4().hex}")) as tx:
        mint_run = mint_runs.begin(tx)
        (pending,) = mint_requests.prepare(tx, mint_run, demand, [model_id], tx.now(), lambda _: True)
    assert isinstance(pending, PendingMint)
    return pending


def settle(database: Database, run: RunContext, demand: Demand, *answers: MintAnswer, **named: Any) -> list[Settled]:
    with database.write(run) as tx:
        return mint_answers.settle(tx, demand, answers, named.pop("server_now", None) or tx.now(), **named)


def mint(database: Database, demand: Demand = DEMAND, model_id: str = MODEL, run: RunContext | None = None) -> LinkRow:
    """Mint a link, whatever others the model has; return its row."""
    run = run or task(f"run{uuid.uuid4().hex}")
    secret = token()
    with database.write(run) as tx:
        pending = PendingMint(model_id, f"lnk_{uuid.uuid4().hex}")
        mint_requests.record(tx, demand, [pending], tx.now(), "a test")
        until = tx.now() + demand.validity.duration
        claims.take(tx, [demand.claim_key(model_id)])
        answer = MintAnswer(pending, made(secret, until, model_id), "pme-sealed:v1:k:text", fingerprint(secret))
        (settled,) = mint_answers.settle(tx, demand, [answer], tx.now())
    assert settled.usable
    return settled.row


def row_of(database: Database, link_id: str) -> LinkRow:
    with database.read() as tx:
        found = links.by_id(tx, link_id)
    assert found is not None
    return found


def change(database: Database, link_id: str, **values: Any) -> None:
    """Set columns of a link, as no function of the ledger would."""
    with database.write() as tx:
        tx.execute(update(link_table).where(link_table.c.link_id == link_id).values(**values))


def insert_link(database: Database, link_id: str, now: datetime, **values: Any) -> None:
    """Insert a row as it is."""
    row: dict[str, Any] = {
        "link_id": link_id, "client_id": CLIENT, "model_id": MODEL, "audience": AUDIENCE, "state": "minting",
        "run": "r", "run_uid": "u", "valid_for": 86400, "requested_at": now, "valid_until": now + timedelta(days=1),
        "revoke_attempts": 0, "irrevocable": False,
    }  # fmt: skip
    with database.write() as tx:
        tx.execute(insert(link_table), {**row, **values})


@contextmanager
def events_of(database: Database) -> Iterator[list[dict[str, Any]]]:
    """The events that are recorded while the block runs, filled at its end."""
    with database.read() as tx:
        before = len(list(audit.export_events(tx)))
    found: list[dict[str, Any]] = []
    yield found
    with database.read() as tx:
        found += list(audit.export_events(tx))[before:]
