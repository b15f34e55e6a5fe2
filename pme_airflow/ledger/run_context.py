"""Who writes to the ledger: one attempt of an Airflow task, or a command that a person runs."""

from __future__ import annotations

import getpass
import hashlib
import json
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from pme_airflow.ledger.processes import this_process

__all__ = ["RunContext", "TaskInstanceKey"]


@dataclass(frozen=True)
class TaskInstanceKey:
    """An Airflow task instance, by the four ids that name it.

    :param map_index: which of a mapped task's instances it is; -1 where the task is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True)
class RunContext:
    """One attempt of one piece of work.

    :param run: names the work for the audit, the same for every attempt of it. Nothing is read out of it again.
    :param task: the task instance, where it is one.
    :param uid: names this attempt alone; what it claims is claimed under it.
    :param process: names the process, so that others on its machine can find out that it is gone.
    """

    run: str
    task: TaskInstanceKey | None = None
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: str = field(default_factory=this_process)

    @classmethod
    def of_task(cls, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> RunContext:
        """Return the run context of an attempt of an Airflow task instance."""
        return cls(f"{dag_id}/{run_id}/{task_id}/{map_index}", TaskInstanceKey(dag_id, run_id, task_id, map_index))

    @classmethod
    def of_command(cls, command: str) -> RunContext:
        """Return the run context of a command; each time it is run is a run of its own."""
        user = "unknown"
        with suppress(OSError, KeyError):
            user = getpass.getuser()
        uid = uuid.uuid4().hex
        return cls(f"cli/{user}@{socket.gethostname()}/{command}/{uid[:8]}", uid=uid)

    @cached_property
    def task_key(self) -> str:
        """The same for every attempt of a DAG run's task, and for all instances of a mapped one; 64 characters."""
        task = self.task
        return _digest(self.run) if task is None else _digest(task.dag_id, task.run_id, task.task_id)

    @property
    def publisher(self) -> str | None:
        """The DAG whose publications are this one's own; ``None`` for a command, whose user decides for all DAGs."""
        return None if self.task is None else self.task.dag_id

    @property
    def lister(self) -> str | None:
        """The same for every run of a task, which lists what its query finds; ``None`` for a command."""
        task = self.task
        return None if task is None else _digest(task.dag_id, task.task_id, str(task.map_index))

    def is_same_task(self, task_key: str | None) -> bool:
        """Return whether a :attr:`task_key` is this one's: the same DAG run and task, whichever its map index."""
        return task_key == self.task_key


def _digest(*fields: str) -> str:
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()
