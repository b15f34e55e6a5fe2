"""Viewers with tokens of their own, whose refresh app is killed while it answers them, in fast time."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pme_airflow.dev.emulator import World
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.leak_response import LeakRequest, respond
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.conftest import MODELS, SECRET
from tests.support.clocks import SharedClock
from tests.support.rooms import rows, services_at, sweep
from tests.support.scale import scaled
from tests.support.viewers import START, RefreshWorker

VIEWERS = scaled(100, 1000)
#: Seconds between two viewers: 1,000 come in an hour.
EVERY = 3.6
#: Every how manieth request is answered by a worker that is killed meanwhile, and every how manieth token leaks.
KILL_EVERY, LEAK_EVERY = scaled((20, 40), (10, 100))
#: Seconds after which a third of the viewers asks again: the first time for the same token, then for the next one.
AGAIN, LATER = 240, 400
SWEEP_EVERY = 900
SPACES = list(MODELS)[:10]


class Portal:
    """Two workers of the refresh app, and what each viewer was given."""

    def __init__(self, services: Services, world: World, clock: SharedClock, where: tuple[str, str, str, Path]) -> None:
        self.services, self.world, self.clock, self.where = services, world, clock, where
        self.workers = [RefreshWorker(where) for _ in range(2)]
        self.chance = random.Random(16)
        self.given: dict[str, str] = {}
        self.holders: dict[str, str] = {}
        self.asked = self.killed = self.broken = self.leaks = 0

    def close(self) -> None:
        for worker in self.workers:
            worker.__exit__()

    def serve(self, viewer: str) -> str:
        """Give a viewer a token; now and then the worker is killed meanwhile, and another one is asked."""
        self.asked += 1
        model_id = SPACES[int(viewer[1:]) % len(SPACES)]
        strike = self.asked % KILL_EVERY == 0
        while True:
            answer = self._ask(viewer, model_id, strike=strike)
            strike = False
            if answer is not None and answer.status_code == 200:
                break
            assert answer is None or answer.status_code == 503, answer.text
            self.clock.advance(15 if answer is not None else 1)
        token = str(answer.json()["access_token"])
        assert self.world.opens(token, model_id)
        assert self.holders.setdefault(token, viewer) == viewer, "a token of somebody else"
        self.given[viewer] = token
        return token

    def _ask(self, viewer: str, model_id: str, *, strike: bool) -> requests.Response | None:
        place = self.asked % len(self.workers)
        worker = self.workers[place]
        killer = threading.Timer(self.chance.uniform(0.0, 0.04), worker.kill)
        if strike:
            killer.start()
        try:
            return worker.ask(viewer, model_id)
        except requests.RequestException:
            self.broken += 1
            return None
        finally:
            if strike:
                killer.join()
                assert worker.ended() == -signal.SIGKILL
                self.killed += 1
                self.workers[place] = RefreshWorker(self.where)

    def unknown(self) -> Counter[str]:
        """Live tokens that the ledger neither knows nor accounts for, by model."""
        known = rows(self.services)
        live = {row.fingerprint for row in known if row.state.value == "live"}
        hidden = Counter(t.model_id for t in self.world.alive() if fingerprint(AccessToken(t.token)) not in live)
        return hidden - Counter(row.model_id for row in known if row.state.value in ("minting", "unaccounted"))

    def leak(self, viewer: str) -> None:
        """A viewer's token leaks: it is revoked and names its viewer, and nobody else loses theirs."""
        token = self.given[viewer]
        before = {issued.token for issued in self.world.alive()}
        request = LeakRequest(tokens=(fingerprint(AccessToken(token)),), reason="seen", sweep=True)
        response = respond(self.services, RunContext("cli"), request)
        assert response.promise_kept
        assert before - {issued.token for issued in self.world.alive()} == {token}
        (row,) = [row for row in rows(self.services) if row.fingerprint == fingerprint(AccessToken(token))]
        named = [name for name in self.given if self.services.sealer.viewer_fingerprints(name)[0] == row.viewer]
        assert named == [viewer]
        assert self.serve(viewer) != token
        self.leaks += 1


@pytest.fixture
def portal(world: World, address: str, tmp_path: Path) -> Iterator[Portal]:
    clock = SharedClock(START, tmp_path / "clock")
    world.now = clock.now  # type: ignore[method-assign]
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    services = services_at(address, ledger, SECRET, clock)
    services.database.prepare()
    made = Portal(services, world, clock, (address, ledger, SECRET, tmp_path / "clock"))
    yield made
    made.close()
    services.client.close()


@pytest.mark.timeout(scaled(400, 3600))
def test_no_viewers_token_is_unknown_whenever_the_refresh_app_is_killed(portal: Portal) -> None:
    arrivals = [(number * EVERY, f"v{number}") for number in range(VIEWERS)]
    returns = [(at + after, viewer) for at, viewer in arrivals[::3] for after in (AGAIN, LATER)]
    swept = 0.0
    for at, viewer in sorted(arrivals + returns):
        portal.clock.advance(max(0.0, at - portal.clock.monotonic()))
        if portal.clock.monotonic() - swept > SWEEP_EVERY:
            swept = portal.clock.monotonic()
            sweep(portal.services)
        before, kills = portal.given.get(viewer), portal.killed
        issued = portal.world.tokens.get(before or "")
        token = portal.serve(viewer)
        if issued is not None and issued.alive(portal.world.now()):
            left = (issued.valid_until - portal.world.now()).total_seconds()
            assert (token == before) == (left >= 300) or portal.killed > kills or abs(left - 300) < 30
        if portal.killed > kills:
            assert not portal.unknown()
        if portal.asked % LEAK_EVERY == 0:
            portal.leak(viewer)
    assert not portal.unknown()
    assert portal.leaks
    print(json.dumps({
        "viewers": VIEWERS, "virtual seconds": round(portal.clock.monotonic()), "requests": portal.asked,
        "minted": portal.world.counts["minted"], "killed": portal.killed, "answers lost": portal.broken,
        "leaks": portal.leaks, "unknown": 0,
    }))  # fmt: skip
