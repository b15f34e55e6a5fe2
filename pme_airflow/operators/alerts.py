"""Reporting a sweep: metrics, asset events, and alarms for what a person must look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Stats

from pme_airflow.durations import parse_duration

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from pme_airflow.lifecycle.sweep import SweepResult

__all__ = ["OnAlarm", "count", "emit_metrics", "raise_alarms", "report_sweep", "sweep_alarms"]

#: Called with the task's context and the key ``alarms``, a list of sentences: a notifier, a function, or several.
OnAlarm = Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None


def report_sweep(
    operator: BaseOperator, context: Mapping[str, Any], outcome: SweepResult, max_exposure: Any, on_alarm: OnAlarm
) -> None:
    """Report a sweep to Airflow's metrics, to the assets ``pme://revoked/<audience>``, and to ``on_alarm``.

    :raises PMEInputError: if ``max_exposure`` is no duration; metrics and assets have been reported by then.
    """
    emit_metrics(outcome)
    _post_revoked_events(operator, context, outcome.audiences)
    raise_alarms(operator, context, sweep_alarms(outcome, max_exposure), on_alarm)


def count(name: str, by: int = 1) -> None:
    """Increment the counter ``pme.<name>`` of Airflow's metrics."""
    if by:
        Stats.incr(f"pme.{name}", by)


def emit_metrics(outcome: SweepResult) -> None:
    """Emit a sweep's counts, and the exposure of each leaked link in milliseconds."""
    count("revoked", len(outcome.revoked))
    count("expired", outcome.expired)
    count("irrevocable", len(outcome.given_up))
    Stats.gauge("pme.flagged_pending", outcome.pending)
    for seconds in outcome.exposures.values():
        Stats.timing("pme.exposure", seconds * 1000)


def sweep_alarms(outcome: SweepResult, max_exposure: Any = None) -> list[str]:
    """Return what in a sweep a person must look at, one sentence each.

    :raises PMEInputError: if ``max_exposure`` is no duration.
    """
    alarms = [
        f"Link {row.link_id} of model {row.model_id} is irrevocable; it ends at {row.valid_until:%Y-%m-%d %H:%M} UTC."
        for row in outcome.given_up
    ]
    alarms += [
        f"Link {row.link_id} of model {row.model_id} cannot be opened with the connection's keys, so it is not revoked."
        for row in outcome.unopened
    ]
    alarms += [f"Tombstone hit: {fingerprint} was flagged before it was minted." for fingerprint in outcome.tombstones]
    if outcome.pending:
        alarms.append(f"{outcome.pending} flagged links are still alive: the sweep falls behind.")
    return alarms + _late(outcome, max_exposure)


def _late(outcome: SweepResult, max_exposure: Any) -> list[str]:
    if max_exposure in (None, ""):
        return []
    limit = parse_duration(max_exposure, "max_exposure").total_seconds()
    return [
        f"{fingerprint} was exposed for {seconds:.0f} s, over {limit:.0f} s."
        for fingerprint, seconds in outcome.exposures.items()
        if seconds > limit
    ]


def raise_alarms(operator: BaseOperator, context: Mapping[str, Any], alarms: Sequence[str], on_alarm: OnAlarm) -> None:
    """Log alarms, and call the listeners with them. A listener that fails is logged, and stops no other."""
    if not alarms:
        return
    count("alarms", len(alarms))
    for alarm in alarms:
        operator.log.warning("Alarm: %s", alarm)
    listeners = on_alarm if isinstance(on_alarm, Sequence) else [on_alarm] if on_alarm is not None else []
    for listener in listeners:
        try:
            listener({**context, "alarms": list(alarms)})
        except Exception as error:  # noqa: BLE001 - a listener of any author may raise anything
            operator.log.error("An alarm was not delivered (%s).", type(error).__name__)


def _post_revoked_events(operator: BaseOperator, context: Mapping[str, Any], audiences: Sequence[str]) -> None:
    """Post an event on ``pme://revoked/<audience>`` for each audience that went dark."""
    events = context.get("outlet_events")
    if events is None:
        return
    from airflow.sdk import AssetAlias

    from pme_airflow.assets import revoked_asset

    for outlet in operator.outlets or ():
        if isinstance(outlet, AssetAlias):
            for audience in audiences:
                events[outlet].add(revoked_asset(audience), extra={"audience": audience})
