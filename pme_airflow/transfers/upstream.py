"""What a transfer's upstream tasks leave it: which of them failed, and whether its models are all there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from airflow.sdk.definitions.xcom_arg import XComArg

__all__ = ["failed_upstream", "has_all_models"]

_FAILED = ("failed", "upstream_failed")
#: ``removed`` is an instance of an earlier mapping: this run has none of its index.
_DONE = ("success", "removed")


def failed_upstream(operator: Any, context: Any) -> str:
    """Return the names of the direct upstream tasks that failed in this run; empty if none did.

    If this task is mapped, only the instance with the same map index counts of a mapped upstream task.
    """
    upstream, index = sorted(operator.upstream_task_ids), getattr(context.get("ti"), "map_index", -1)
    states = _states(context, upstream)
    concerned = (_concerned(key, upstream, index) for key, state in states.items() if state in _FAILED)
    return ", ".join(sorted(set(filter(None, concerned))))


def has_all_models(models: object, task: Any, context: Any) -> bool:
    """Return whether the tasks that a transfer's ``models`` come from have all succeeded in this run.

    Else the list may be shorter than it should be: of a mapped task there is what its instances have pushed.

    :param models: the argument as the DAG has it, not rendered.
    :param task: the transfer's task.
    """
    sources = {operator.task_id for operator, _ in XComArg.iter_xcom_references(models)}
    if any("xcom" in text for text in _texts(models)):  # a template does not say which task it reads
        sources |= task.upstream_task_ids
    states = _states(context, sorted(sources))
    for source in sources:
        found = [state for key, state in states.items() if _concerned(key, [source], -1) == source]
        if not found or not all(state in _DONE for state in found):
            return False
    return True


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _states(context: Any, task_ids: Collection[str]) -> Mapping[str, Any]:
    """Return the states of tasks in this run by the keys that Airflow gives them; none outside of a run."""
    ti = context.get("ti")
    if ti is None or not task_ids or not hasattr(ti, "get_task_states"):
        return {}
    found = ti.get_task_states(dag_id=ti.dag_id, task_ids=list(task_ids), run_ids=[ti.run_id])
    return dict(found.get(ti.run_id, {}))


def _concerned(key: str, upstream: Collection[str], map_index: int) -> str:
    """Return the upstream task that a key of ``get_task_states`` stands for; empty if it does not concern this task.

    A mapped task's key is ``<task_id>_<map_index>`` in Airflow 3.3. A key of any other form concerns every task, so
    that no failure is overlooked.
    """
    if key in upstream:
        return key
    for task_id in upstream:
        index = key.removeprefix(f"{task_id}_").removeprefix("map_")
        if key.startswith(f"{task_id}_") and index.isdecimal():
            return task_id if map_index < 0 or index == str(map_index) else ""
    return key
