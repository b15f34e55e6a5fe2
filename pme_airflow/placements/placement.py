"""Placements as values: what the file says, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pme_airflow.durations import Validity

__all__ = ["Placement", "TargetSpec", "task_id_part"]


@dataclass(frozen=True)
class TargetSpec:
    """One target of a placement."""

    kind: str
    options: Mapping[str, Any]
    task_id: str

    @property
    def place(self) -> str:
        """Where it shows links, so that two that would fight over the same slots are told apart."""
        named = {
            "object_storage": ("path",),
            "slack": ("slack_conn_id", "channel"),
            "wordpress": ("wordpress_conn_id", "type"),
            "http": ("http_conn_id", "endpoint"),
            "custom": ("class", "options"),
        }[self.kind]
        return f"{self.kind} " + " ".join(str(self.options.get(name, "")).rstrip("/") for name in named)


@dataclass(frozen=True)
class Placement:
    """One audience's models and targets.

    :param models: ids, or ``{"query": …}``.
    :param renew_before: a link with less than this left is due; half of ``valid_for`` unless said otherwise.
    :param keep_every: how often the keeper looks.
    :param allow_gaps: whether a set-up that must leave a gap is wanted all the same.
    """

    audience: str
    valid_for: Validity
    models: Sequence[str] | Mapping[str, str]
    targets: tuple[TargetSpec, ...]
    pme_conn_id: str
    renew_before: timedelta
    keep_every: timedelta | None
    allow_gaps: bool = field(default=False)

    @property
    def group(self) -> str:
        """Names the group of tasks that rotate it."""
        return f"rotate_{task_id_part(self.audience)}"

    @property
    def listed_models(self) -> list[str] | None:
        """The models by id; ``None`` where a query finds them."""
        return None if isinstance(self.models, Mapping) else list(self.models)


def task_id_part(audience: str) -> str:
    """An audience as part of a task's id."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", audience)
