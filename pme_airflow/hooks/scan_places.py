"""Listing what a scan reads at a path, or under a URL of any object store that Airflow knows."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

from pme_airflow.extras import missing_for_store
from pme_airflow.leaks.files import Source, Unread, files_under

__all__ = ["open_place", "open_place_or_stdin"]

#: Bytes of an object that one request reads.
_BLOCK_BYTES = 4 << 20


def open_place(place: str) -> Iterator[Source | Unread]:
    """Yield the files of a path, or the objects under any ``ObjectStoragePath`` (``s3://…``, ``gs://…``)."""
    if "://" not in place or place.startswith("file://"):
        yield from files_under(place.removeprefix("file://"))
    else:
        yield from _objects_under(place)


def open_place_or_stdin(place: str) -> Iterator[Source | Unread]:
    """Yield what :func:`open_place` does; for ``-``, standard input."""
    if place == "-":
        yield Source("-", lambda: nullcontext(sys.stdin.buffer))
    else:
        yield from open_place(place)


def _objects_under(place: str) -> Iterator[Source | Unread]:
    shown = _without_userinfo(place)
    missing = missing_for_store(place)
    if missing:
        yield Unread(shown, missing, permanent=True)
        return
    try:
        root, sizes = _listed(place)
    except Exception as error:  # noqa: BLE001 - a store of any kind may raise anything, with its keys in it
        yield Unread(shown, f"cannot be listed ({type(error).__name__}). Check the URL and its connection")
        return
    if not sizes:
        yield Unread(shown, "there is nothing here. Check the URL and its connection", permanent=True)
    prefix = f"{root.protocol}://{root.conn_id}@" if root.conn_id else f"{root.protocol}://"
    for key in sorted(sizes):
        yield Source(f"{prefix}{key}", partial(_open, root.fs, key, sizes[key]))


def _listed(place: str) -> tuple[Any, dict[str, int | None]]:
    """Return the root of a URL, and the keys of all objects there with their sizes, as far as the store knows them.

    They are listed by the store and not through paths, which cannot name a key such as ``a//b``.
    """
    from airflow.sdk import ObjectStoragePath

    root = ObjectStoragePath(place)
    root.fs.invalidate_cache()
    found: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        own = root.fs.info(root.path)  # an object may have the name of a folder
        found = {root.path: own} if own["type"] == "file" else {}
    found.update(root.fs.find(root.path, detail=True))
    return root, {key: item["size"] for key, item in found.items()}


def _open(fs: Any, key: str, size: int | None) -> Any:
    return fs.open(key, "rb") if size is None else io.BufferedReader(_ObjectStream(fs, key, size), _BLOCK_BYTES)


class _ObjectStream(io.RawIOBase):
    """Reads an object by ranges of its bytes.

    ``fs.open`` looks an object up again, and takes one for an empty folder whose name is the prefix of others.
    """

    def __init__(self, fs: Any, key: str, size: int) -> None:
        self._fs = fs
        self._key = key
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._size, self._position + len(buffer))
        if self._position >= end:
            return 0
        data = self._fs.cat_file(self._key, start=self._position, end=end)
        if len(data) != end - self._position:
            raise OSError("the object was changed while it was read")
        buffer[: len(data)] = data
        self._position = end
        return len(data)


def _without_userinfo(place: str) -> str:
    scheme, _, rest = place.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
