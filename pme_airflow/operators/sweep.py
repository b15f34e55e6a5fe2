"""The operator that revokes what is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from pme_airflow.airflow_compat import AirflowException
    from pme_airflow.lifecycle.sweep import SweepResult
    from pme_airflow.operators.alerts import OnAlarm

__all__ = ["PMERevocationSweepOperator"]

#: How many links the task's error names; the ledger and the alarms contain all of them.
_MOST_NAMED = 20
#: A night's links were published one after the other, and fall due so: one run revokes them, rather than one each.
_NEXT_WITHIN = timedelta(seconds=20)


class PMERevocationSweepOperator(BaseOperator):
    """Revoke what is due: leaked links first, then those that no slot shows any more; close those that have ended.

    Where the next retirement falls due within 20 s it waits for that, for five minutes in all.

    :param max_attempts: after this many answers that are not ``true`` a link is irrevocable: it is alarmed once by
        failing the task, listed, and tried every 30 minutes until it expires. (templated)
    :param verify: whether to request each revoked link itself (401 expected), and record the answer.
    :param max_exposure: raise an alarm for a link that lived longer than this after its flag: ``5m``. (templated)
    :param on_alarm: called with the context and ``alarms``, a list of sentences: a notifier, a function, or several.
    :param pme_conn_id: the PME connection. (templated)
    :return: what was revoked, as JSON of fingerprints.
    """

    template_fields: Sequence[str] = ("max_attempts", "max_exposure", "pme_conn_id")
    ui_color = "#f9dede"

    def __init__(
        self,
        *,
        max_attempts: int = 6,
        verify: bool = False,
        max_exposure: str | timedelta | None = None,
        on_alarm: OnAlarm = None,
        pme_conn_id: str = "pme_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_attempts = max_attempts
        self.verify = verify
        self.max_exposure = max_exposure
        self.on_alarm = on_alarm
        self.pme_conn_id = pme_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        """Sweep.

        :raises AirflowFailException: if a link became irrevocable or cannot be opened, or the credentials are refused.
        :raises AirflowException: if a leaked link is alive and another try may help.
        """
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.sweep import summary
        from pme_airflow.operators._errors import airflow_errors, end_task
        from pme_airflow.operators.alerts import report_sweep

        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            result = hook.sweep(
                int(self.max_attempts),
                verify=self.verify,
                next_within=_NEXT_WITHIN,
                run_context=run_context_of(context),
            )
        self._log(result)
        return end_task(
            context,
            summary(result),
            _failure(result),
            lambda: report_sweep(self, context, result, self.max_exposure, self.on_alarm),
        )

    def _log(self, result: SweepResult) -> None:
        self.log.info(
            "%d links revoked, %d expired, %d irrevocable, %d still due.",
            result.revoked.total,
            result.expired,
            result.irrevocable.total,
            result.pending,
        )


def _failure(result: SweepResult) -> AirflowException | None:
    from pme_airflow.airflow_compat import AirflowException, AirflowFailException

    if result.irrevocable or result.unopened:
        irrevocable = ", ".join(f"{row.link_id} of {row.named_models}" for row in result.irrevocable[:_MOST_NAMED])
        unopened = ", ".join(row.link_id for row in result.unopened[:_MOST_NAMED])
        return AirflowFailException(
            f"Irrevocable now: {irrevocable or 'none'}. Not opened by the connection's keys: {unopened or 'none'}."
        )
    if result.pending or result.other_clients or result.alive_unread:
        return AirflowException(" ".join(result.lines()))
    return None
