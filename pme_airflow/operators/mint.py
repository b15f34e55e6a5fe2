"""The operator that mints links."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink

if TYPE_CHECKING:
    from pme_airflow.airflow_compat import AirflowException
    from pme_airflow.lifecycle.mint import MintResult

__all__ = ["PMEMintLinksOperator", "PMEModelLink"]

#: How many failed models the task's error names; its log names all of them.
_MOST_NAMED = 20


class PMEModelLink(BaseOperatorLink):
    """Links a mint task to its model's page, or to the organisation's list of models if it has several."""

    name = "Matterport model"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address; it contains no token."""
        return str(getattr(operator, "model_page", "") or "https://my.matterport.com/models/")


class PMEMintLinksOperator(BaseOperator):
    """Mint a link for every model of an audience that needs one, and return all of them sealed.

    A retry or a cleared task reuses the links that its earlier try minted. One bad model does not stop the others:
    their items are in XCom, and the task fails and names the bad one.

    :param models: ids, share URLs, ``{"query": "*"}`` for what the account lists, or a batch that
        :class:`~pme_airflow.operators.list_models.PMEListModelsOperator` returned. (templated)
    :param valid_for: the validity that new links are requested with, at most 24 h: ``24h``, ``PT10M``, a timedelta.
        (templated)
    :param audience: who the links are for. (templated)
    :param renew_before: a link with at least this left is reused; without it, all are renewed. (templated)
    :param pme_conn_id: the PME connection. (templated)
    :param check_alive: whether the API is asked about a sample of the live links, one at least and 1 % of the day's
        mints at the most, each link once in its life, and about all of them where one is dead. Those that are dead are
        replaced now. The keeper does that.
    :param models_per_token: how many models may share a token, up to 100; 1 for a link for each. Sharing takes fewer
        requests, and revoking one token darkens all of its models until they are healed. Where the API makes no such
        tokens, each model gets a link. (templated)
    :return: a list of XCom items, sealed; for more than a thousand links, a reference to them in the ledger, which the
        transfers and ``PMEHook.items`` take as well.
    """

    template_fields: Sequence[str] = (
        "models", "valid_for", "audience", "renew_before", "pme_conn_id", "models_per_token",
    )  # fmt: skip
    operator_extra_links = (PMEModelLink(),)
    ui_color = "#e3f1d9"

    def __init__(
        self,
        *,
        models: Any,
        valid_for: str | timedelta = "24h",
        audience: str = "default",
        renew_before: str | timedelta | None = None,
        pme_conn_id: str = "pme_default",
        check_alive: bool = False,
        models_per_token: int | str = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.models = models
        self.valid_for = valid_for
        self.audience = audience
        self.renew_before = renew_before
        self.pme_conn_id = pme_conn_id
        self.check_alive = check_alive
        self.models_per_token = models_per_token
        self.model_page = ""

    def execute(self, context: Any) -> list[dict[str, Any]] | dict[str, Any]:
        """Mint what is missing.

        :raises AirflowFailException: if the input or the credentials are wrong, or a model is refused for good.
        :raises AirflowException: if a model has no link yet and another try may help.
        """
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.operators._errors import airflow_errors, push_result

        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            outcome = hook.mint(
                self.models,
                self.valid_for,
                self.audience,
                self.renew_before,
                run_context=run_context_of(context),
                check_alive=self.check_alive,
                models_per_token=self.models_per_token,
            )
            self.model_page = _model_page(hook.settings.host, outcome)
        self._report(outcome)
        if outcome.failures:
            if outcome.links:
                push_result(context, outcome.xcom_payload)
            raise _failure(outcome)
        return outcome.xcom_payload

    def _report(self, outcome: MintResult) -> None:
        from pme_airflow.operators.alerts import count

        self.log.info(
            "Audience %s: %d links minted, %d reused, %d answers lost, %d models failed.",
            self.audience,
            outcome.minted,
            outcome.reused,
            outcome.lost,
            len(outcome.failures),
        )
        if outcome.shared_tokens:
            self.log.info("Audience %s: the links minted share %d tokens.", self.audience, outcome.shared_tokens)
        if outcome.dead:
            self.log.error("Audience %s: %d links were dead at the API and are replaced.", self.audience, outcome.dead)
        count("dead_links", outcome.dead)
        count("minted", outcome.minted)
        count("lost_answers", outcome.lost)
        count("mint_failures", len(outcome.failures))


def _failure(outcome: MintResult) -> AirflowException:
    from pme_airflow.airflow_compat import AirflowException, AirflowFailException

    named = "; ".join(f"{failure.model_id}: {failure.reason}" for failure in outcome.failures[:_MOST_NAMED])
    unnamed = len(outcome.failures) - _MOST_NAMED
    more = f"; and {unnamed} more" if unnamed > 0 else ""
    error = AirflowFailException if all(failure.permanent for failure in outcome.failures) else AirflowException
    total = len(outcome.failures) + outcome.links
    return error(f"{len(outcome.failures)} of {total} models have no link: {named}{more}")


def _model_page(host: str, outcome: MintResult) -> str:
    page = host.replace("//api.", "//my.") + "/models/"
    models = [item["model_id"] for item in outcome.items]
    return page + (models[0] if len(models) == 1 else "")
