"""The base class of transfers: reads items, publishes them, and decides how the task ends."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from pme_airflow.airflow_compat import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.lifecycle.publish import PublishResult
    from pme_airflow.targets.base import Target

__all__ = ["PMETransferOperator"]

#: How many failed slots an error message names.
_NAMED_SLOTS = 20


class PMETransferOperator(BaseOperator):
    """Base class of the transfers. Override :meth:`make_target` to write one.

    It runs when its upstream tasks have ended, whether or not they succeeded, so that the links that were minted are
    published although one model failed. In that case the task fails after publishing, and the run with it.

    :param links: what ``PMEMintLinksOperator`` returns: items, or a reference to many; lists of them, as mapped tasks
        return, are flattened.
    :param models: all models that this target shows, in any form that ``PMEMintLinksOperator`` takes. Slots of other
        models of ``audience`` are cleared and their links retired, but for slots that another transfer of the DAG
        shows; without it, with a query, where instances of a mapped transfer share the models out, or where a task
        that gives the models has not succeeded, only slots of models that the account no longer lists are cleared.
        (templated)
    :param audience: the audience of ``models``. (templated)
    :param pme_conn_id: the PME connection. (templated)
    :param publishers: the ids of further DAGs that publish for the same placement: what they show is cleared like what
        this DAG shows.
    :param link_params: Showcase parameters that are appended to the links, as ``params`` of a placement has them:
        ``play=1&qs=1``, or a mapping with those of single models in it. (templated)
    :param allow_clearing: whether more than half of the slots may be cleared at once; else nothing is, and the task
        fails.
    """

    template_fields: Sequence[str] = ("links", "models", "audience", "pme_conn_id", "link_params")
    ui_color = "#dbe9f6"

    def __init__(
        self,
        *,
        links: Any,
        models: Sequence[str] | None = None,
        audience: str = "default",
        pme_conn_id: str = "pme_default",
        publishers: Sequence[str] = (),
        allow_clearing: bool = False,
        link_params: str | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("trigger_rule", "all_done")
        super().__init__(**kwargs)
        self.links = links
        self.models = models
        self.audience = audience
        self.pme_conn_id = pme_conn_id
        self.publishers = publishers
        self.allow_clearing = allow_clearing
        self.link_params = link_params

    @abstractmethod
    def make_target(self, hook: PMEHook) -> Target:
        """Return the target to publish to."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Publish every item.

        :return: the outcome as JSON, without links.
        :raises AirflowFailException: if every failed slot failed permanently, or an upstream task failed.
        :raises AirflowException: if a slot failed and another try may help.
        """
        from pme_airflow.embed_params import EmbedParams
        from pme_airflow.hooks.arguments import read_literal
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.lifecycle.former_names import move_former_publications
        from pme_airflow.lifecycle.publish import Publisher
        from pme_airflow.operators._errors import airflow_errors
        from pme_airflow.transfers.siblings import Siblings
        from pme_airflow.transfers.upstream import failed_upstream

        failed = failed_upstream(self, context)
        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            models = hook.shown_models(self.models)
            run_context, target = run_context_of(context), self.make_target(hook)
            move_former_publications(hook.services, run_context, target)
            siblings = Siblings(self, context, PMETransferOperator)
            publisher = Publisher(
                hook.services,
                run_context,
                target,
                hook.open_link,
                publishers=self.publishers,
                audiences=siblings.audiences(),
                allow_clearing=self.allow_clearing,
                params=EmbedParams.parse(read_literal(self.link_params), "link_params"),
            )
            outcome = publisher.publish(hook.items(self.links), finish=_is_retry(context))
            if not outcome.links and failed:
                raise AirflowFailException(f"There is no link to publish: {failed} failed. See its log.")
            publisher.retire_moved(siblings.want)
            if models is not None and siblings.has_all_models():
                outcome = publisher.retire_others(self.audience, models, siblings.want)
            else:
                outcome = publisher.retire_delisted(self.audience)
        self._end(outcome, failed, context)
        return outcome.as_json()

    def _end(self, outcome: PublishResult, failed_upstream: str, context: Any) -> None:
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
        from pme_airflow.operators.watch import emit_target_gauges

        count("published", outcome.published.total)
        count("publish_failures", outcome.failed.total)
        if getattr(context.get("ti"), "map_index", -1) < 0:  # else a nightly run would read all slots for each part
            emit_target_gauges(self, self.pme_conn_id, outcome.target)
        _describe_asset_events(context, outcome)
        push_result(context, outcome.target, key="target")
        if outcome.failed:
            push_result(context, outcome.as_json())
            error = AirflowFailException if outcome.permanent else AirflowException
            raise error(_failures(outcome))
        if failed_upstream:
            push_result(context, outcome.as_json())
            raise AirflowFailException(
                f"{outcome.target}: all {outcome.links} links that were minted are shown, but {failed_upstream} "
                "failed. Its log names the models without a link."
            )


def _failures(outcome: PublishResult) -> str:
    """Return an error message that names the first 20 slots that failed."""
    shown = outcome.failed[:_NAMED_SLOTS]
    named = "; ".join(f"{slot['slot']} (model {slot['model_id']}): {slot['reason']}" for slot in shown)
    unnamed = outcome.failed.total - len(shown)
    more = f"; and {unnamed} more" if unnamed else ""
    return f"{outcome.target}: {outcome.failed.total} slots were not published: {named}{more}"


def _is_retry(context: Any) -> bool:
    return int(getattr(context.get("ti"), "try_number", 1) or 1) > 1


def _describe_asset_events(context: Any, outcome: PublishResult) -> None:
    """Add the number of published slots and links to the events of the task's assets."""
    events = context.get("outlet_events")
    task = context.get("task")
    if events is None or task is None:
        return
    for asset in getattr(task, "outlets", None) or ():
        if getattr(asset, "uri", "").startswith("pme://"):
            events[asset].extra = {"published": outcome.published.total, "links": outcome.links}
