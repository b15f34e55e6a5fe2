"""A task instance in memory, so that operators run without an Airflow."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

from sqlalchemy import update

from pme_airflow.hooks.pme import PMEHook
from pme_airflow.ledger.tables import links

__all__ = ["FakeTask", "flagged_since", "listener"]


class _Events(defaultdict[Any, Any]):
    """The events that a task posts to its outlets."""

    def __init__(self) -> None:
        super().__init__(lambda: SimpleNamespace(added=[], extra={}, add=None))

    def __missing__(self, key: Any) -> Any:
        accessor = super().__missing__(key)
        accessor.add = lambda asset, extra: accessor.added.append((asset.uri, extra))
        return accessor


class FakeTask:
    """One task instance.

    :ivar xcoms: what was pushed, by key.
    """

    def __init__(self, task_id: str = "task", run_id: str = "manual__1", map_index: int = -1) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "dag", run_id, task_id, map_index
        self.try_number = 1
        self.xcoms: dict[str, Any] = {}
        self.outlet_events = _Events()

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def context(self, **more: Any) -> dict[str, Any]:
        """The context that Airflow would give to ``execute``."""
        return {"ti": self, "outlet_events": self.outlet_events, **more}

    def posted_to(self, outlet: Any) -> list[Any]:
        """The events that were posted to an outlet."""
        return list(self.outlet_events[outlet].added)


def listener() -> Any:
    """A listener for alarms; ``heard`` has what it was called with, a list a call."""

    def listen(context: Any) -> None:
        listen.heard.append(context["alarms"])  # type: ignore[attr-defined]

    listen.heard = []  # type: ignore[attr-defined]
    return listen


def flagged_since(length: timedelta) -> None:
    """Let every flag in the ledger be this old."""
    with PMEHook().database.engine.begin() as connection:
        moved = update(links).where(links.c.flagged_at.is_not(None))
        connection.execute(moved.values(flagged_at=datetime.now(timezone.utc) - length))
