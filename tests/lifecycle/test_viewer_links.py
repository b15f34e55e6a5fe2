"""Links of single viewers: one at a time for each, reused while half is left, apart from the audience's own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.durations import Validity
from pme_airflow.errors import PMEModelError, PMEUnavailableError
from pme_airflow.ledger import flags
from pme_airflow.ledger.keys import viewer_audience
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.leak_response import LeakRequest, respond
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.viewer_links import ViewerLinkRequest, mint_for_viewer, reusable_for_viewer
from tests.conftest import MODELS, SECRET, MakeServices
from tests.support.clocks import FakeClock
from tests.support.rooms import Shelf, mint, publish, rows, services_at, sweep

ONE, TWO = list(MODELS)[:2]


@pytest.fixture
def ledger_address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


def wanted(viewer: str = "ada", model: str = ONE) -> ViewerLinkRequest:
    return ViewerLinkRequest(model, "intranet", viewer, Validity(600))


def alive(world: World) -> set[str]:
    return {issued.token for issued in world.alive()}


def test_each_viewer_has_a_link_of_their_own_and_the_ledger_no_name(services: Services, world: World) -> None:
    names = ("lovelace", "bob", "x" * 10_000, "half \ud800")
    assert reusable_for_viewer(services, wanted()) is None
    items = [mint_for_viewer(services, wanted(name)) for name in names]
    assert len({item["fingerprint"] for item in items}) == len(alive(world)) == len(names)
    assert {row.viewer for row in rows(services)} == {services.sealer.viewer_fingerprints(name)[0] for name in names}
    assert {row.audience for row in rows(services)} == {viewer_audience("intranet")}
    assert all("lovelace" not in str(row) for row in rows(services))


def test_a_link_is_reused_while_half_of_it_is_left(make_services: MakeServices, world: World) -> None:
    world.freeze_clock(datetime(2026, 5, 1, 12, tzinfo=timezone.utc))
    clock = FakeClock(start=world.now())
    services = make_services(clock)
    first = mint_for_viewer(services, wanted())
    for passed, same in ((290, True), (20, False)):
        clock.advance(passed)
        world.move_clock(passed)
        found = reusable_for_viewer(services, wanted())
        assert (found is not None and found["link_id"] == first["link_id"]) is same
    assert reusable_for_viewer(services, wanted("bob")) is None
    assert mint_for_viewer(services, wanted())["link_id"] != first["link_id"]


def test_one_mint_is_under_way_at_a_time_for_each_viewer(tmp_path: Path) -> None:
    world = World(Settings(client_secret=SECRET, models=MODELS, latency=0.05))
    with serving(world) as address, ThreadPoolExecutor(4) as pool:
        workers = [services_at(address, f"sqlite:///{tmp_path}/ledger.db", SECRET) for _ in range(4)]
        workers[0].database.prepare()
        items = list(pool.map(lambda services: mint_for_viewer(services, wanted()), workers))
    assert len({item["link_id"] for item in items}) == 1
    assert world.counts["minted"] == 1


def test_the_rotation_takes_no_viewers_link(services: Services, world: World) -> None:
    mint_for_viewer(services, wanted())
    shelf = Shelf()
    result = mint(services, "monday", [ONE])
    assert (result.minted, result.reused) == (1, 0)
    publish(services, "monday", shelf, result.items)
    mint_for_viewer(services, wanted("bob"))
    assert publish(services, "monday", shelf, result.items).unchanged.total == 1
    sweep(services)
    assert len(alive(world)) == 3


def test_a_flagged_viewers_link_is_revoked_and_no_other(services: Services, world: World) -> None:
    ada, bob = (mint_for_viewer(services, wanted(name)) for name in ("ada", "bob"))
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", fingerprints=[ada["fingerprint"]])
    result = sweep(services)
    assert [row.viewer for row in result.revoked] == [services.sealer.viewer_fingerprints("ada")[0]]
    assert result.audiences == []
    assert alive(world) == {services.open_item(bob).token.reveal()}
    assert mint_for_viewer(services, wanted())["link_id"] != ada["link_id"]


@pytest.mark.parametrize(
    "criteria",
    [
        LeakRequest(audiences=("intranet",)),
        LeakRequest(models=(ONE,)),
        LeakRequest(models=(ONE,), audiences=("intranet",), within=True),
    ],
    ids=["audience", "model", "both"],
)
def test_a_flag_of_the_audience_or_the_model_reaches_its_viewers(
    services: Services, world: World, criteria: LeakRequest
) -> None:
    mint_for_viewer(services, wanted())
    respond(services, RunContext("cli"), criteria)
    sweep(services)
    assert alive(world) == set()


def test_a_model_that_the_api_refuses_differs_from_an_api_that_is_away(
    make_services: MakeServices, world: World
) -> None:
    services = make_services(deadline=0.2)
    with pytest.raises(PMEModelError):
        mint_for_viewer(services, wanted(model="NoSuchModel"))
    world.set_faults({"throttled": 1})
    with pytest.raises(PMEUnavailableError):
        mint_for_viewer(services, wanted())


def test_lost_answers_are_accounted_for(services: Services, world: World) -> None:
    world.set_faults({"lost_after": 0.5})
    for number in range(5):
        with suppress(PMEUnavailableError):
            mint_for_viewer(services, wanted(f"viewer{number}"))
    assert world.counts["fault:lost_after"] == len(rows(services, "unaccounted")) > 0
    assert len(rows(services, "live", "unaccounted")) == len(alive(world))


def test_links_of_viewers_are_gone_after_their_end(make_services: MakeServices, world: World) -> None:
    world.freeze_clock(datetime(2026, 5, 1, 12, tzinfo=timezone.utc))
    clock = FakeClock(start=world.now())
    services = make_services(clock)
    mint_for_viewer(services, wanted())
    clock.advance(700)
    world.move_clock(700)
    assert sweep(services).expired == 1
    (row,) = rows(services)
    assert (row.state, row.sealed) == ("expired", None)
    assert row.valid_until - row.requested_at <= timedelta(seconds=601)
