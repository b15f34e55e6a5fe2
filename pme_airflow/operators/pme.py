"""Operators that mint, flag and sweep links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.operators.scan import PMEScanOperator

if TYPE_CHECKING:
    from pme_airflow.lifecycle.mint import MintResult
    from pme_airflow.operators.alerts import OnAlarm

__all__ = [
    "PMEFlagTokensOperator",
    "PMEListModelsOperator",
    "PMEMintLinksOperator",
    "PMEModelLink",
    "PMERetireTargetsOperator",
    "PMERevocationSweepOperator",
    "PMEScanOperator",
]

_DEFAULT_CONN_ID = "pme_default"


class PMEModelLink(BaseOperatorLink):
    """Leads from a mint to its model's page, or to the organisation's models where there are several."""

    name = "Matterport model"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The address; it holds no token."""
        return str(getattr(operator, "model_page", "") or "https://my.matterport.com/models/")


class PMEMintLinksOperator(BaseOperator):
    """Make sure that every model has a link for an audience, and hand them on sealed.

    A retry or a cleared rerun finds the links its earlier try minted. One bad model does not stop the others: their
    items are in XCom, and the task ends failed and names the bad one.

    :param models: ids, share URLs, ``{"query": "*"}`` for what the account lists, or a part that
        :class:`PMEListModelsOperator` returned. (templated)
    :param valid_for: how long a new link is asked to live, at most 24 h: ``24h``, ``PT10M``, a timedelta. (templated)
    :param audience: who the links are for. (templated)
    :param renew_before: a link with at least this left is handed on; without it, all are renewed. (templated)
    :param pme_conn_id: the PME connection.
    :return: a list of XCom items, sealed; of more than a thousand links, a reference to them in the ledger, which the
        transfers and ``PMEHook.items`` take as well.
    """

    template_fields: Sequence[str] = ("models", "valid_for", "audience", "renew_before", "pme_conn_id")
    operator_extra_links = (PMEModelLink(),)
    ui_color = "#e3f1d9"

    def __init__(
        self,
        *,
        models: Any,
        valid_for: str | timedelta = "24h",
        audience: str = "default",
        renew_before: str | timedelta | None = None,
        pme_conn_id: str = _DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.models = models
        self.valid_for = valid_for
        self.audience = audience
        self.renew_before = renew_before
        self.pme_conn_id = pme_conn_id
        self.model_page = ""

    def execute(self, context: Any) -> list[dict[str, Any]] | dict[str, Any]:
        """Mint what is missing.

        :raises AirflowFailException: where the input or the credentials are wrong, or a model is refused for good.
        :raises AirflowException: where a model has no link yet and another try may help.
        """
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.operators._errors import airflow_errors, push_result
        from pme_airflow.operators.alerts import count

        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            outcome = hook.mint(
                self.models, self.valid_for, self.audience, self.renew_before, run_context=run_context_of(context)
            )
            self.model_page = _model_page(hook.settings.host, outcome)
        self.log.info(
            "Audience %s: %d minted, %d handed on, %d answers lost, %d models failed.",
            self.audience,
            outcome.minted,
            outcome.reused,
            outcome.lost,
            len(outcome.failures),
        )
        count("minted", outcome.minted)
        count("lost_answers", outcome.lost)
        count("mint_failures", len(outcome.failures))
        if outcome.failures:
            if outcome.links:
                push_result(context, outcome.handover)
            raise _failure(outcome)
        return outcome.handover


def _failure(outcome: MintResult) -> AirflowException:
    said = "; ".join(f"{failure.model_id}: {failure.reason}" for failure in outcome.failures[:20])
    more = f"; and {len(outcome.failures) - 20} more" if len(outcome.failures) > 20 else ""
    kind = AirflowFailException if all(failure.permanent for failure in outcome.failures) else AirflowException
    return kind(f"{len(outcome.failures)} of {len(outcome.failures) + outcome.links} models have no link: {said}{more}")


def _model_page(host: str, outcome: MintResult) -> str:
    page = host.replace("//api.", "//my.") + "/models/"
    models = [item["model_id"] for item in outcome.items]
    return page + (models[0] if len(models) == 1 else "")


class PMEListModelsOperator(BaseOperator):
    """List an account's models in parts, for mints and transfers that are mapped over them.

    :param models: ids, share URLs, or ``{"query": "*"}`` for what the account lists. (templated)
    :param audience: who the links are for: what the account lists no more is cleared there. (templated)
    :param pme_conn_id: the PME connection.
    :return: a list of parts, sized so that each is some work and none is long; hand it to ``expand``.
    """

    template_fields: Sequence[str] = ("models", "audience", "pme_conn_id")
    ui_color = "#e3f1d9"

    def __init__(
        self, *, models: Any, audience: str = "default", pme_conn_id: str = _DEFAULT_CONN_ID, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.models = models
        self.audience = audience
        self.pme_conn_id = pme_conn_id

    def execute(self, context: Any) -> list[Any]:
        """List.

        :raises AirflowFailException: where the query finds no model, or the credentials are refused.
        """
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.xcom_payload import batches_payload
        from pme_airflow.operators._errors import airflow_errors
        from pme_airflow.placements import batches

        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            listed = hook.list_models(self.models, self.audience, run_context_of(context))
            parts = batches_payload(hook.database, batches(listed))
        self.log.info("Audience %s: %d models in %d parts.", self.audience, len(listed), len(parts))
        return parts


class PMEFlagTokensOperator(BaseOperator):
    """Flag what leaked, so that the next sweep revokes it.

    Airflow keeps a run's conf and rendered fields in clear: hand in fingerprints (``pme-airflow fingerprint``) rather
    than raw tokens where you can. Raw ones are fingerprinted before anything else, and never stored here.

    :param tokens: raw tokens, whole links in any disguise, or fingerprints.
    :param models: flag every link of these models.
    :param audiences: flag every link of these audiences.
    :param findings: the path or URL of a scanner's report. (templated)
    :param reason: why; kept in the ledger. (templated)
    :param sweep: whether to revoke at once, in this task.
    :param max_exposure: raise an alarm for a leak that lived longer than this after its flag: ``5m``. (templated)
    :param on_alarm: called with the context and ``alarms``, a list of sentences: a notifier, a function, or several.
    :param pme_conn_id: the PME connection.
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
        pme_conn_id: str = _DEFAULT_CONN_ID,
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

        :raises AirflowFailException: where there is nothing to flag, or a part of what was given cannot be read; what
            could be read is flagged all the same.
        """
        from pme_airflow.operators._errors import airflow_errors
        from pme_airflow.operators._leak_response import respond

        with airflow_errors():
            return respond(self, context)


class PMERevocationSweepOperator(BaseOperator):
    """Revoke what is due: leaks first, then what no slot shows any more; close what has ended.

    :param max_attempts: after so many answers that are not ``true`` a link is irrevocable: alarmed once by failing the
        task, listed, and tried slowly until it ends.
    :param verify: whether each revoked link is itself asked (401 expected), and the answer recorded.
    :param max_exposure: raise an alarm for a leak that lived longer than this after its flag: ``5m``. (templated)
    :param on_alarm: called with the context and ``alarms``, a list of sentences: a notifier, a function, or several.
    :param pme_conn_id: the PME connection.
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
        pme_conn_id: str = _DEFAULT_CONN_ID,
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

        :raises AirflowFailException: where a link became irrevocable, or the credentials are refused.
        """
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.sweep import summary
        from pme_airflow.operators._errors import airflow_errors, push_result
        from pme_airflow.operators.alerts import tell

        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            outcome = hook.sweep(int(self.max_attempts), verify=self.verify, run_context=run_context_of(context))
        result = summary(outcome)
        self.log.info(
            "%d revoked, %d expired, %d irrevocable, %d still due.",
            len(outcome.revoked),
            outcome.expired,
            len(outcome.given_up),
            outcome.pending,
        )
        with airflow_errors():
            tell(self, context, outcome)
        if outcome.given_up or outcome.unopened:
            push_result(context, result)
            named = ", ".join(f"{row.link_id} of model {row.model_id}" for row in outcome.given_up[:20])
            unopened = ", ".join(row.link_id for row in outcome.unopened[:20])
            raise AirflowFailException(
                f"Irrevocable now: {named or 'none'}. Not opened by the connection's keys: {unopened or 'none'}."
            )
        return result


class PMERetireTargetsOperator(BaseOperator):
    """Retire what an audience is still shown at targets that its placement names no more.

    Put it behind the transfers of a DAG that publishes to every target of the audience. It runs where all of them
    succeeded; where one failed nothing is retired.

    :param outcomes: the transfers' outcomes, or their XComs ``target``; mapped ones as they are. (templated)
    :param audience: whose slots. (templated)
    :param publishers: the ids of the DAGs that publish for the placement; other DAGs' publications are left alone.
    :param pme_conn_id: the PME connection.
    :return: the slots that were retired.
    """

    template_fields: Sequence[str] = ("outcomes", "audience", "publishers", "pme_conn_id")

    def __init__(
        self,
        *,
        outcomes: Sequence[Any],
        audience: str,
        publishers: Sequence[str],
        pme_conn_id: str = _DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.outcomes = outcomes
        self.audience = audience
        self.publishers = publishers
        self.pme_conn_id = pme_conn_id

    def execute(self, context: Any) -> list[dict[str, str]]:
        """Retire."""
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.publish import retire_targets
        from pme_airflow.operators._errors import airflow_errors

        named = [_target_names(outcome) for outcome in self.outcomes]
        if not named or not all(named):
            raise AirflowFailException("outcomes: one is missing. Give the output of every transfer of the audience.")
        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            run_context = run_context_of(context)
            gone = retire_targets(
                hook.services, run_context, self.audience, sorted(set().union(*named)), list(self.publishers)
            )
        for shown in gone:
            self.log.warning("%s, %s: in no placement any more; its link is retired.", shown.target, shown.slot)
        return [{"target": shown.target, "slot": shown.slot, "link_id": shown.link_id} for shown in gone]


def _target_names(outcome: Any) -> set[str]:
    """The targets named by a transfer's outcome, by its name alone, or by those of mapped transfers."""
    if isinstance(outcome, Mapping):
        return {str(outcome["target"])}
    if isinstance(outcome, str):
        return {outcome}
    return set().union(*map(_target_names, outcome or ()))
