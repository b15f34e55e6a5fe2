"""The operator that lists an account's models in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator

__all__ = ["PMEListModelsOperator"]


class PMEListModelsOperator(BaseOperator):
    """List models in batches, for mint tasks that are mapped over them.

    :param models: ids, share URLs, or ``{"query": "*"}`` for what the account lists. (templated)
    :param audience: who the links are for; slots of models that the account has stopped listing are cleared for this
        audience. (templated)
    :param pme_conn_id: the PME connection. (templated)
    :return: a list of batches of up to 5,000 models each; pass it to ``expand``.
    """

    template_fields: Sequence[str] = ("models", "audience", "pme_conn_id")
    ui_color = "#e3f1d9"

    def __init__(
        self, *, models: Any, audience: str = "default", pme_conn_id: str = "pme_default", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.models = models
        self.audience = audience
        self.pme_conn_id = pme_conn_id

    def execute(self, context: Any) -> list[Any]:
        """List the models.

        :raises AirflowFailException: if the query finds no model, or the credentials are refused.
        """
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.xcom_payload import batches_payload
        from pme_airflow.operators._errors import airflow_errors
        from pme_airflow.placements import batches

        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            listed = hook.list_models(self.models, self.audience, run_context_of(context))
            payload = batches_payload(hook.database, batches(listed))
        self.log.info("Audience %s: %d models in %d batches.", self.audience, len(listed), len(payload))
        return payload
