"""Reading asset events of leaks: fingerprints, and reports that a trigger has read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pme_airflow.errors import PMEReportError
from pme_airflow.hooks.arguments import read_list
from pme_airflow.leaks.reports import Findings
from pme_airflow.operators._missed_events import MissedEvents, missed_events
from pme_airflow.printable import printable

__all__ = ["LeakEvents", "leak_events"]


@dataclass(frozen=True)
class LeakEvents:
    """What the events that a run answers carry.

    :param tokens: their ``fingerprints`` and ``tokens``.
    :param reports: the reports that a watcher's trigger has read.
    :param unread: a sentence for each report that could not be read.
    :param missed: the events among them that Airflow started no run for.
    """

    tokens: tuple[Any, ...] = field(default=(), repr=False)
    reports: tuple[Findings, ...] = ()
    unread: tuple[str, ...] = ()
    missed: MissedEvents = field(default_factory=MissedEvents)


def leak_events(context: Mapping[str, Any]) -> LeakEvents:
    """Read the events that started a run, and those on the task's inlets that started none."""
    missed = missed_events(context)
    extras = _extras([*_triggering(context), *missed.events])
    found: list[Findings] = []
    unread: list[str] = []
    for report in _reports(extras):
        if report.get("problem"):
            unread.append(f"{printable(report.get('path'))}: {printable(report['problem'])}")
        try:
            found += [Findings.of_json(report)] if "form" in report or "problem" not in report else []
        except PMEReportError as error:
            unread.append(str(error))
    tokens = [value for extra in extras for key in ("fingerprints", "tokens") for value in read_list(extra.get(key))]
    return LeakEvents(tuple(tokens), tuple(found), tuple(unread), missed)


def _reports(extras: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Return the reports of events: ``reports``, or ``report`` of one alone."""
    for extra in extras:
        several = extra.get("reports")
        for report in (extra.get("report"), *(several if isinstance(several, list) else ())):
            if isinstance(report, Mapping):
                yield report


def _triggering(context: Mapping[str, Any]) -> list[Any]:
    triggering = context.get("triggering_asset_events") or {}
    return [event for events in (triggering.values() if hasattr(triggering, "values") else ()) for event in events]


def _extras(events: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return the extras of events; of a watcher's event, the payload of its trigger."""
    extras: list[Mapping[str, Any]] = []
    for event in events:
        extra = getattr(event, "extra", None)
        if isinstance(extra, Mapping):
            payload = extra.get("payload")
            extras.append(payload if isinstance(payload, Mapping) else extra)
    return extras
