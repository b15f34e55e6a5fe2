"""The operator that flags leaked links, and revokes them where asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from pme_airflow.airflow_compat import AirflowException
    from pme_airflow.lifecycle.leak_response import LeakRequest, LeakResponse
    from pme_airflow.operators._asset_events import LeakEvents
    from pme_airflow.operators.alerts import OnAlarm

__all__ = ["PMEFlagTokensOperator"]

#: How long an attempt continues while no revocation is confirmed; then the task is retried, and the sweeps continue.
_DEADLINE = timedelta(seconds=30)


class PMEFlagTokensOperator(BaseOperator):
    """Flag leaked links, so that the next sweep revokes them; or revoke them at once.

    Airflow keeps a run's conf in clear: pass fingerprints (``pme-airflow fingerprint``) rather than raw tokens where
    you can. Raw tokens are fingerprinted before anything else, masked in the task's log, and never stored here.

    A run that asset events started flags what they carry. Name the assets in ``inlets`` too: the task then also flags
    what came while its run was queued, which Airflow starts no run for.

    The task fails, after pushing its result, if a part of what was given could not be read, if no connection that the
    DAG flags for has ever had a link of a model, an audience or a link id, or if ``sweep`` is set and
    the revocation of a link was not confirmed.

    :param tokens: raw tokens, links in any encoding, or fingerprints; also the result of another task, which then runs
        first. Rendered when the task runs, and no template field, since Airflow would store it rendered. Airflow sets
        no dependency for what ``partial`` is given here: add ``find_leaks >> flag`` there.
    :param models: flag every link of these models. (templated)
    :param audiences: flag every link of these audiences. (templated)
    :param findings: the path or URL of a scanner's report, or several. (templated)
    :param within: flag only links that match all of the criteria, where several are given. Without it, models and
        audiences cannot be given together with each other or with tokens. (templated)
    :param reason: why; recorded in the ledger. (templated)
    :param confirm_over: if more links than this match that are not flagged yet, the task waits for a person's answer
        under Airflow's *Required Actions* before it flags any; where this Airflow has no human-in-the-loop operator, it
        fails. ``None`` never asks. (templated)
    :param sweep: whether to revoke at once, in this task.
    :param max_exposure: raise an alarm for a link that lived longer than this after its flag: ``5m``. (templated)
    :param on_alarm: called with the context and ``alarms``, a list of sentences: a notifier, a function, or several.
    :param pme_conn_id: the PME connection. (templated)
    :return: what was flagged, as JSON of fingerprints.
    """

    template_fields: Sequence[str] = (
        "models", "audiences", "findings", "within", "reason", "confirm_over", "max_exposure", "pme_conn_id",
    )  # fmt: skip
    ui_color = "#f9dede"
    #: The rendered fields as they were given, by name; the fields themselves are masked.
    _unmasked: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        *,
        tokens: Any = None,
        models: Any = None,
        audiences: Any = None,
        findings: str | Sequence[str] | None = None,
        within: bool | str = False,
        reason: str = "",
        confirm_over: int | str | None = None,
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
        self.within = within
        self.reason = reason
        self.confirm_over = confirm_over
        self.sweep = sweep
        self.max_exposure = max_exposure
        self.on_alarm = on_alarm
        self.pme_conn_id = pme_conn_id

        from airflow.sdk import XComArg  # BaseOperator's constructor has imported it already

        XComArg.apply_upstream_relationship(self, tokens)  # Airflow does so for template fields alone

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        """Render the template fields, and mask tokens in them, since Airflow stores and shows them rendered.

        Airflow calls this for a mapped task as well, and not its :meth:`render_template_fields`. The id of a View has
        the shape of a token, as an address or a folder may, so that the work is done with the unmasked values.
        """
        from pme_airflow.operators._masking import redacted

        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self:
            self._unmasked = {name: getattr(self, name) for name in self.template_fields}
            for name, value in self._unmasked.items():
                setattr(self, name, redacted(value))

    def _given(self, name: str) -> Any:
        """Return a template field as it was given, rendered where the task is."""
        return self._unmasked.get(name, getattr(self, name))

    def execute(self, context: Any) -> dict[str, Any]:
        """Flag, and sweep where asked to; with very many links, once a person has confirmed.

        :raises AirflowFailException: if there is nothing to flag, or a part cannot be read; the rest is flagged.
        :raises AirflowException: if a revocation was not confirmed and another try may help.
        """
        from pme_airflow.operators._confirmation import TooManyLinksError, ask, read_limit
        from pme_airflow.operators._errors import airflow_errors

        with airflow_errors():
            limit = read_limit(self._given("confirm_over"))
        try:
            return self._respond(context, limit)
        except TooManyLinksError as problem:
            ask(self, context, problem, str(self.reason or "none given"), self.on_alarm)

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when a person has answered.

        :raises AirflowFailException: as :meth:`execute` does, and if the answer was no.
        """
        from pme_airflow.operators._confirmation import confirmed

        confirmed(event)
        self.log.info("%s confirmed it.", event.get("responded_by_user") or "Somebody")
        return self._respond(context, None)

    def _respond(self, context: Any, limit: int | None) -> dict[str, Any]:
        """Flag at most so many links, and sweep where asked to.

        :raises TooManyLinksError: if more match; nothing is flagged then.
        """
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.leak_response import respond
        from pme_airflow.operators._asset_events import leak_events
        from pme_airflow.operators._confirmation import at_most
        from pme_airflow.operators._errors import airflow_errors, end_task
        from pme_airflow.operators.alerts import report_response
        from pme_airflow.printable import printable

        events = leak_events(context)
        with airflow_errors():
            services = PMEHook(self._given("pme_conn_id")).services
            request = replace(self._request(context, events), on_selected=at_most(limit))
            response = respond(services, run_context_of(context), request)
            absent = self._recorded_nowhere(request, response.never_recorded)
        self.log.info("%s.", printable(response.summary))
        return end_task(
            context,
            response.as_json(),
            _failure(response, absent, events.missed.problem),
            lambda: report_response(self, context, response, self._given("max_exposure"), self.on_alarm),
        )

    def _recorded_nowhere(self, request: LeakRequest, absent: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names that no connection has a link of which the DAG answers the leak for.

        Each connection has a task of its own, which is given the same names: what one does not know may be another's.
        """
        from pme_airflow.errors import PMEError, PMEInputError
        from pme_airflow.hooks.pme import PMEHook
        from pme_airflow.lifecycle.leak_response import never_recorded

        dag = self.get_dag()
        for task in dag.tasks if dag is not None and absent else ():
            if task.task_id == self.task_id or not _is_leak_response(task):
                continue
            conn_id = getattr(task, "pme_conn_id", "{{")
            try:
                if "{{" in conn_id:
                    raise PMEInputError("its connection is not known before it runs")
                there = never_recorded(PMEHook(conn_id).services, request)
            except PMEError as error:
                self.log.warning("%s may have links of %s: %s", task.task_id, ", ".join(absent), error)
                return ()
            absent = tuple(name for name in absent if name in there)
        return absent

    def _request(self, context: Mapping[str, Any], events: LeakEvents) -> LeakRequest:
        """Read the arguments, and add the events that the run answers."""
        from pme_airflow.hooks.arguments import read_bool, read_list
        from pme_airflow.lifecycle.leak_response import LeakRequest
        from pme_airflow.operators._masking import mask_tokens

        rendered = self.render_template(self.tokens, context) if self.tokens is not None else None
        tokens = (*read_list(rendered), *events.tokens)
        mask_tokens(tokens)
        return LeakRequest(
            tokens,
            tuple(read_list(self._given("models"))),
            tuple(read_list(self._given("audiences"))),
            reports=events.reports,
            report_places=tuple(map(str, read_list(self._given("findings")))),
            unread=events.unread,
            reason=str(self._given("reason") or ""),
            sweep=self.sweep,
            within=read_bool(self._given("within"), "within"),
            deadline=_DEADLINE,
        )


def _is_leak_response(task: Any) -> bool:
    return issubclass(getattr(task, "operator_class", type(task)), PMEFlagTokensOperator)


def _failure(response: LeakResponse, absent: tuple[str, ...], missed_problem: str) -> AirflowException | None:
    """Return why the task fails.

    :param absent: models, audiences and link ids that nobody has a link of: mistyped, probably.
    :param missed_problem: why events that started no run were not read, if so; another try may read them.
    """
    from pme_airflow.airflow_compat import AirflowException, AirflowFailException

    if response.promise_kept and not response.outside and not absent and not missed_problem:
        return None
    is_final = (response.permanent or response.promise_kept) and not missed_problem
    error = AirflowFailException if is_final else AirflowException
    return error(" ".join(filter(None, [f"{response.summary}.", *response.lines()[:20], missed_problem])))
