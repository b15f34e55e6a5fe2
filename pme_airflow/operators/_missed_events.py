"""Asset events that Airflow started no run for.

A second event on an asset whose DAG is queued leaves the queue as it is. The run that is then created gets the events
up to the time of the first one, the queue is emptied, and the later events are left until the next event, which may
never come (https://github.com/apache/airflow/issues/54659, 56050 and 56749).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

__all__ = ["MissedEvents", "missed_events"]

log = logging.getLogger(__name__)

#: Missed events are stamped between the queueing and the start of a run, by clocks that may be ten minutes off.
_CLOCK_SLACK = timedelta(minutes=15)
#: How many events of one asset are read in that time.
_MOST_EVENTS = 1000


@dataclass(frozen=True)
class MissedEvents:
    """Events without a run.

    :param problem: which of them were not read, and why; empty if all were.
    """

    events: tuple[Any, ...] = ()
    problem: str = ""


def missed_events(context: Mapping[str, Any]) -> MissedEvents:
    """Return the events on the task's inlets, from about when its run was queued, that no run of its DAG has got.

    Only of a run that asset events started. Events that cannot be read are a problem and no error.
    """
    run = context.get("dag_run")
    accessors = context.get("inlet_events")
    if accessors is None or getattr(run, "run_type", None) != "asset_triggered":
        return MissedEvents()
    try:
        return _read(accessors, run)
    except Exception as error:  # noqa: BLE001 - Airflow's API may answer anything, and what started the run is answered
        return MissedEvents(problem=f"Events that started no run cannot be read ({type(error).__name__}).")


def _read(accessors: Mapping[Any, Any], run: Any) -> MissedEvents:
    first, last = run.run_after - _CLOCK_SLACK, (run.start_date or run.run_after) + _CLOCK_SLACK
    missed: list[Any] = []
    problem = ""
    for inlet in accessors:
        listed = _between(accessors[inlet], first, last)
        missed += [event for event in listed[:_MOST_EVENTS] if not _has_run(event, run.dag_id)]
        if len(listed) > _MOST_EVENTS:
            problem = f"Of the events of this half-hour the first {_MOST_EVENTS} were read alone."
    if missed:
        log.info("%d events started no run of their own and are answered by this one.", len(missed))
    return MissedEvents(tuple(missed), problem)


def _between(events: Any, first: datetime, last: datetime) -> list[Any]:
    """Return the events of a time, oldest first, at most one over the limit; Airflow 3.1 returns those of all times."""
    if hasattr(events, "after"):
        events = events.after(first.isoformat()).before(last.isoformat()).limit(_MOST_EVENTS + 1)
    return [event for event in events if first <= event.timestamp <= last]


def _has_run(event: Any, dag_id: str) -> bool:
    return any(run.dag_id == dag_id for run in event.created_dagruns)
