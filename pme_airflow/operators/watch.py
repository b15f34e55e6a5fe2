"""The operator that watches the slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from pme_airflow.errors import LedgerUnavailableError
    from pme_airflow.lifecycle.slot_watch import Forecast, SlotWarning
    from pme_airflow.operators.alerts import OnAlarm
    from pme_airflow.placements import Placement

__all__ = ["PMEWatchSlotsOperator", "emit_target_gauges"]

#: Keys under which runs with and without a logical date leave what the next one has to know if the ledger cannot be
#: read then; asset events start runs without one. Airflow orders the XComs of earlier runs by logical date, and
#: databases disagree whether runs without one come first. Under one key all runs are of one kind, the newest first.
_DATED, _UNDATED = "forecasts_of_dated_runs", "forecasts_of_undated_runs"


class PMEWatchSlotsOperator(BaseOperator):
    """Emit the gauges of every slot, and warn before a slot is dark.

    A slot is at risk when it is nearer to its end than the plan of its placement allows: nobody renewed its link, or
    its target did not take the new one. The task then posts an event on ``pme://at-risk/<audience>``, once for each
    slot and link, and raises an alarm. While the ledger cannot be read it warns by what the last run read.

    Let it run after the sweep. It needs an outlet ``AssetAlias`` to post events.

    :param on_alarm: called with the context and ``alarms``, a list of sentences: a notifier, a function, or several.
    :param pme_conn_id: the PME connection. (templated)
    :return: how many slots there are, how many are at risk, and the warnings, as JSON.
    """

    template_fields: Sequence[str] = ("pme_conn_id",)
    ui_color = "#e8e4f5"

    def __init__(self, *, on_alarm: OnAlarm = None, pme_conn_id: str = "pme_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.on_alarm = on_alarm
        self.pme_conn_id = pme_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        """Watch the slots.

        :raises AirflowException: if the ledger cannot be used.
        """
        from pme_airflow.errors import LedgerMissingError, LedgerUnavailableError
        from pme_airflow.hooks.ledger_views import view_of
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.slot_watch import forecast_of, watch_slots
        from pme_airflow.operators._errors import airflow_errors
        from pme_airflow.operators.slot_metrics import emit

        with airflow_errors():
            view = view_of(PMEHook(self.pme_conn_id), _placements_of(self))
            try:
                report = watch_slots(view, run_context_of(context))
            except LedgerMissingError:  # nothing was ever minted
                return self._end(context, 0, 0, ())
            except LedgerUnavailableError as error:
                return self._foresee(context, error)
        emit(report, self.pme_conn_id)
        _push_forecasts(context, forecast_of(report))
        slots, at_risk = (sum(getattr(row, name) for row in report.slots) for name in ("slots", "at_risk"))
        return self._end(context, slots, at_risk, report.warnings)

    def _foresee(self, context: Mapping[str, Any], error: LedgerUnavailableError) -> dict[str, Any]:
        """Warn by what the last run expected that read the ledger."""
        from datetime import datetime, timezone

        from pme_airflow.lifecycle.slot_watch import foresee

        self.log.error("The ledger cannot be read: %s", error)
        warnings, kept = foresee(_newest_forecasts(context["ti"]), datetime.now(timezone.utc), error)
        _push_forecasts(context, kept)
        return self._end(context, None, None, warnings)

    def _end(
        self, context: Mapping[str, Any], slots: int | None, at_risk: int | None, warnings: Sequence[SlotWarning]
    ) -> dict[str, Any]:
        from pme_airflow.operators.alerts import post_at_risk_events, raise_alarms

        if slots is not None:
            self.log.info("%d slots, %d of them at risk.", slots, at_risk)
        post_at_risk_events(self, context, warnings)
        raise_alarms(self, context, [warning.message for warning in warnings], self.on_alarm)
        return {"slots": slots, "at_risk": at_risk, "warnings": [warning.as_json() for warning in warnings]}


def _placements_of(operator: BaseOperator) -> tuple[Placement, ...]:
    """Return the placements next to the operator's DAG; that they cannot be read is logged."""
    from pme_airflow.hooks.ledger_views import configured_placements

    dag = operator.get_dag()
    found = configured_placements(dag.fileloc if dag is not None else None)
    if found.problem:
        operator.log.warning("%s Links are taken to be due at half of their life.", found.problem)
    return found.placements


def _push_forecasts(context: Mapping[str, Any], forecasts: Sequence[Forecast]) -> None:
    from datetime import datetime, timezone

    from pme_airflow.operators._errors import push_result

    value = {
        "pushed_at": datetime.now(timezone.utc).isoformat(),
        "forecasts": [forecast.as_json() for forecast in forecasts],
    }
    push_result(context, value, key=_UNDATED if context.get("logical_date") is None else _DATED)


def _newest_forecasts(ti: Any) -> list[Forecast]:
    """Return what the last run of either kind left; empty if none did."""
    from pme_airflow.iso_times import parse_iso
    from pme_airflow.lifecycle.slot_watch import Forecast

    pulled = [
        ti.xcom_pull(task_ids=ti.task_id, key=key, include_prior_dates=True, map_indexes=ti.map_index)
        for key in (_DATED, _UNDATED)
    ]
    left = [value for value in pulled if value]
    if not left:
        return []
    newest = max(left, key=lambda value: parse_iso(value["pushed_at"]))
    return [Forecast.of_json(entry) for entry in newest["forecasts"]]


def emit_target_gauges(operator: BaseOperator, pme_conn_id: str, target: str) -> None:
    """Emit the gauges of one target after it was published to, if metrics are collected.

    A ledger that cannot be read is logged.
    """
    from pme_airflow.operators.slot_metrics import are_collected, emit

    if not are_collected():
        return
    from pme_airflow.errors import PMEError
    from pme_airflow.hooks.ledger_views import view_of
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.lifecycle.slot_watch import read_target

    try:
        view = view_of(PMEHook(pme_conn_id), _placements_of(operator))
        emit(read_target(view, target), pme_conn_id, whole=False)
    except PMEError as error:
        operator.log.warning("%s: its gauges are not emitted: %s", target, error)
