"""Telling people, assets and metrics what happened, and what needs somebody's eye."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Stats

from pme_airflow.durations import parse_duration

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from pme_airflow.lifecycle.sweep import SweepOutcome
    from pme_airflow.operators.pme import PMEFlagTokensOperator, PMERevocationSweepOperator

__all__ = ["OnAlarm", "alarms_of", "count", "exposures", "raise_alarms", "tell"]

#: Called with the task's context and the key ``alarms``, a list of sentences: a notifier, a function, or several.
OnAlarm = Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None


def tell(operator: PMEFlagTokensOperator | PMERevocationSweepOperator, context: Any, outcome: SweepOutcome) -> None:
    """Tell metrics, assets and listeners what a sweep came to.

    :raises PMEInputError: where the operator's ``max_exposure`` is no duration, after all else was told.
    """
    exposures(outcome)
    _tell_revoked(context, operator, outcome.audiences)
    raise_alarms(operator, context, alarms_of(outcome, operator.max_exposure), operator.on_alarm)


def count(name: str, by: int = 1) -> None:
    """Count something in Airflow's metrics, as ``pme.<name>``."""
    if by:
        Stats.incr(f"pme.{name}", by)


def exposures(outcome: SweepOutcome) -> None:
    """Hand a sweep's figures to Airflow's metrics: counts, and the exposure of each leak in milliseconds."""
    count("revoked", len(outcome.revoked))
    count("expired", outcome.expired)
    count("irrevocable", len(outcome.given_up))
    Stats.gauge("pme.flagged_pending", outcome.pending)
    for seconds in outcome.exposures.values():
        Stats.timing("pme.exposure", seconds * 1000)


def alarms_of(outcome: SweepOutcome, max_exposure: Any = None) -> list[str]:
    """What in a sweep needs somebody's eye, a sentence each."""
    said = [
        f"Link {row.link_id} of model {row.model_id} is irrevocable; it ends at {row.valid_until:%Y-%m-%d %H:%M} UTC."
        for row in outcome.given_up
    ]
    said += [f"Link {row.link_id} of model {row.model_id} is opened by no key at hand." for row in outcome.unopened]
    said += [f"Tombstone hit: {mark} was flagged before it was minted for." for mark in outcome.tombstones]
    if outcome.pending:
        said.append(f"{outcome.pending} flagged links are still alive: the sweep falls behind.")
    if max_exposure not in (None, ""):
        limit = parse_duration(max_exposure, "max_exposure").total_seconds()
        late = {mark: seconds for mark, seconds in outcome.exposures.items() if seconds > limit}
        said += [f"{mark} was exposed for {seconds:.0f} s, over {limit:.0f} s." for mark, seconds in late.items()]
    return said


def raise_alarms(operator: BaseOperator, context: Mapping[str, Any], said: Sequence[str], on_alarm: OnAlarm) -> None:
    """Log alarms and hand them to whoever listens. A listener that fails is logged, and stops nobody."""
    if not said:
        return
    count("alarms", len(said))
    for line in said:
        operator.log.warning("Alarm: %s", line)
    listeners = on_alarm if isinstance(on_alarm, Sequence) else [on_alarm] if on_alarm is not None else []
    for listener in listeners:
        try:
            listener({**context, "alarms": list(said)})
        except Exception as error:  # noqa: BLE001 - a listener of any author may raise anything
            operator.log.error("An alarm was not delivered (%s).", type(error).__name__)


def _tell_revoked(context: Mapping[str, Any], operator: BaseOperator, audiences: Sequence[str]) -> None:
    """Post an event on ``pme://revoked/<audience>`` for each audience that went dark."""
    events = context.get("outlet_events")
    if events is None:
        return
    from airflow.sdk import Asset, AssetAlias

    for outlet in operator.outlets or ():
        if isinstance(outlet, AssetAlias):
            for audience in audiences:
                events[outlet].add(Asset(f"pme://revoked/{audience}"), extra={"audience": audience})
