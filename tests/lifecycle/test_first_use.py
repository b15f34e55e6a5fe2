"""Whatever is done first makes the ledger's tables: nothing fails because nobody minted yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.durations import Validity
from pme_airflow.errors import PMEUnavailableError
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import HEAD_REVISION
from pme_airflow.lifecycle.account_models import ModelQuery, list_models
from pme_airflow.lifecycle.leak_response import LeakRequest, respond
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.viewer_links import ViewerLinkRequest, reusable_for_viewer
from tests.conftest import MODELS, SECRET
from tests.support.rooms import Shelf, demand, mint, publish, services_at, sweep

ONE = next(iter(MODELS))
RUN = RunContext.of_task("dag", "monday", "first")


@pytest.fixture
def services(address: str, tmp_path: Path) -> Iterator[Services]:
    made = services_at(address, f"sqlite:///{tmp_path}/new/ledger.db", SECRET, deadline=0.2)
    yield made
    made.client.close()


def renew(services: Services) -> None:
    assert mint(services, "monday", [ONE], demand(renew_before=timedelta(hours=12))).minted == 1


def show(services: Services) -> None:
    assert publish(services, "monday", Shelf(), []).promise_kept


def revoke(services: Services) -> None:
    assert sweep(services).promise_kept


def flag(services: Services) -> None:
    seen: list[object] = []
    assert respond(services, RUN, LeakRequest(models=("yyHDFKzPzvN",), on_selected=seen.extend)).links == ()
    assert seen == []


def ask(services: Services) -> None:
    assert reusable_for_viewer(services, ViewerLinkRequest(ONE, "intranet", "ada", Validity(600))) is None


@pytest.mark.parametrize("use", [renew, show, revoke, flag, ask])
def test_a_first_use_makes_the_tables(services: Services, use: Callable[[Services], None]) -> None:
    assert services.database.revision() is None
    use(services)
    assert services.database.revision() == HEAD_REVISION


def test_an_account_that_cannot_be_listed_the_first_time_is_what_is_wrong(services: Services, world: World) -> None:
    world.down = True
    with pytest.raises(PMEUnavailableError):
        list_models(services, RUN, "intranet", ModelQuery("*"))
