"""A trigger that waits for scanners' reports in a drop folder or bucket, and starts the leak response with them."""

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
    """Fires once for each report that is dropped under a path, and moves it to ``handled/`` or ``unreadable/`` there.

    For an ``AssetWatcher`` on ``Asset("pme://leaks")``. The event carries fingerprints, never a token. A file is read
    once its size has stood still from one look to the next, so that none is read half written.

    :param path: any ``ObjectStoragePath``: a folder or bucket that the triggerer can read and write.
    :param poll_interval: seconds between two looks.
    """

    def __init__(self, path: str, poll_interval: float = 5.0) -> None:
        super().__init__()
        self.path = path
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, for Airflow to make it again."""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name, {"path": self.path, "poll_interval": self.poll_interval}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for reports until the watcher is gone."""
        sizes: dict[str, int] = {}
        while True:
            try:
                sizes, whole = await asyncio.to_thread(self._look, sizes)
                for name in whole:
                    payload, where = await asyncio.to_thread(self._read, name)
                    yield TriggerEvent(payload)
                    await asyncio.to_thread(self._move, name, where)
            except OSError as error:
                self.log.warning("%s cannot be looked at now (%s).", self.path, type(error).__name__)
            await asyncio.sleep(self.poll_interval)

    def _look(self, before: dict[str, int]) -> tuple[dict[str, int], list[str]]:
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
