"""Find the slots that the other transfers of a DAG want at a target, so that none of them clears another's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.arguments import read_models
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.lifecycle.moved_slots import has_slot
from pme_airflow.transfers.mapping import expanded_arguments, instances, is_mapped
from pme_airflow.transfers.upstream import has_all_models

if TYPE_CHECKING:
    from pme_airflow.ledger.publications import Publication
    from pme_airflow.targets.base import Target

__all__ = ["Siblings"]

#: Arguments by which the instances of a mapped transfer share its models out; their target is the same.
_OF_MODELS = frozenset({"links", "models", "link_params"})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sibling:
    """Another transfer of the DAG, or another instance of the task.

    :param name: what a log calls it.
    :param target: ``None`` if it is not known here, and may be any.
    :param audience: ``None`` if it is not known here.
    :param models: what its target shows; ``None`` for all that the account lists, and if they are not known here.
    """

    name: str
    target: Target | None
    audience: str | None
    models: frozenset[str] | None

    def wants(self, publication: Publication) -> bool:
        if self.audience is not None and publication.audience != self.audience:
            return False
        if self.models is not None and publication.model_id not in self.models:
            return False
        if self.target is None:
            return True
        return publication.target == self.target.name and has_slot(self.target, publication)


class Siblings:
    """The other transfers of a task's DAG. Their targets are made when the first slot is asked about.

    A transfer whose target is not known here may want any slot of its audience and models: one whose target cannot be
    made, and one whose instances another task gives.

    :param operator: the task's operator, rendered.
    :param context: the task's context.
    :param kind: the base class of transfers.
    """

    def __init__(self, operator: Any, context: Any, kind: type[BaseOperator]) -> None:
        self._operator = operator
        self._context = context
        self._kind = kind
        self._others: list[_Sibling] | None = None
        self._warned: set[str] = set()

    def audiences(self) -> frozenset[str] | None:
        """Return the audiences that the DAG's transfers publish for; ``None`` if one of them is not known here."""
        dag = self._operator.get_dag()
        tasks = [task for task in (dag.tasks if dag is not None else ()) if task.task_id != self._operator.task_id]
        given = [task.audience for task in tasks if isinstance(task, self._kind)]
        if any(is_mapped(task, self._kind) for task in tasks) or not all(map(_is_literal, given)):
            return None
        return frozenset({*given, self._operator.audience})

    def want(self, publication: Publication) -> bool:
        """Return whether another transfer of the DAG shows a model in a slot, or may show it there."""
        if self._others is None:
            self._others = sorted(self._made(), key=lambda other: other.target is None)
        found = next((other for other in self._others if other.wants(publication)), None)
        if found is not None and found.target is None and found.name not in self._warned:
            self._warned.add(found.name)
            log.warning(
                "%s: the slot %s is left as it is, and others may be, since %s may show links in them: its target is "
                "not known here. Clear one with `pme-airflow retire --model %s --target %s`.",
                publication.target,
                publication.slot,
                found.name,
                publication.model_id,
                publication.target,
            )
        return found is not None

    def has_all_models(self) -> bool:
        """Return whether the task's ``models`` are all that its target shows, but for what its siblings show there.

        They are not where instances share the models of a target out, nor where a task that gives them failed.
        """
        task = self._own_task()
        models = task.partial_kwargs.get("models") if is_mapped(task, self._kind) else task.models
        if self._instances_share_models(task):
            problem = "the instances of this task share its models out"
        elif not has_all_models(models, task, self._context):
            problem = "a task that gives the models has not succeeded"
        else:
            return True
        log.info("Only slots of models that the account no longer lists are cleared, since %s.", problem)
        return False

    def _own_task(self) -> Any:
        """Return the task as the DAG has it, not rendered."""
        dag = self._operator.get_dag()
        return self._operator if dag is None else dag.get_task(self._operator.task_id)

    def _instances_share_models(self, task: Any) -> bool:
        """Return whether other instances of the task may have other models for the same target."""
        if not is_mapped(task, self._kind):
            return self._is_mapped_instance() and bool(task.models != self._operator.models)
        given, index = instances(task), self._map_index()
        if given is None or not 0 <= index < len(given):
            expanded = expanded_arguments(task)
            return expanded is None or "models" in expanded
        own = given[index]
        return any(
            each.get("models") != own.get("models") and _without_models(each) == _without_models(own) for each in given
        )

    def _made(self) -> Iterator[_Sibling]:
        dag = self._operator.get_dag()
        for task in dag.tasks if dag is not None else ():
            if task.task_id == self._operator.task_id:
                if self._instances_differ(task):
                    yield from self._instances_of(task, f"other instances of {task.task_id}")
            elif isinstance(task, self._kind):
                yield self._sibling_of(task, task)
            elif is_mapped(task, self._kind):
                yield from self._instances_of(task, task.task_id)

    def _instances_of(self, task: Any, name: str) -> Iterator[_Sibling]:
        given = instances(task) if is_mapped(task, self._kind) else None
        if given is None:
            yield _unknown(name, task)
        for arguments in given or ():
            try:
                instance = task.unmap(arguments)
            except Exception as error:  # noqa: BLE001 - a transfer's author may raise anything
                log.debug("An instance of %s cannot be made (%s).", task.task_id, type(error).__name__)
                yield _unknown(name, task)
            else:
                yield self._sibling_of(instance, task, name)

    def _sibling_of(self, transfer: Any, task: Any, name: str = "") -> _Sibling:
        """Return a transfer as a sibling.

        :param transfer: the transfer, not rendered.
        :param task: its task, whose upstream tasks count.
        """
        try:
            rendered = transfer.prepare_for_execution()
            for field in set(transfer.template_fields) - {"links"}:
                setattr(rendered, field, transfer.render_template(getattr(transfer, field), self._context))
            hook = PMEHook(rendered.pme_conn_id)
            models = hook.shown_models(rendered.models)
            if models is not None and not has_all_models(transfer.models, task, self._context):
                models = None
            target = rendered.make_target(hook)
            return _Sibling(task.task_id, target, rendered.audience, None if models is None else frozenset(models))
        except Exception as error:  # noqa: BLE001 - the provider or author of a target may raise anything
            log.debug("The target of %s cannot be made (%s).", task.task_id, type(error).__name__)
            return _unknown(name or task.task_id, transfer)

    def _map_index(self) -> int:
        index = getattr(self._context.get("ti"), "map_index", -1)
        return -1 if index is None else int(index)

    def _is_mapped_instance(self) -> bool:
        return self._map_index() >= 0

    def _instances_differ(self, task: Any) -> bool:
        """Return whether other instances of the operator's own task may have another target.

        :param task: the task as the DAG has it, not rendered.
        """
        if is_mapped(task, self._kind):
            expanded = expanded_arguments(task)
            return expanded is None or not expanded <= _OF_MODELS
        if not self._is_mapped_instance():
            return False
        fields = set(task.template_fields) - _OF_MODELS
        return any(getattr(task, field) != getattr(self._operator, field) for field in fields)


def _unknown(name: str, task: Any) -> _Sibling:
    """Return a transfer whose target is not known here, with what its task says of its audience and models.

    :param task: the task, not rendered.
    """
    audience = models = None
    if isinstance(task, BaseOperator):
        audience, models = task.audience, task.models
    elif (expanded := expanded_arguments(task)) is not None:
        audience, models = (
            task.partial_kwargs.get(key) if key not in expanded else None for key in ("audience", "models")
        )
    return _Sibling(name, None, audience if _is_literal(audience) else None, _literal_models(models))


def _literal_models(models: object) -> frozenset[str] | None:
    if not isinstance(models, list | tuple) or not all(map(_is_literal, models)):
        return None
    try:
        read = read_models(models)
    except PMEInputError:
        return None
    return frozenset(read) if isinstance(read, list) else None


def _without_models(arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in _OF_MODELS}


def _is_literal(value: object) -> bool:
    return isinstance(value, str) and "{{" not in value
