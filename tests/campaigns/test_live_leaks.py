"""Leaks in a live Airflow: how long each lives after somebody says so, and that darkened slots heal by themselves."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.emulator.server import serving, serving_app
from pme_airflow.dev.emulator.world import IssuedToken
from pme_airflow.dev.playground.home import SECRET, environment
from pme_airflow.hooks.ledger_engines import LEDGER_FILE
from pme_airflow.ledger import audit
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import links
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.chromium import chromium, needs_chromium
from tests.support.live import DrivenAirflow, sign_in
from tests.support.rooms import demand, mint, rows, services_at
from tests.support.scale import scaled
from tests.support.showcase import SDK, Opened, events, site

LINKS = scaled(100, 1000)
LEAKS = scaled(4, 50)
SHOWN = 3
#: Models of one shared token.
SHARED = 4
#: Models whose links are killed outside of Airflow, and how many of them stay alive.
KILLED, SPARED = scaled((6, 1), (50, 10))
#: All models that are shown on pages; the first ones of the account.
OTHERS = SHOWN + SHARED + KILLED + SPARED
PLACEMENTS = """
- audience: intranet
  models: [{intranet}]
  targets: [{{kind: object_storage, path: 'file://{home}/published'}}]
- audience: portal
  token: shared
  models: [{portal}]
  targets: [{{kind: object_storage, path: 'file://{home}/portal', sdk_url: '/sdk/index.esm.js', sdk_key: a-key}}]
- audience: resale
  models: [{resale}]
  targets: [{{kind: object_storage, path: 'file://{home}/resale'}}]
"""


@pytest.fixture(scope="module")
def world() -> World:
    models = sample_models(LINKS + OTHERS)
    return World(Settings(client_secret=SECRET, models=models, latency=0.05, shared_tokens=True))


def models_of(world: World) -> dict[str, list[str]]:
    """The models of each audience."""
    models = list(world.models)
    ends = (0, SHOWN, SHOWN + SHARED, OTHERS)
    parts = [models[begin:end] for begin, end in pairwise(ends)]
    return dict(zip(("intranet", "portal", "resale"), parts, strict=True))


@pytest.fixture(scope="module")
def services(world: World, live: DrivenAirflow) -> Iterator[Services]:
    """The ledger as this process reads it."""
    host = json.loads(live.env["AIRFLOW_CONN_PME_DEFAULT"])["host"]
    made = services_at(host, f"sqlite:///{live.home / LEDGER_FILE}", SECRET)
    yield made
    made.client.close()


@pytest.fixture(scope="module")
def live(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivenAirflow]:
    """A live Airflow with a thousand live links, three of them shown on pages."""
    home = tmp_path_factory.mktemp("leaks")
    named = {audience: ", ".join(models) for audience, models in models_of(world).items()}
    placements = PLACEMENTS.format(home=home, **named)
    with serving(world) as address:
        env = environment(home, address, placements, PME_REPORTS=f"file://{home}/reports")
        (home / "reports").mkdir()
        services = services_at(address, f"sqlite:///{home / LEDGER_FILE}", SECRET)
        mint(services, "bulk", list(world.models)[OTHERS:], demand(audience="bulk"))
        with DrivenAirflow(home, env) as running:
            running.wait_until_parsed(
                "pme_nightly_rotation", "pme_link_keeper", "pme_leak_response", "pme_revocation_sweep"
            )
            running.seconds("pme_nightly_rotation")
            yield running


def until(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for something; how long it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - begun


def shown_token(live: DrivenAirflow, model_id: str, folder: str = "published") -> str:
    return str(json.loads((live.home / folder / model_id / "link.json").read_text())["access_token"])


def bulk(world: World) -> list[IssuedToken]:
    shown = set(list(world.models)[:OTHERS])
    return [issued for issued in world.alive() if issued.model_id not in shown]


@pytest.mark.timeout(scaled(900, 1800))
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


def shared_token(live: DrivenAirflow, world: World) -> str | None:
    """The token that all models of the shared placement show, if it is one."""
    shown = {shown_token(live, model_id, "portal") for model_id in models_of(world)["portal"]}
    return shown.pop() if len(shown) == 1 else None


def opens_all(live: DrivenAirflow, world: World, token: str | None) -> bool:
    return token is not None and all(world.opens(token, model_id) for model_id in models_of(world)["portal"])


@pytest.mark.timeout(1200)
def test_a_leak_of_one_model_of_a_shared_token_heals_all_of_its_slots(
    live: DrivenAirflow, world: World, services: Services
) -> None:
    models = models_of(world)["portal"]
    leaked = shared_token(live, world)
    assert opens_all(live, world, leaked)
    live.trigger("pme_leak_response", {"models": [models[2]], "reason": "seen in a ticket"})

    def healed() -> bool:
        now = shared_token(live, world)
        return now != leaked and opens_all(live, world, now)

    print(json.dumps({"slots": SHARED, "healed after": round(until(healed, 180, "the healing"), 1)}))
    assert leaked is not None
    assert not world.tokens[leaked].alive(world.now())

    old = shared_token(live, world)
    with services.database.write(RunContext("cli")) as tx:
        made = services.server_now() - timedelta(hours=14)
        ours = links.c.audience == "portal", links.c.state == State.LIVE
        tx.execute(update(links).where(*ours).values(minted_at=made, valid_until=made + timedelta(hours=24)))
    live.seconds("pme_link_keeper")
    until(
        lambda: shared_token(live, world) != old and opens_all(live, world, shared_token(live, world)), 120, "renewal"
    )
    (row,) = [row for row in rows(services, "live") if row.audience == "portal" and not row.retire_at]
    assert row.opens == tuple(sorted(models))


@pytest.mark.timeout(300)
@needs_chromium
@pytest.mark.skipif(not SDK.exists(), reason="needs the vendor's SDK, which make node installs")
def test_the_page_names_the_slots_of_a_shared_token_and_the_vendors_sdk_opens_each_of_its_models(
    live: DrivenAirflow, world: World
) -> None:
    models = models_of(world)["portal"]
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        sign_in(page, live)
        page.goto(f"{live.address}/pme/?view=now&audience=portal")
        expect(page.locator("tbody .badge.live")).to_have_count(SHARED, timeout=60_000)
        page.get_by_role("link", name=world.models[models[0]]["name"]).first.click()
        for model_id in models:
            expect(
                page.get_by_text(re.compile(f"{model_id}|{re.escape(world.models[model_id]['name'])}")).first
            ).to_be_visible()
        with serving_app(lambda _: site(live.home / "portal")) as address:
            for model_id in models[:2]:
                opened = Opened(browser, f"{address}/{model_id}/embed.html", [])
                opened.wait(events("connected", 1))
                opened.wait("!events.some(t => t[0] === 'failed')")
                assert model_id in opened.showcase.url
                assert (opened.state, opened.breaks) == ("live", 0)


def pause_between_runs(live: DrivenAirflow, dag_id: str) -> None:
    """Pause a DAG of which no run is under way: Airflow leaves the rest of a paused DAG's run undone."""

    def runs() -> list[Any]:
        found = [live.call("GET", f"dags/{dag_id}/dagRuns", state=state)["dag_runs"] for state in ("queued", "running")]
        return [run for some in found for run in some]

    for _ in range(20):
        until(lambda: not runs(), 120, "the runs' end")
        live.call("PATCH", f"dags/{dag_id}", {"is_paused": True})
        if not runs():
            return
        live.call("PATCH", f"dags/{dag_id}", {"is_paused": False})
    raise AssertionError(f"a run of {dag_id} is always under way")


@pytest.mark.timeout(scaled(600, 1800))
def test_tokens_killed_outside_of_airflow_are_all_found_and_healed_by_one_run_of_the_keeper(
    live: DrivenAirflow, world: World, services: Services
) -> None:
    def ours() -> list[LinkRow]:
        return [row for row in rows(services, "live") if row.audience == "resale" and row.usable]

    def probes(work: Callable[[], Any]) -> int:
        before = world.counts.get("requests:probe", 0)
        work()
        return world.counts.get("requests:probe", 0) - before

    quiet = []
    while len([row for row in ours() if row.verified]) <= SPARED:
        quiet.append(probes(lambda: live.seconds("pme_link_keeper")))
    pause_between_runs(live, "pme_link_keeper")
    asked = sorted(row.fingerprint or "" for row in ours() if row.verified)
    spared = set(asked[:SPARED])
    by_digest = {fingerprint(AccessToken(token)): token for token in world.tokens}
    dead = {row.fingerprint or "" for row in ours()} - spared
    for digest in dead:
        world.revoke(by_digest[digest])
    assert len(dead) == KILLED
    live.call("PATCH", "dags/pme_link_keeper", {"is_paused": False})
    took = []
    busy = probes(lambda: took.append(live.seconds("pme_link_keeper")))
    shown = {shown_token(live, model_id, "resale") for model_id in models_of(world)["resale"]}
    alive = {issued.token for issued in world.alive()}
    with services.database.read() as tx:
        found = {event["fingerprint"] for event in audit.export_events(tx) if event["event"] == "found_dead"}
    print(json.dumps({"killed": KILLED, "seconds": took, "requests of the run": busy, "of quiet runs": quiet}))
    assert found == dead
    assert shown <= alive
    assert {by_digest[digest] for digest in spared} <= shown
    assert (
        max(quiet, default=0) <= 3 * 3
    )  # three audiences: a link each, and two requests to find out what can be asked
    assert busy <= KILLED + SPARED + 3 + 4  # each link once, one of each other audience, and the trial of the probe
