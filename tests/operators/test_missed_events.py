"""Events that Airflow started no run for are answered by the run that they came too late for.

The stand-ins answer as ``InletEventsAccessor`` of Airflow 3.2 and 3.3 does, and as the list of Airflow 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from pme_airflow.operators import _missed_events
from pme_airflow.operators._asset_events import leak_events
from pme_airflow.operators._missed_events import missed_events

QUEUED_AT = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
DAG_ID = "pme_leak_response"
Events = Callable[[list[Any]], Any]


class Accessor:
    """What Airflow 3.2 and 3.3 return for an inlet: it is asked once, when it is iterated over."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self.asked: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in ("after", "before", "limit"):
            raise AttributeError(name)

        def refine(value: Any) -> Accessor:
            self.asked[name] = value
            return self

        return refine

    def __iter__(self) -> Any:
        first, last = (datetime.fromisoformat(self.asked[name]) for name in ("after", "before"))
        return iter([event for event in self.events if first <= event.timestamp <= last][: self.asked["limit"]])


@pytest.fixture(params=[list, Accessor], ids=["Airflow 3.1", "Airflow 3.2"])
def made(request: pytest.FixtureRequest) -> Events:
    kind: Events = request.param
    return kind


def event(name: str, seconds: float = 1, runs_of: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(
        timestamp=QUEUED_AT + timedelta(seconds=seconds),
        extra={"fingerprints": [name]},
        created_dagruns=[SimpleNamespace(dag_id=dag_id) for dag_id in runs_of],
    )


def context(listed: Any, run_type: str = "asset_triggered", **more: Any) -> dict[str, Any]:
    run = SimpleNamespace(
        dag_id=DAG_ID, run_type=run_type, run_after=QUEUED_AT, start_date=QUEUED_AT + timedelta(seconds=3)
    )
    return {"dag_run": run, "inlet_events": {"pme://leaks": listed}, **more}


def test_events_that_came_while_the_run_was_queued_are_answered_with_its_own(made: Events) -> None:
    listed = made([event("own", 0, runs_of=(DAG_ID,)), event("second"), event("third", runs_of=("another_dag",))])
    triggering = {"pme://leaks": [event("own", 0)]}
    events = leak_events(context(listed, triggering_asset_events=triggering))
    assert events.tokens == ("own", "second", "third")
    assert events.missed.problem == ""


def test_events_of_other_times_and_of_runs_that_no_event_started_are_left_alone(made: Events) -> None:
    hour = timedelta(hours=1).total_seconds()
    listed = [event("long ago", -hour), event("later", hour), event("clocks five minutes off", -300)]
    assert leak_events(context(made(listed))).tokens == ("clocks five minutes off",)
    assert leak_events(context(made(listed), run_type="manual")).tokens == ()
    assert leak_events({"dag_run": None, "inlet_events": None}).tokens == ()


def test_very_many_events_are_read_in_part_and_a_problem(made: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_missed_events, "_MOST_EVENTS", 2)
    listed = made([event("a"), event("b"), event("c")])
    found = missed_events(context(listed))
    assert [one.extra["fingerprints"] for one in found.events] == [["a"], ["b"]]
    assert found.problem == "Of the events of this half-hour the first 2 were read alone."
    assert missed_events(context(made([event("a"), event("b")]))).problem == ""


def test_events_that_airflow_does_not_return_are_a_problem_and_no_error() -> None:
    """Its API answers 500 while a run that has got one of the events is not started yet."""

    class Failing(dict[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            raise ConnectionError(key)

    found = missed_events(context([]) | {"inlet_events": Failing(x=1)})
    assert found.events == ()
    assert found.problem == "Events that started no run cannot be read (ConnectionError)."
