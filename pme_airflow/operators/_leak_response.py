"""What the flag operator does: read its arguments, flag, sweep where asked to, and tell."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pme_airflow.errors import PMEError, PMEReportError
from pme_airflow.hooks.pme import PMEHook, run_context_of
from pme_airflow.leaks.report_fetch import fetch_report
from pme_airflow.leaks.reports import Findings, merged, read_report
from pme_airflow.lifecycle.flag import Flagging
from pme_airflow.lifecycle.leak_response import Responder, joined
from pme_airflow.operators._errors import push_result
from pme_airflow.operators.alerts import tell

if TYPE_CHECKING:
    from pme_airflow.operators.pme import PMEFlagTokensOperator

__all__ = ["respond"]


def respond(operator: PMEFlagTokensOperator, context: Any) -> dict[str, Any]:
    """Flag, sweep and tell.

    :raises PMEError: for what could not be read, after what could be was flagged and swept.
    """
    hook = PMEHook(operator.pme_conn_id)
    problems: list[PMEError] = []
    # Rendered here and not as a template field: Airflow would keep the rendered tokens in clear.
    tokens = operator.render_template(operator.tokens, context) if operator.tokens is not None else None
    given = {
        "tokens": [*_list(tokens), *_event_fingerprints(context)],
        "models": _list(operator.models),
        "audiences": _list(operator.audiences),
    }
    flagging = Flagging.gather(given, problems)
    findings = merged([_findings(operator.findings, problems), *_event_reports(context, problems)])
    responder = Responder(hook.services, run_context_of(context))
    report = None
    if flagging is not None or findings is not None or not problems:
        report = responder.flag(flagging, findings, str(operator.reason or ""))
        operator.log.info("Flagged: %s.", report.in_words)
        if operator.sweep:
            responder.sweep(report)
            if report.swept is not None:
                tell(operator, context, report.swept)
    if problems:
        if report is not None:
            push_result(context, report.as_json())
        raise joined(problems)
    assert report is not None
    return report.as_json()


def _findings(findings: str | None, problems: list[PMEError]) -> Findings | None:
    if not findings or findings == "None":
        return None
    try:
        return read_report(fetch_report(findings))
    except PMEError as error:
        problems.append(error)
        return None


def _list(value: Any) -> list[Any]:
    """A list, also one that a template rendered into a text."""
    if value is None or value == "" or value == "None":
        return []
    if isinstance(value, str) and value.lstrip().startswith("["):
        for read in (json.loads, ast.literal_eval):
            try:
                parsed = read(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return parsed if isinstance(parsed, list) else [value]
    if isinstance(value, Mapping):
        return [value]
    return list(value) if isinstance(value, list | tuple | set) else [value]


def _event_extras(context: Any) -> list[Mapping[str, Any]]:
    """The extras of the asset events that started the run; of a watcher's, what its trigger said."""
    extras: list[Mapping[str, Any]] = []
    triggering = context.get("triggering_asset_events") or {}
    for events in triggering.values() if hasattr(triggering, "values") else ():
        for event in events:
            extra = getattr(event, "extra", None)
            if isinstance(extra, Mapping):
                payload = extra.get("payload")
                extras.append(payload if isinstance(payload, Mapping) else extra)
    return extras


def _event_fingerprints(context: Any) -> list[Any]:
    return [
        mark for extra in _event_extras(context) for key in ("fingerprints", "tokens") for mark in _list(extra.get(key))
    ]


def _event_reports(context: Any, problems: list[PMEError]) -> list[Findings]:
    """The reports a watcher's trigger has read; one it could not read is a problem."""
    found: list[Findings] = []
    for extra in _event_extras(context):
        report = extra.get("report")
        if isinstance(report, Mapping) and report.get("problem"):
            problems.append(PMEReportError(f"{report.get('path')}: {report['problem']}"))
        elif isinstance(report, Mapping):
            found.append(Findings.of_json(report))
    return found
