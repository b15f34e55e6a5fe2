"""Report sweeps and leak responses: metrics, asset events, and alarms for what needs a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pme_airflow.airflow_compat import Stats
from pme_airflow.durations import parse_duration
from pme_airflow.errors import PMEInputError
from pme_airflow.printable import printable

if TYPE_CHECKING:
    from airflow.sdk import Asset, BaseOperator

    from pme_airflow.lifecycle.leak_response import LeakResponse
    from pme_airflow.lifecycle.slot_watch import SlotWarning
    from pme_airflow.lifecycle.sweep import SweepResult

__all__ = [
    "OnAlarm",
    "count",
    "emit_metrics",
    "late_alarms",
    "post_at_risk_events",
    "raise_alarms",
    "report_response",
    "report_sweep",
    "response_alarms",
    "sweep_alarms",
]

#: Called with the task's context and the key ``alarms``, a list of sentences: a notifier, a function, or several.
OnAlarm = Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None


def report_sweep(
    operator: BaseOperator, context: Mapping[str, Any], result: SweepResult, max_exposure: Any, on_alarm: OnAlarm
) -> None:
    """Report a sweep to Airflow's metrics, to the assets ``pme://revoked/<audience>``, and to ``on_alarm``.

    :raises PMEInputError: if ``max_exposure`` is no duration; all else has been reported by then.
    """
    emit_metrics(result)
    _post_revoked_events(operator, context, result.audiences)
    _raise_all(operator, context, sweep_alarms(result), result, max_exposure, on_alarm)


def report_response(
    operator: BaseOperator, context: Mapping[str, Any], response: LeakResponse, max_exposure: Any, on_alarm: OnAlarm
) -> None:
    """Report a leak response as :func:`report_sweep` reports a sweep.

    :raises PMEInputError: if ``max_exposure`` is no duration; all else has been reported by then.
    """
    if response.sweep is not None:
        emit_metrics(response.sweep)
        _post_revoked_events(operator, context, response.sweep.audiences)
    _raise_all(operator, context, response_alarms(response), response.sweep, max_exposure, on_alarm)


def count(name: str, by: int = 1) -> None:
    """Increment the counter ``pme.<name>`` of Airflow's metrics."""
    if by:
        Stats.incr(f"pme.{name}", by)


def emit_metrics(result: SweepResult) -> None:
    """Emit a sweep's counts, and in milliseconds how long each leaked link was exposed and each retirement was late."""
    count("revoked", result.revoked.total)
    count("expired", result.expired)
    count("irrevocable", result.irrevocable.total)
    Stats.gauge("pme.flagged_pending", result.pending)
    for seconds in result.exposure_seconds.values():
        Stats.timing("pme.exposure", seconds * 1000)
    for seconds in result.retirement_delays:
        Stats.timing("pme.retirement_delay", seconds * 1000)


def sweep_alarms(result: SweepResult) -> list[str]:
    """Return the alarms of a sweep, one sentence each."""
    alarms = [*_never_revoked(result).values(), *_tombstone_hits(result)]
    if result.pending:
        alarms.append(f"{result.pending} flagged links are NOT revoked yet; the next sweep tries again.")
    return alarms + [
        f"{other.count} flagged links of client {other.client_id} are NOT revoked and may live until "
        f"{other.until:%Y-%m-%d %H:%M} UTC. {_how_to_revoke(other.client_id)}"
        for other in result.other_clients
    ]


def response_alarms(response: LeakResponse) -> list[str]:
    """Return the alarms of a leak response, one sentence each."""
    if not response.swept:
        return []
    alarms = {link.row.link_id: link.not_revoked_line for link in response.not_revoked}
    others = {link.row.client_id for link in response.not_revoked}
    hits: list[str] = []
    if response.sweep is not None:
        alarms = _never_revoked(response.sweep) | alarms
        others -= {response.sweep.client_id}
        hits = _tombstone_hits(response.sweep)
    return [*alarms.values(), *hits, *(_how_to_revoke(client_id) for client_id in sorted(others))]


def _never_revoked(result: SweepResult) -> dict[str, str]:
    """Return a sentence for each link that became irrevocable, or that no key of the connection opens."""
    irrevocable = {
        row.link_id: f"Link {row.link_id} of {row.named_models} is irrevocable; it ends at "
        f"{row.valid_until:%Y-%m-%d %H:%M} UTC."
        for row in result.irrevocable
    }
    unopened = {
        row.link_id: f"Link {row.link_id} of {row.named_models} cannot be opened with the connection's keys, so it "
        "is not revoked."
        for row in result.unopened
    }
    return irrevocable | unopened


def _tombstone_hits(result: SweepResult) -> list[str]:
    return [f"Tombstone hit: {fingerprint} was flagged before it was minted." for fingerprint in result.tombstones]


def late_alarms(result: SweepResult, max_exposure: Any) -> list[str]:
    """Return a sentence for each leaked link whose exposure exceeds ``max_exposure``.

    :raises PMEInputError: if ``max_exposure`` is no duration.
    """
    if max_exposure in (None, ""):
        return []
    limit = parse_duration(max_exposure, "max_exposure").total_seconds()
    return [
        f"{fingerprint} was exposed for {seconds:.0f} s, over {limit:.0f} s."
        for fingerprint, seconds in result.exposure_seconds.items()
        if seconds > limit
    ]


def _raise_all(
    operator: BaseOperator,
    context: Mapping[str, Any],
    alarms: list[str],
    result: SweepResult | None,
    max_exposure: Any,
    on_alarm: OnAlarm,
) -> None:
    """Raise alarms together with those of late revocations.

    :raises PMEInputError: if ``max_exposure`` is no duration, after the others were raised.
    """
    problem: PMEInputError | None = None
    try:
        alarms = [*alarms, *(late_alarms(result, max_exposure) if result is not None else ())]
    except PMEInputError as error:
        problem = error
    raise_alarms(operator, context, alarms, on_alarm)
    if problem is not None:
        raise problem


def _how_to_revoke(client_id: str) -> str:
    from pme_airflow.hooks.client_connections import how_to_revoke

    return how_to_revoke(client_id)


def raise_alarms(operator: BaseOperator, context: Mapping[str, Any], alarms: Sequence[str], on_alarm: OnAlarm) -> None:
    """Log alarms, and call the listeners with them. A listener that fails is logged, and stops no other."""
    if not alarms:
        return
    count("alarms", len(alarms))
    for alarm in alarms:
        operator.log.warning("Alarm: %s", printable(alarm))
    listeners = on_alarm if isinstance(on_alarm, Sequence) else [on_alarm] if on_alarm is not None else []
    for listener in listeners:
        try:
            listener({**context, "alarms": list(alarms)})
        except Exception as error:  # noqa: BLE001 - a listener of any author may raise anything
            operator.log.error("An alarm was not delivered (%s).", type(error).__name__)


def _post_revoked_events(operator: BaseOperator, context: Mapping[str, Any], audiences: Sequence[str]) -> None:
    """Post an event on ``pme://revoked/<audience>`` for each audience that went dark."""
    from pme_airflow.assets import revoked_asset

    _post_events(operator, context, [(revoked_asset(audience), {"audience": audience}) for audience in audiences])


def post_at_risk_events(operator: BaseOperator, context: Mapping[str, Any], warnings: Sequence[SlotWarning]) -> None:
    """Post an event on ``pme://at-risk/<audience>`` for each audience with slots that should have been renewed."""
    from pme_airflow.assets import at_risk_asset

    _post_events(operator, context, [(at_risk_asset(warning.audience), warning.as_json()) for warning in warnings])


def _post_events(
    operator: BaseOperator, context: Mapping[str, Any], found: Sequence[tuple[Asset, dict[str, Any]]]
) -> None:
    """Post events on assets through the task's outlets that are aliases. Airflow takes them when the task succeeds."""
    events = context.get("outlet_events")
    if events is None or not found:
        return
    from airflow.sdk import AssetAlias

    for outlet in operator.outlets or ():
        if isinstance(outlet, AssetAlias):
            for asset, extra in found:
                events[outlet].add(asset, extra=extra)
