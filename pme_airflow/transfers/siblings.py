"""Find the slots that the other transfers of a DAG want at a target, so that none of them clears another's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from pme_airflow.hooks.pme import PMEHook
from pme_airflow.lifecycle.moved_slots import has_slot

if TYPE_CHECKING:
    from pme_airflow.ledger.publications import Publication
    from pme_airflow.targets.base import Target

__all__ = ["Siblings"]

#: Arguments by which the instances of a mapped transfer share its models out; their target is the same.
_OF_MODELS = frozenset({"links", "models", "link_params"})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sibling:
    """Another transfer of the DAG.

    :param models: what its target shows; ``None`` for all that the account lists.
    """

    target: Target
    audience: str
    models: frozenset[str] | None

    def wants(self, publication: Publication) -> bool:
        if publication.target != self.target.name or publication.audience != self.audience:
            return False
        listed = self.models is None or publication.model_id in self.models
        return listed and has_slot(self.target, publication)


class Siblings:
    """The other transfers of a task's DAG. Their targets are made when the first slot is asked about.

    A mapped transfer, or one whose target cannot be made, may want any slot; so may other instances of the task, unless
    they differ in their models alone.

    :param operator: the task's operator, rendered.
    :param context: the task's context.
    :param kind: the base class of transfers.
    """

    def __init__(self, operator: Any, context: Any, kind: type[BaseOperator]) -> None:
        self._operator = operator
        self._context = context
        self._kind = kind
        self._others: list[_Sibling] | None = None
        self._unknown: list[str] = []

    def audiences(self) -> frozenset[str] | None:
        """Return the audiences that the DAG's transfers publish for; ``None`` if one of them is not known here."""
        dag = self._operator.get_dag()
        tasks = [task for task in (dag.tasks if dag is not None else ()) if task.task_id != self._operator.task_id]
        given = [task.audience for task in tasks if isinstance(task, self._kind)]
        if any(_is_mapped(task, self._kind) for task in tasks) or not all(map(_is_literal, given)):
            return None
        return frozenset({*given, self._operator.audience})

    def want(self, publication: Publication) -> bool:
        """Return whether another transfer of the DAG shows a model in a slot, or may show it there."""
        if self._others is None:
            self._others = list(self._made())
            if self._unknown:
                log.warning(
                    "Slots that models had before are left as they are, since %s may show links in them: their targets "
                    "are not known here. Clear them with `pme-airflow retire --unnamed`.",
                    ", ".join(self._unknown),
                )
        return bool(self._unknown) or any(other.wants(publication) for other in self._others)

    def instances_share_models(self) -> bool:
        """Return whether other instances of the task may have other models."""
        dag = self._operator.get_dag()
        task = dag.get_task(self._operator.task_id) if dag is not None else self._operator
        if _is_mapped(task, self._kind):
            expanded = _expanded(task)
            return expanded is None or "models" in expanded
        return self._is_mapped_instance() and bool(task.models != self._operator.models)

    def _made(self) -> Iterator[_Sibling]:
        dag = self._operator.get_dag()
        for task in dag.tasks if dag is not None else ():
            if task.task_id == self._operator.task_id:
                self._unknown += [f"other instances of {task.task_id}"] if self._instances_differ(task) else []
            elif isinstance(task, self._kind):
                yield from self._sibling_of(task)
            elif _is_mapped(task, self._kind):
                self._unknown.append(task.task_id)

    def _sibling_of(self, task: Any) -> Iterator[_Sibling]:
        try:
            rendered = task.prepare_for_execution()
            for field in set(task.template_fields) - {"links"}:
                setattr(rendered, field, task.render_template(getattr(task, field), self._context))
            hook = PMEHook(rendered.pme_conn_id)
            models = hook.shown_models(rendered.models)
            target = rendered.make_target(hook)
            yield _Sibling(target, rendered.audience, None if models is None else frozenset(models))
        except Exception as error:  # noqa: BLE001 - the provider or author of a target may raise anything
            log.debug("The target of %s cannot be made (%s).", task.task_id, type(error).__name__)
            self._unknown.append(task.task_id)

    def _is_mapped_instance(self) -> bool:
        return getattr(self._context.get("ti"), "map_index", -1) >= 0

    def _instances_differ(self, task: Any) -> bool:
        """Return whether other instances of the operator's own task may have another target.

        :param task: the task as the DAG has it, not rendered.
        """
        if _is_mapped(task, self._kind):
            expanded = _expanded(task)
            return expanded is None or not expanded <= _OF_MODELS
        if not self._is_mapped_instance():
            return False
        fields = set(task.template_fields) - _OF_MODELS
        return any(getattr(task, field) != getattr(self._operator, field) for field in fields)


def _expanded(task: Any) -> frozenset[str] | None:
    """Return the arguments by which the instances of a mapped transfer differ; ``None`` if they are not known here."""
    given = getattr(task.expand_input, "value", None)
    return frozenset(given) if isinstance(given, dict) else None


def _is_literal(value: object) -> bool:
    return isinstance(value, str) and "{{" not in value


def _is_mapped(task: Any, kind: type[BaseOperator]) -> bool:
    made = getattr(task, "operator_class", None)  # a plain operator has one too
    return not isinstance(task, BaseOperator) and isinstance(made, type) and issubclass(made, kind)
