"""What every transfer shares: reading items, publishing them, and how a task ends."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.lifecycle.publish import PublishOutcome
    from pme_airflow.targets.base import Target

__all__ = ["PMETransferOperator"]


class PMETransferOperator(BaseOperator):
    """Base of the transfers. Give it :meth:`make_target` to write your own.

    It runs when its upstream tasks are done, whether or not they succeeded, so that the links a mint did get are shown
    although a model failed; the task then ends failed too, after publishing, so that the run does.

    :param links: what ``PMEMintLinksOperator`` returns: items, or a reference to many; lists of them, as mapped tasks
        give, are flattened.
    :param models: the ids of all models this target is to show. Slots of other models of the items' audience are
        cleared and their links retired; without it nothing is cleared.
    :param audience: the audience that ``models`` speaks of.
    :param pme_conn_id: the PME connection.
    """

    template_fields: Sequence[str] = ("links", "models", "audience", "pme_conn_id")
    ui_color = "#dbe9f6"

    def __init__(
        self,
        *,
        links: Any,
        models: Sequence[str] | None = None,
        audience: str = "default",
        pme_conn_id: str = "pme_default",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("trigger_rule", "all_done")
        super().__init__(**kwargs)
        self.links = links
        self.models = models
        self.audience = audience
        self.pme_conn_id = pme_conn_id

    @abstractmethod
    def make_target(self, hook: PMEHook) -> Target:
        """The target to publish to."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Publish every item.

        :return: the outcome as JSON, without links.
        :raises AirflowFailException: where a slot failed for good, or an upstream task had.
        :raises AirflowException: where a slot failed and another try may help.
        """
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.publish import Publisher
        from pme_airflow.operators._errors import airflow_errors

        failed_upstream = _failed_upstream(self, context)
        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            publisher = Publisher(hook.services, run_context_of(context), self.make_target(hook), hook.open_link)
            outcome = publisher.publish(hook.items(self.links), finish=_is_retry(context))
            if not outcome.links and failed_upstream:
                raise AirflowFailException(f"There is no link to publish, since {failed_upstream} failed. See its log.")
            if self.models is not None:
                outcome = publisher.retire_others(self.audience, list(self.models))
            else:
                outcome = publisher.retire_delisted(self.audience)
        self._end(outcome, failed_upstream, context)
        return outcome.as_json()

    def _end(self, outcome: PublishOutcome, failed_upstream: str, context: Any) -> None:
        self.log.info(
            "%s: %d published, %d unchanged, %d removed, %d failed.",
            outcome.target,
            outcome.published.total,
            outcome.unchanged.total,
            outcome.removed.total,
            outcome.failed.total,
        )
        from pme_airflow.operators._errors import push_result
        from pme_airflow.operators.alerts import count

        count("published", outcome.published.total)
        count("publish_failures", outcome.failed.total)
        _tell_assets(context, outcome)
        push_result(context, outcome.target, key="target")
        if outcome.failed:
            push_result(context, outcome.as_json())
            said = "; ".join(f"{f['slot']} (model {f['model_id']}): {f['reason']}" for f in outcome.failed[:20])
            more = f"; and {outcome.failed.total - 20} more" if outcome.failed.total > 20 else ""
            error = AirflowFailException if outcome.permanent else AirflowException
            raise error(f"{outcome.target}: {outcome.failed.total} slots were not published: {said}{more}")
        if failed_upstream:
            push_result(context, outcome.as_json())
            raise AirflowFailException(
                f"{outcome.target}: all {outcome.links} links at hand are shown, but {failed_upstream} failed, so the "
                "run is not whole. Its log names what is missing."
            )


def _failed_upstream(operator: BaseOperator, context: Any) -> str:
    """The direct upstream tasks that failed in this run, in words; empty where none did.

    Of upstream tasks that are mapped as this one is, only the one with its own index counts.
    """
    ti = context.get("ti")
    upstream = sorted(operator.upstream_task_ids)
    if ti is None or not upstream or not hasattr(ti, "get_task_states"):
        return ""
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=upstream, run_ids=[ti.run_id]).get(ti.run_id, {})
    failed: set[str] = set()
    for key, state in states.items():
        task, _, index = key.rpartition("_map_")
        if state in ("failed", "upstream_failed") and (not task or ti.map_index < 0 or index == str(ti.map_index)):
            failed.add(task or key)
    return ", ".join(sorted(failed))


def _is_retry(context: Any) -> bool:
    return int(getattr(context.get("ti"), "try_number", 1) or 1) > 1


def _tell_assets(context: Any, outcome: PublishOutcome) -> None:
    """Say in the events of the task's assets how much was published."""
    events = context.get("outlet_events")
    task = context.get("task")
    if events is None or task is None:
        return
    for asset in getattr(task, "outlets", None) or ():
        if getattr(asset, "uri", "").startswith("pme://"):
            events[asset].extra = {"published": outcome.published.total, "links": outcome.links}
