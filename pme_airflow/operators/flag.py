"""The operator that flags leaked links, and revokes them where asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from pme_airflow.errors import PMEError
    from pme_airflow.leaks.reports import Findings
    from pme_airflow.lifecycle.flag import Flagging
    from pme_airflow.lifecycle.responder import LeakReport
    from pme_airflow.operators.alerts import OnAlarm

__all__ = ["PMEFlagTokensOperator"]


class PMEFlagTokensOperator(BaseOperator):
    """Flag leaked links, so that the next sweep revokes them.

    Airflow keeps a run's conf and rendered fields in clear: pass fingerprints (``pme-airflow fingerprint``) rather than
    raw tokens where you can. Raw tokens are fingerprinted before anything else, and never stored here.

    :param tokens: raw tokens, links in any encoding, or fingerprints. Rendered when the task runs, and no template
        field, since Airflow would store it rendered.
    :param models: flag every link of these models. (templated)
    :param audiences: flag every link of these audiences. (templated)
    :param findings: the path or URL of a scanner's report. (templated)
    :param reason: why; recorded in the ledger. (templated)
    :param sweep: whether to revoke at once, in this task.
    :param max_exposure: raise an alarm for a link that lived longer than this after its flag: ``5m``. (templated)
    :param on_alarm: called with the context and ``alarms``, a list of sentences: a notifier, a function, or several.
    :param pme_conn_id: the PME connection. (templated)
    :return: what was flagged, as JSON of fingerprints.
    """

    template_fields: Sequence[str] = ("models", "audiences", "findings", "reason", "max_exposure", "pme_conn_id")
    ui_color = "#f9dede"

    def __init__(
        self,
        *,
        tokens: Any = None,
        models: Any = None,
        audiences: Any = None,
        findings: str | None = None,
        reason: str = "",
        sweep: bool = False,
        max_exposure: str | timedelta | None = None,
        on_alarm: OnAlarm = None,
        pme_conn_id: str = "pme_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.tokens = tokens
        self.models = models
        self.audiences = audiences
        self.findings = findings
        self.reason = reason
        self.sweep = sweep
        self.max_exposure = max_exposure
        self.on_alarm = on_alarm
        self.pme_conn_id = pme_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        """Flag, and sweep where asked to.

        :raises AirflowFailException: if there is nothing to flag, or a value cannot be read; what can be read is
            flagged all the same.
        """
        from pme_airflow.lifecycle.leak_response import joined
        from pme_airflow.operators._errors import airflow_errors, push_result

        problems: list[PMEError] = []
        with airflow_errors():
            flagging, findings = self._read(context, problems)
            report = None
            if flagging is not None or findings is not None or not problems:
                report = self._respond(context, flagging, findings)
            if problems:
                if report is not None:
                    push_result(context, report.as_json())
                raise joined(problems)
        assert report is not None
        return report.as_json()

    def _respond(self, context: Any, flagging: Flagging | None, findings: Findings | None) -> LeakReport:
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.leak_response import Responder
        from pme_airflow.operators.alerts import report_sweep

        responder = Responder(PMEHook(self.pme_conn_id).services, run_context_of(context))
        report = responder.flag(flagging, findings, str(self.reason or ""))
        self.log.info("Flagged: %s.", report.in_words)
        if self.sweep:
            responder.sweep(report)
            if report.swept is not None:
                report_sweep(self, context, report.swept, self.max_exposure, self.on_alarm)
        return report

    def _read(self, context: Mapping[str, Any], problems: list[PMEError]) -> tuple[Flagging | None, Findings | None]:
        """Read the arguments and the triggering events; what cannot be read is added to the problems."""
        from pme_airflow.hooks.arguments import read_list
        from pme_airflow.leaks.reports import merged
        from pme_airflow.lifecycle.flag import Flagging
        from pme_airflow.operators._asset_events import event_findings, event_tokens

        tokens = self.render_template(self.tokens, context) if self.tokens is not None else None
        given = {
            "tokens": [*read_list(tokens), *event_tokens(context)],
            "models": read_list(self.models),
            "audiences": read_list(self.audiences),
        }
        flagging = Flagging.gather(given, problems)
        return flagging, merged([self._read_report(problems), *event_findings(context, problems)])

    def _read_report(self, problems: list[PMEError]) -> Findings | None:
        from pme_airflow.leaks.report_fetch import read_findings

        return None if self.findings in (None, "", "None") else read_findings(self.findings, problems)
