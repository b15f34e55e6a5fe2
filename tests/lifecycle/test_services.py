"""The server's time within its error, and links opened."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pme_airflow.api.client import PMEClient
from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMECredentialsError, PMESealError
from pme_airflow.lifecycle.services import UNKNOWN_CLOCK_ERROR, Services
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from tests.conftest import MODELS, SECRET, MakeServices
from tests.support.clocks import FakeClock
from tests.support.rooms import CLIENT, demand, mint, rows, sweep

ALL = list(MODELS)


def test_without_a_response_the_clock_may_be_eleven_minutes_off(make_services: MakeServices) -> None:
    clock = FakeClock()
    services = make_services(clock)
    assert timedelta(minutes=11) == UNKNOWN_CLOCK_ERROR
    assert services.server_now() == clock.now()
    assert services.server_time_lower_bound() == clock.now() - UNKNOWN_CLOCK_ERROR
    assert services.server_time_upper_bound() == clock.now() + UNKNOWN_CLOCK_ERROR


def test_after_a_response_it_is_two_seconds_off(make_services: MakeServices, world: World) -> None:
    clock = FakeClock(lead=timedelta(minutes=10))
    world.freeze_clock(clock.now() - timedelta(minutes=10))
    services = make_services(clock)
    services.learn_server_time()
    now = services.server_now()
    assert abs(now - (clock.now() - timedelta(minutes=10))) <= timedelta(seconds=1)
    assert services.server_time_lower_bound() == now - timedelta(seconds=2)
    assert services.server_time_upper_bound() == now + timedelta(seconds=2)


@pytest.mark.parametrize(("left", "state"), [(5 * 60, "live"), (-9 * 60, "live"), (-12 * 60, "expired")])
def test_a_worker_without_the_servers_time_closes_no_link_early(
    make_services: MakeServices, world: World, left: int, state: str
) -> None:
    clock = FakeClock()
    world.freeze_clock(clock.now())
    mint(make_services(clock), "run", ALL[:1], demand("1h"))
    clock.advance(3600 - left)
    sweep(make_services(clock))
    (row,) = rows(make_services(clock))
    assert row.state.value == state
    assert (row.sealed is None) == (state == "expired")


def with_client(services: Services, secret: str, host: str | None = None) -> Services:
    client = PMEClient(CLIENT, SecretStr(secret), host or services.client.host, clock=services.clock)
    return replace(services, client=client)


def test_an_api_that_is_away_leaves_the_workers_clock(make_services: MakeServices) -> None:
    clock = FakeClock()
    services = with_client(make_services(clock), SECRET, "http://127.0.0.1:9")
    services.learn_server_time()
    assert clock.slept > 0
    assert services.server_now() == clock.now()
    assert services.server_time_lower_bound() == clock.now() - UNKNOWN_CLOCK_ERROR


def test_refused_credentials_are_raised(make_services: MakeServices) -> None:
    with pytest.raises(PMECredentialsError):
        with_client(make_services(FakeClock()), "another secret").learn_server_time()


def test_live_links_are_yielded_in_pages_opened_or_not(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    from pme_airflow.ledger import audit

    whole = audit.sealed_rows
    monkeypatch.setattr(audit, "sealed_rows", lambda tx, after: whole(tx, after, 7))
    items = {item["link_id"]: item for item in mint(services, "run", ALL).items}
    found = list(services.live_links())
    assert [row.link_id for row, _ in found] == sorted(items, key=lambda link_id: [*items].index(link_id))
    assert all(opened is not None and opened.token.reveal() in opened.url.reveal() for _, opened in found)
    other = Services(services.client, services.database, Sealer.of_connection(SecretStr("x" * 20)), services.clock)
    assert [opened for _, opened in other.live_links()] == [None] * len(ALL)
    assert other.can_open(str(found[0][0].sealed)) is False
    assert services.can_open(str(found[0][0].sealed)) is True


@pytest.mark.parametrize("key", ["link", "link_id", "model_id"])
def test_an_item_that_lacks_a_key_is_not_opened(services: Services, key: str) -> None:
    (item,) = mint(services, "run", ALL[:1]).items
    assert services.open_item(dict(item)).token
    with pytest.raises(PMESealError, match="lacks"):
        services.open_item({**item, key: None})


def test_a_link_without_its_sealed_text_cannot_be_opened(shared_services: Services) -> None:
    mint(shared_services, "run", ALL[:1])
    (row,) = rows(shared_services)
    assert shared_services.open_row(row).token.reveal()
    with pytest.raises(PMESealError, match="its sealed text is gone"):
        shared_services.open_row(replace(row, sealed=None))
