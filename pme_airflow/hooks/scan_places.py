"""Listing what a scan reads at a path, or under a URL of any object store that Airflow knows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

from pme_airflow.errors import PMEInputError
from pme_airflow.leaks.files import Source, Unread, files_under

__all__ = ["open_place", "open_place_or_stdin"]


def open_place(place: str) -> Iterator[Source | Unread]:
    """Yield the files of a path, or the objects under any ``ObjectStoragePath`` (``s3://…``, ``gs://…``).

    :raises PMEInputError: if there is nothing at the place.
    """
    if "://" not in place or place.startswith("file://"):
        yield from files_under(place.removeprefix("file://"))
        return
    from airflow.sdk import ObjectStoragePath

    try:
        objects = list(_objects(ObjectStoragePath(place)))
    except Exception as error:  # noqa: BLE001 - a store of any kind may raise anything, with its keys in it
        objects = []
        reason = type(error).__name__
    else:
        reason = "nothing is there"
    if not objects:
        raise PMEInputError(f"PATH: {place.split('@')[-1]} cannot be scanned ({reason}). Check it and its connection.")
    for item in objects:
        yield Source(str(item), partial(item.open, "rb"))


def open_place_or_stdin(place: str) -> Iterator[Source | Unread]:
    """Yield what :func:`open_place` does; for ``-``, standard input."""
    if place == "-":
        yield Source("-", lambda: nullcontext(sys.stdin.buffer))
    else:
        yield from open_place(place)


def _objects(root: Any) -> Iterator[Any]:
    if root.is_file():
        yield root
        return
    for child in root.iterdir():
        yield from _objects(child)
