"""The trigger that watches a folder or bucket for scanners' reports and starts the leak response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import ObjectStoragePath
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

__all__ = ["PMEReportTrigger"]

_HANDLED = "handled"
_UNREADABLE = "unreadable"


class PMEReportTrigger(BaseEventTrigger):
    """Fires once for each report under a path, and moves it to ``handled/`` or ``unreadable/`` there.

    For an ``AssetWatcher`` on ``Asset("pme://leaks")``. The event carries fingerprints, never a token. A file is read
    once its size is the same in two successive listings, so that no half-written file is read.

    :param path: any ``ObjectStoragePath``: a folder or bucket that the triggerer can read and write.
    :param poll_interval: seconds between two listings.
    """

    def __init__(self, path: str, poll_interval: float = 5.0) -> None:
        super().__init__()
        self.path = path
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, from which Airflow creates the trigger again."""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name, {"path": self.path, "poll_interval": self.poll_interval}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each report, until the watcher is removed."""
        sizes: dict[str, int] = {}
        while True:
            try:
                sizes, unchanged = await asyncio.to_thread(self._list, sizes)
                for name in unchanged:
                    payload, where = await asyncio.to_thread(self._read, name)
                    yield TriggerEvent(payload)
                    await asyncio.to_thread(self._move, name, where)
            except OSError as error:
                self.log.warning("%s cannot be listed now (%s).", self.path, type(error).__name__)
            await asyncio.sleep(self.poll_interval)

    def _list(self, before: dict[str, int]) -> tuple[dict[str, int], list[str]]:
        root = ObjectStoragePath(self.path)
        if not root.exists():
            return {}, []
        sizes = {
            child.name: int(child.stat().st_size)
            for child in root.iterdir()
            if child.is_file() and not child.name.startswith(".")
        }
        return sizes, sorted(name for name, size in sizes.items() if before.get(name) == size)

    def _read(self, name: str) -> tuple[dict[str, Any], str]:
        from pme_airflow.errors import PMEError
        from pme_airflow.leaks.reports import MAX_REPORT_BYTES, read_report

        with (ObjectStoragePath(self.path) / name).open("rb") as stream:
            raw = stream.read(MAX_REPORT_BYTES + 1)
        try:
            return {"report": {"path": name, **read_report(raw).as_json()}}, _HANDLED
        except PMEError as error:
            return {"report": {"path": name, "problem": str(error)}}, _UNREADABLE

    def _move(self, name: str, where: str) -> None:
        root = ObjectStoragePath(self.path)
        (root / where).mkdir(parents=True, exist_ok=True)
        (root / name).move(root / where / name)
