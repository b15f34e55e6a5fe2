"""What a DAG says of a mapped transfer before Airflow has expanded it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.xcom_arg import XComArg

__all__ = ["expanded_arguments", "instances", "is_mapped"]


def is_mapped(task: Any, kind: type[BaseOperator]) -> bool:
    """Return whether a task of a DAG is a mapped operator of a class."""
    made = getattr(task, "operator_class", None)  # a plain operator has one too
    return not isinstance(task, BaseOperator) and isinstance(made, type) and issubclass(made, kind)


def expanded_arguments(task: Any) -> frozenset[str] | None:
    """Return the arguments by which the instances of a mapped operator differ; ``None`` if another task gives them."""
    given = getattr(task.expand_input, "value", None)
    if isinstance(given, dict):
        return frozenset(given)
    own = instances(task)
    return None if own is None else frozenset(name for arguments in own for name in arguments)


def instances(task: Any) -> Sequence[Mapping[str, Any]] | None:
    """Return the arguments of each instance by its map index; ``None`` if another task gives some of them."""
    given = getattr(task.expand_input, "value", None)
    made: Sequence[Any] = ()
    if isinstance(given, dict) and all(isinstance(values, list | tuple) for values in given.values()):
        made = [dict(zip(given, values, strict=True)) for values in product(*given.values())]
    elif isinstance(given, list | tuple):
        made = given
    is_known = made and all(isinstance(each, Mapping) for each in made)
    return made if is_known and not any(True for _ in XComArg.iter_xcom_references(list(made))) else None
