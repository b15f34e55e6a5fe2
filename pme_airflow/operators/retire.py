"""The operator that retires links at targets that no placement names any more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator

__all__ = ["PMERetireTargetsOperator"]

#: What a template rendered that is no name of a target: a list that cannot be read, or that of a mapped transfer.
_NO_NAME = re.compile(r"\s*(?:[\[{]|Lazy\w*\()")


class PMERetireTargetsOperator(BaseOperator):
    """Retire the links that an audience is still shown at targets that its placement names no more.

    Put it downstream of the transfers of a DAG that publishes to every target of the audience. It runs if all of them
    succeeded; if one failed, nothing is retired.

    :param outcomes: the transfers' outcomes, or their XComs ``target``; mapped ones as they are. (templated)
    :param audience: whose slots. (templated)
    :param publishers: the ids of the DAGs that publish for the placement; publications of other DAGs are left alone.
        (templated)
    :param pme_conn_id: the PME connection. (templated)
    :return: the slots that were retired.
    """

    template_fields: Sequence[str] = ("outcomes", "audience", "publishers", "pme_conn_id")

    def __init__(
        self,
        *,
        outcomes: Sequence[Any],
        audience: str,
        publishers: Sequence[str],
        pme_conn_id: str = "pme_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.outcomes = outcomes
        self.audience = audience
        self.publishers = publishers
        self.pme_conn_id = pme_conn_id

    def execute(self, context: Any) -> list[dict[str, str]]:
        """Retire the links.

        :raises AirflowFailException: if the outcome of a transfer is missing.
        """
        from pme_airflow.hooks.arguments import read_list
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.retire import retire_targets
        from pme_airflow.operators._errors import airflow_errors

        with airflow_errors():
            targets = _all_targets(self.outcomes)
            services = PMEHook(self.pme_conn_id).services
            publishers = [str(dag_id) for dag_id in read_list(self.publishers)]
            gone = retire_targets(services, run_context_of(context), self.audience, targets, publishers)
        for shown in gone:
            self.log.warning("%s, %s: no placement names this target; its link is retired.", shown.target, shown.slot)
        return [{"target": shown.target, "slot": shown.slot, "link_id": shown.link_id} for shown in gone]


def _all_targets(outcomes: object) -> list[str]:
    """Return the names of the targets that were published to.

    :param outcomes: the outcomes, or one mapping, also as a template rendered them into a string.
    :raises PMEInputError: if an outcome is missing, since its target would be retired.
    """
    from pme_airflow.errors import PMEInputError
    from pme_airflow.hooks.arguments import read_literal

    read = read_literal(outcomes)
    listed = [read] if isinstance(read, Mapping) else read
    named = [*map(_target_names, listed)] if isinstance(listed, Iterable) and not isinstance(listed, str) else []
    if not named or not all(named):
        raise PMEInputError("outcomes: one is missing. Give a list of the outputs of all transfers of the audience.")
    return sorted(set().union(*named))


def _target_names(outcome: object) -> set[str]:
    """Return the targets named by a transfer's outcome, by its name alone, or by those of mapped transfers."""
    from pme_airflow.hooks.arguments import read_literal

    read = read_literal(outcome)
    if isinstance(read, Mapping):
        return {str(read["target"])} if read.get("target") else set()
    if isinstance(read, str):
        return set() if _NO_NAME.match(read) else {read}
    return set().union(*map(_target_names, read)) if isinstance(read, Iterable) else set()
