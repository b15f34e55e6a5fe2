"""A truth beyond the ledger: tokens that died behind its back are found and replaced, and no probe is believed blindly."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from pme_airflow.api.outcomes import NotRevoked
from pme_airflow.api.token_probe import Liveness, ProbeMethod
from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMEUnavailableError
from pme_airflow.ledger import audit, liveness
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.token_probe import PROBE_AUDIENCE, _with_token, check_liveness, find_probe, known_probe
from pme_airflow.sealing import OpenedLink, fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from tests.conftest import MODELS, MakeServices
from tests.support.rooms import Shelf, demand, mint, publish, rows, sweep

ALL = list(MODELS)
KEEPER = RunContext("dag/keeper/keep/-1")


@pytest.fixture
def ledger_address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


def kill(world: World, count: int) -> set[str]:
    """Revoke tokens behind the ledger's back."""
    dead = [issued.token for issued in world.alive()][:count]
    for token in dead:
        world.revoke(token)
    return set(dead)


def keep(services: Services, run: str) -> object:
    return mint(services, run, ALL, demand("24h", timedelta(hours=12)))


def test_the_query_tells_a_live_token_from_a_revoked_one_and_is_remembered(
    services: Services, make_services: MakeServices, world: World
) -> None:
    assert known_probe(services) is None
    finding = find_probe(services, KEEPER, ALL[0])
    assert finding.method is ProbeMethod.QUERY
    assert finding.live == dict.fromkeys(ProbeMethod, Liveness.ALIVE)
    assert finding.revoked == dict.fromkeys(ProbeMethod, Liveness.DEAD)
    assert known_probe(make_services()) is ProbeMethod.QUERY
    assert world.alive() == []
    (row,) = rows(services)
    assert (row.state, row.audience, row.valid_for) == ("revoked", PROBE_AUDIENCE, 60)


@pytest.mark.parametrize("lie", ["alive", "dead"])
def test_a_probe_that_says_the_same_of_everything_is_not_believed(
    services: Services, world: World, lie: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep(services, "monday")
    world.probes = lie
    alive = len(world.alive())
    assert find_probe(services, KEEPER, ALL[0]).method is None
    assert f"calls a live token {lie} and a revoked one {lie}" in caplog.text
    check = check_liveness(services, KEEPER, "intranet")
    assert (check.asked, check.dead) == (0, ())
    assert "nothing tells" in check.problem
    assert len(world.alive()) == alive


def test_a_probe_that_begins_to_lie_calls_no_live_link_dead(services: Services, world: World) -> None:
    keep(services, "monday")
    assert check_liveness(services, KEEPER, "intranet").asked == 1
    world.probes = "dead"
    check = check_liveness(services, KEEPER, "intranet")
    assert check.dead == ()
    assert "Nothing tells" in check.problem
    assert all(row.usable for row in rows(services, "live"))


def test_where_all_is_well_a_run_asks_about_one_link_and_mints_nothing(services: Services, world: World) -> None:
    keep(services, "monday")
    before = dict(world.counts)
    assert check_liveness(services, KEEPER, "intranet").asked == 1
    first = world.counts["requests:probe"]
    assert check_liveness(services, KEEPER, "intranet").asked == 1
    assert (first, world.counts["requests:probe"]) == (3, 4)  # a live link, a token that never was, and the sample
    assert world.counts["minted"] == before["minted"]
    assert world.counts["requests:graph"] == before["requests:graph"]


def test_each_link_is_asked_about_once_in_its_life(services: Services, world: World) -> None:
    mint(services, "monday", ALL[:3], demand("24h", timedelta(hours=12)))
    assert [check_liveness(services, KEEPER, "intranet").asked for _ in range(5)] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("killed", [1, len(ALL)])
def test_links_that_died_elsewhere_are_found_replaced_and_closed(services: Services, world: World, killed: int) -> None:
    shelf = Shelf()
    publish(services, "monday", shelf, mint(services, "monday", ALL, demand("24h", timedelta(hours=12))).items)
    dead = kill(world, killed)
    for run in range(len(ALL)):  # one of them is found at the latest when every link was asked about
        asked = run
        check = check_liveness(services, KEEPER, "intranet")
        if check.dead:
            break
    assert len(check.dead) == killed
    assert asked == 0 or killed < len(ALL)
    again = mint(services, "keeper", ALL, demand("24h", timedelta(hours=12)))
    assert again.minted == killed
    publish(services, "keeper", shelf, again.items)
    alive = {issued.token for issued in world.alive()}
    assert set(shelf.shown.values()) <= alive
    assert not dead & alive
    result = sweep(services)
    assert (result.expired, result.irrevocable.total) == (killed, 0)
    with services.database.read() as tx:
        events = [event["event"] for event in audit.export_events(tx)]
    assert events.count("found_dead") == killed
    assert len(rows(services, "live")) == len(ALL)


def test_links_that_were_alive_when_a_run_asked_are_found_dead_with_the_others(
    services: Services, world: World
) -> None:
    keep(services, "monday")
    for _ in range(3):
        check_liveness(services, KEEPER, "intranet")
    asked = {row.fingerprint for row in rows(services, "live") if row.verified}
    spared = min(asked)
    for issued in world.alive():
        if fingerprint(AccessToken(issued.token)) != spared:
            world.revoke(issued.token)
    check = check_liveness(services, KEEPER, "intranet")
    assert (len(asked), len(check.dead)) == (3, len(ALL) - 1)
    assert spared not in {row.fingerprint for row in check.dead}


def test_a_check_that_cannot_be_made_stops_nothing(make_services: MakeServices, world: World) -> None:
    services = make_services(deadline=0.2)
    keep(services, "monday")
    world.down = True
    assert check_liveness(services, KEEPER, "intranet").dead == ()
    assert all(row.usable for row in rows(services, "live"))


def test_a_check_without_a_ledger_stops_nothing_and_says_why(services: Services, world: World) -> None:
    keep(services, "monday")
    with services.database.write() as tx:
        tx.execute(text("ALTER TABLE pme_links RENAME TO pme_away"))
    answer = check_liveness(services, KEEPER, "intranet")
    assert (answer.asked, answer.dead) == (0, ())
    assert answer.problem.startswith("The ledger at sqlite:")


def test_a_sweep_verifies_with_the_probe_that_tells(services: Services, world: World) -> None:
    from pme_airflow.ledger import flags

    find_probe(services, KEEPER, ALL[0])
    (item,) = mint(services, "monday", ALL[:1]).items
    with services.database.write(KEEPER) as tx:
        flags.flag(tx, "leaked", link_ids=[item["link_id"]])
    sweep(services, verify=True)
    assert {row.verified for row in rows(services, "revoked")} == {None, "dead (query)"}


@pytest.mark.parametrize(("mints", "asked"), [(5, 1), (199, 1), (200, 2), (399, 3)])
def test_a_run_asks_about_one_percent_of_a_days_mints(
    services: Services, monkeypatch: pytest.MonkeyPatch, mints: int, asked: int
) -> None:
    mint(services, "monday", ALL[:5])
    monkeypatch.setattr(liveness, "mints_of_last_day", lambda tx, client_id, audience: mints)
    assert check_liveness(services, KEEPER, "intranet").asked == asked


def test_probes_are_not_tried_where_no_link_can_be_minted(services: Services, world: World) -> None:
    with pytest.raises(PMEUnavailableError, match="No link could be minted to try probes on: "):
        find_probe(services, KEEPER, "Unknown0000")
    assert known_probe(services) is None


def test_probes_are_not_tried_on_a_link_that_is_not_revoked(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.client, "revoke", lambda tokens: [NotRevoked("it answered false", sent=True)])
    with pytest.raises(PMEUnavailableError, match="was not revoked: it answered false"):
        find_probe(services, KEEPER, ALL[0])
    assert known_probe(services) is None


def test_a_link_that_no_key_opens_is_not_asked_about(services: Services, world: World) -> None:
    find_probe(services, KEEPER, ALL[0])
    keep(services, "monday")
    with services.database.write(RunContext("x")) as tx:
        tx.execute(text("UPDATE pme_links SET sealed = 'pme-sealed:v1:other:text' WHERE state = 'live'"))
    assert check_liveness(services, KEEPER, "intranet").dead == ()


def test_a_link_of_a_token_that_was_never_issued_has_that_token_in_place_of_its_own() -> None:
    opened = OpenedLink(SecretStr("https://my.matterport.com/show?m=x&auth=Bearer+first"), AccessToken("first"))
    assert _with_token(opened, AccessToken("never")).reveal() == "https://my.matterport.com/show?m=x&auth=Bearer+never"
