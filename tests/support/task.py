"""The context of a running task, without a live Airflow."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class FakeTaskInstance:
    """A task instance that records what is pushed.

    :ivar states: the states of upstream tasks, by the keys that ``get_task_states`` has.
    """

    run_id: str = "monday"
    dag_id: str = "dag"
    task_id: str = "publish"
    map_index: int = -1
    try_number: int = 1
    states: dict[str, str] = field(default_factory=dict)
    pushed: dict[str, Any] = field(default_factory=dict)
    requested: list[dict[str, Any]] = field(default_factory=list)

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def get_task_states(self, **arguments: Any) -> dict[str, dict[str, str]]:
        self.requested.append(arguments)
        return {self.run_id: self.states}


def task_context(ti: FakeTaskInstance | None = None, operator: Any = None) -> dict[str, Any]:
    """The parts of a task's context that the operators use."""
    events: dict[Any, Any] = defaultdict(lambda: SimpleNamespace(extra=None))
    return {"ti": ti or FakeTaskInstance(), "task": operator, "outlet_events": events}
