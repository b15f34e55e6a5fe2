from __future__ import annotations

import asyncio
import threading

import pytest

from pme_airflow.hooks.ledger_views import FoundPlacements
from pme_airflow.placements import Placement, check
from pme_airflow.plugin import kept_placements, patience
from pme_airflow.plugin.kept_placements import KEPT_SECONDS, KeptPlacements
from pme_airflow.plugin.sources import Sources
from tests.plugin.conftest import Login


def placements() -> tuple[Placement, ...]:
    text = "audience: a\nmodels: [yyHDFKzPzvN]\ntargets: [{kind: object_storage, path: 'file:///srv'}]\n"
    return tuple(check(text, "placements.yaml"))


def test_what_was_read_is_kept_for_a_minute_and_a_problem_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [FoundPlacements(problem="cannot be read"), FoundPlacements(placements()), FoundPlacements()]
    monkeypatch.setattr(kept_placements, "configured_placements", lambda: found.pop(0))
    kept = KeptPlacements()
    assert kept.read().found.problem == "cannot be read"
    assert [plan.audience for plan in kept.read().plans] == ["a"]
    assert [plan.audience for plan in kept.read().plans] == ["a"]
    kept._read_at -= KEPT_SECONDS
    assert kept.read().plans == ()


def test_the_placements_are_read_in_no_event_loop(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def configured_placements() -> FoundPlacements:
        threads.append(threading.current_thread().name)
        return FoundPlacements(placements())

    monkeypatch.setattr(kept_placements, "configured_placements", configured_placements)
    answer = login("viewer").get("/api/health").json()
    assert [placement["audience"] for placement in answer["placements"]] == ["a"]
    assert {name.partition("The ")[0] for name in threads} == {"pme-page-"}


def test_a_disk_that_hangs_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    freed = threading.Event()

    def configured_placements() -> FoundPlacements:
        freed.wait(60)
        return FoundPlacements()

    monkeypatch.setattr(kept_placements, "configured_placements", configured_placements)
    monkeypatch.setattr(patience, "WAIT_SECONDS", 0.01)
    planned = asyncio.run(Sources([]).placements())
    freed.set()
    cure = "Check the disk that it is on."
    assert planned.found.problem == f"The file of the placements did not answer within 0.01 s. {cure}"
