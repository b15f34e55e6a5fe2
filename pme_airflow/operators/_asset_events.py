"""Reading the asset events that started a run: fingerprints, and reports that a trigger has read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pme_airflow.errors import PMEReportError
from pme_airflow.hooks.arguments import read_list
from pme_airflow.leaks.reports import Findings
from pme_airflow.printable import printable

__all__ = ["event_reports", "event_tokens"]


def event_tokens(context: Mapping[str, Any]) -> list[Any]:
    """Return the ``fingerprints`` and ``tokens`` of the triggering events."""
    return [
        value for extra in _extras(context) for key in ("fingerprints", "tokens") for value in read_list(extra.get(key))
    ]


def event_reports(context: Mapping[str, Any]) -> tuple[tuple[Findings, ...], tuple[str, ...]]:
    """Return the reports that a watcher's trigger has read, and a sentence for each that could not be read."""
    found: list[Findings] = []
    unread: list[str] = []
    for extra in _extras(context):
        report = extra.get("report")
        if not isinstance(report, Mapping):
            continue
        if report.get("problem"):
            unread.append(f"{printable(report.get('path'))}: {printable(report['problem'])}")
        try:
            found += [Findings.of_json(report)] if "form" in report or "problem" not in report else []
        except PMEReportError as error:
            unread.append(str(error))
    return tuple(found), tuple(unread)


def _extras(context: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the extras of the triggering events; of a watcher's event, the payload of its trigger."""
    extras: list[Mapping[str, Any]] = []
    triggering = context.get("triggering_asset_events") or {}
    for events in triggering.values() if hasattr(triggering, "values") else ():
        for event in events:
            extra = getattr(event, "extra", None)
            if isinstance(extra, Mapping):
                payload = extra.get("payload")
                extras.append(payload if isinstance(payload, Mapping) else extra)
    return extras
