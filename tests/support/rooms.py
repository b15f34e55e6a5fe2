"""Short words for what tests of the rotation do: mint, publish to a target in memory, read the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.api.dialect import DialectMemory
from pme_airflow.clock import Clock, SystemClock
from pme_airflow.dev.emulator import World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.durations import Validity
from pme_airflow.errors import SlotError
from pme_airflow.ledger import audit, publications
from pme_airflow.ledger.api_facts import LedgerFacts
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.publications import DEFAULT_GRACE
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.account_models import ModelQuery
from pme_airflow.lifecycle.mint import MintLinksRequest, MintResult, mint_links
from pme_airflow.lifecycle.publish import Publisher, PublishResult
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest, SweepResult
from pme_airflow.lifecycle.sweep import sweep as run_sweep
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from pme_airflow.targets.base import ShownLink, Target

CLIENT = "emulator-client"


def services_at(
    address: str,
    ledger: str,
    secret: str,
    clock: Clock | None = None,
    grace: timedelta = DEFAULT_GRACE,
    **settings: Any,
) -> Services:
    """Services as one worker process would make them, over a ledger's database."""
    clock = clock or SystemClock()
    database = Database(tuned(create_engine(ledger, poolclass=NullPool)), clock, migrate=True)
    memory = DialectMemory(LedgerFacts(database, address, CLIENT))
    client = PMEClient(CLIENT, SecretStr(secret), address, ClientSettings(**settings), clock, memory=memory)
    return Services(client, database, Sealer.of_connection(SecretStr(secret)), clock, grace)


def demand(valid_for: str = "24h", renew_before: timedelta | None = None, audience: str = "intranet") -> Demand:
    return Demand(CLIENT, audience, Validity.parse(valid_for), renew_before)


def known_spaces(world: World, count: int) -> list[str]:
    """Add so many models to the account, and return them in the order of their names."""
    models = list(sample_models(count))
    like = next(iter(world.models.values()))
    world.models.update({m: {**like, "name": f"Space {number:03}"} for number, m in enumerate(models)})
    return models


def mint(
    services: Services,
    run: str,
    models: Sequence[str] | ModelQuery,
    wanted: Demand | None = None,
    models_per_token: int = 1,
) -> MintResult:
    """Make sure of links, as one task of a run would."""
    asked = wanted or demand()
    request = MintLinksRequest(
        models, asked.audience, asked.validity, asked.renew_before, models_per_token=models_per_token
    )
    return mint_links(services, RunContext.of_task("dag", run, "mint"), request)


def publish(services: Services, run: str, target: Target, items: Sequence[Mapping[str, Any]]) -> PublishResult:
    """Publish items, as one task of a run would."""
    return Publisher(services, RunContext.of_task("dag", run, "publish"), target).publish(items)


def sweep(services: Services, **how: Any) -> SweepResult:
    """Revoke what is due, as one task of a run would."""
    return run_sweep(services, RunContext("dag/sweep/sweep/-1"), SweepRequest(**how))


def rows(services: Services, *states: str) -> list[LinkRow]:
    """The ledger's links, newest first."""
    with services.database.read() as tx:
        return list(audit.list_links(tx, states))


def rename(services: Services, target: str, former: str) -> None:
    """Record a target's publications under a name that an earlier version gave it."""

    def move(tx: WriteTransaction) -> None:
        moved = publications.shown_at(tx, target)
        assert publications.move_to_target(tx, moved, former) == moved

    services.database.run(RunContext("dag/upgrade/test/-1"), move)


class Shelf(Target):
    """A target in memory; a slot in ``broken`` cannot be written, one in ``deaf`` confirms and shows nothing new."""

    def __init__(self, name: str = "shelf") -> None:
        self.name = name
        self.shown: dict[str, str] = {}
        self.broken: set[str] = set()
        self.deaf: set[str] = set()
        self.passing = False
        self.puts: list[str] = []

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        self.puts.append(slot)
        if slot in self.broken:
            raise SlotError("it is broken", passing=self.passing)
        if slot not in self.deaf:
            self.shown[slot] = link.token.reveal()
        return {"edits": int(previous.get("edits", 0)) + 1}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if self.shown.get(slot) != link.token.reveal():
            raise SlotError("it does not show the link")

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        self.shown.pop(slot, None)
