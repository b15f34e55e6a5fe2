"""Leaks in a live Airflow: how long each lives after somebody says so, and that darkened slots heal by themselves."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.emulator.world import IssuedToken
from pme_airflow.dev.playground.home import SECRET, environment
from pme_airflow.hooks.ledger_engines import LEDGER_FILE
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.live import DrivenAirflow
from tests.support.rooms import demand, mint, services_at
from tests.support.scale import scaled

LINKS = scaled(100, 1000)
LEAKS = scaled(4, 50)
SHOWN = 3


@pytest.fixture(scope="module")
def world() -> World:
    return World(Settings(client_secret=SECRET, models=sample_models(LINKS + SHOWN), latency=0.05))


@pytest.fixture(scope="module")
def live(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivenAirflow]:
    """A live Airflow with a thousand live links, three of them shown on pages."""
    home = tmp_path_factory.mktemp("leaks")
    shown = list(world.models)[:SHOWN]
    placements = (
        f"audience: intranet\nvalid_for: 24h\nmodels: [{', '.join(shown)}]\n"
        f"targets:\n  - {{kind: object_storage, path: 'file://{home}/published'}}\n"
    )
    with serving(world) as address:
        env = environment(home, address, placements, PME_REPORTS=f"file://{home}/reports")
        (home / "reports").mkdir()
        services = services_at(address, f"sqlite:///{home / LEDGER_FILE}", SECRET)
        mint(services, "bulk", list(world.models)[SHOWN:], demand(audience="bulk"))
        with DrivenAirflow(home, env) as running:
            running.wait_until_parsed(
                "pme_nightly_rotation", "pme_link_keeper", "pme_leak_response", "pme_revocation_sweep"
            )
            assert running.wait_for("pme_nightly_rotation", running.trigger("pme_nightly_rotation")) == "success"
            yield running


def until(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for something; how long it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - begun


def shown_token(live: DrivenAirflow, model_id: str) -> str:
    return str(json.loads((live.home / "published" / model_id / "link.json").read_text())["access_token"])


def bulk(world: World) -> list[IssuedToken]:
    shown = set(list(world.models)[:SHOWN])
    return [issued for issued in world.alive() if issued.model_id not in shown]


@pytest.mark.timeout(scaled(400, 1800))
def test_a_leak_handed_in_by_rest_dies_within_seconds(live: DrivenAirflow, world: World) -> None:
    exposures = []
    for issued in bulk(world)[:LEAKS]:
        digest = fingerprint(AccessToken(issued.token))
        called = world.now()
        live.trigger("pme_leak_response", {"tokens": [digest], "reason": "a test"})
        until(lambda issued=issued: issued.revoked_at is not None, 60, "the revocation")  # type: ignore[misc]
        exposures.append((issued.revoked_at - called).total_seconds())
    exposures.sort()
    late = exposures[int(len(exposures) * 0.95)]
    median = statistics.median(exposures)
    print(
        json.dumps({"leaks": len(exposures), "median": round(median, 2), "p95": round(late, 2), "max": exposures[-1]})
    )
    assert median < 30


@pytest.mark.timeout(300)
def test_a_leak_flagged_by_command_dies_sooner(live: DrivenAirflow, world: World) -> None:
    exposures = []
    for issued in bulk(world)[: scaled(2, 10)]:
        called = world.now()
        subprocess.run(
            [sys.executable, "-m", "pme_airflow.cli", "ledger", "flag", "--stdin", "--sweep"],
            input=issued.token, text=True, env=live.env, check=True, capture_output=True,
        )  # fmt: skip
        assert issued.revoked_at is not None
        exposures.append((issued.revoked_at - called).total_seconds())
    print(json.dumps({"by command": [round(seconds, 2) for seconds in exposures]}))


@pytest.mark.timeout(scaled(300, 1200))
def test_a_leak_that_is_flagged_and_not_swept_wakes_the_sweep(live: DrivenAirflow, world: World) -> None:
    exposures = []
    for issued in bulk(world)[: scaled(3, 30)]:
        called = world.now()
        subprocess.run(
            [sys.executable, "-m", "pme_airflow.cli", "ledger", "flag", "--stdin"],
            input=issued.token, text=True, env=live.env, check=True, capture_output=True,
        )  # fmt: skip
        until(lambda issued=issued: issued.revoked_at is not None, 60, "the revocation")  # type: ignore[misc]
        assert issued.revoked_at is not None
        exposures.append((issued.revoked_at - called).total_seconds())
    exposures.sort()
    late = exposures[int(len(exposures) * 0.95)]
    print(json.dumps({"flagged alone": len(exposures), "median": statistics.median(exposures), "p95": late}))


@pytest.mark.timeout(300)
def test_a_darkened_slot_heals_by_itself(live: DrivenAirflow, world: World) -> None:
    model_id = next(iter(world.models))
    token = shown_token(live, model_id)
    live.trigger("pme_leak_response", {"tokens": [fingerprint(AccessToken(token))], "reason": "seen in a ticket"})

    def healed() -> bool:
        now = shown_token(live, model_id)
        return now != token and world.tokens[now].alive(world.now())

    took = until(healed, 120, "the healing")
    print(json.dumps({"healed after": round(took, 1)}))
    assert not world.tokens[token].alive(world.now())


@pytest.mark.timeout(300)
def test_an_event_on_pme_leaks_starts_the_response(live: DrivenAirflow, world: World) -> None:
    issued = bulk(world)[-1]
    (asset,) = live.call("GET", "assets", uri_pattern="pme://leaks")["assets"]
    extra = {"fingerprints": [fingerprint(AccessToken(issued.token))]}
    live.call("POST", "assets/events", {"asset_id": asset["id"], "extra": extra})
    until(lambda: issued.revoked_at is not None, 60, "the revocation")


@pytest.mark.timeout(300)
def test_a_report_dropped_in_a_folder_starts_the_response(live: DrivenAirflow, world: World) -> None:
    issued = bulk(world)[-2]
    report = [{"RuleID": "pme", "Secret": f"Bearer+{issued.token}", "File": "notes.txt"}]
    (live.home / "reports" / "gitleaks.json").write_text(json.dumps(report))
    until(lambda: issued.revoked_at is not None, 120, "the revocation")
    until(lambda: (live.home / "reports" / "handled" / "gitleaks.json").exists(), 30, "the move")
    events = json.dumps(live.call("GET", "assets/events"))
    assert issued.token not in events
