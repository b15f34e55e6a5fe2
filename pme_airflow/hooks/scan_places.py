"""What lies under a path or an object store's URL, as streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pme_airflow.errors import PMEInputError
from pme_airflow.leaks.archives import Scan, files_under
from pme_airflow.leaks.stream_search import Piece

__all__ = ["scan_place"]


def scan_place(scan: Scan, place: str) -> Iterator[Piece]:
    """The pieces of a file, a tree, or whatever lies under any ``ObjectStoragePath`` (``s3://…``, ``gs://…``).

    :raises PMEInputError: where nothing is there.
    """
    if "://" not in place or place.startswith("file://"):
        for path in files_under(place.removeprefix("file://")):
            yield from scan.file(path)
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
    for found in objects:
        with found.open("rb") as stream:
            yield from scan.stream(stream, str(found))


def _objects(root: Any) -> Iterator[Any]:
    if root.is_file():
        yield root
        return
    for child in root.iterdir():
        yield from _objects(child)
