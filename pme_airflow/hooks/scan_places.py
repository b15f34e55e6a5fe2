"""List what a scan reads at a path, or under a URL of any object store that Airflow supports."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

from pme_airflow.clock import SystemClock
from pme_airflow.durations import parse_duration
from pme_airflow.extras import missing_for_store
from pme_airflow.leaks.files import Source, Unread, files_under
from pme_airflow.leaks.git_history import git_folder, git_sources

__all__ = ["DEFAULT_SINCE", "Places"]

#: How far back the history of git repositories is searched; twice the longest life of a link.
DEFAULT_SINCE = "48h"

#: Bytes of an object that one request reads.
_BLOCK_BYTES = 4 << 20


class Places:
    """Opens the places that a scan names.

    :param since: how long ago the searched history of git repositories begins, as in ``48h``; ``all`` for all of it.
    :param stdin: whether ``-`` is standard input.
    :raises PMEInputError: if ``since`` cannot be read.
    """

    def __init__(self, since: str = DEFAULT_SINCE, *, stdin: bool = False) -> None:
        self._since: float | None = None
        self._stdin = stdin
        if since != "all":
            self._since = (SystemClock().now() - parse_duration(since, "since")).timestamp()

    def open(self, place: str) -> Iterator[Source | Unread]:
        """Yield the files of a path with the history of repositories there, or the objects under a URL (``s3://…``)."""
        if place == "-" and self._stdin:
            yield Source("-", lambda: nullcontext(sys.stdin.buffer))
        elif "://" not in place or place.startswith("file://"):
            yield from files_under(place.removeprefix("file://"), self._history_of, git_folder)
        else:
            yield from _objects_under(place)

    def open_repository(self, place: str) -> Iterator[Source | Unread]:
        """Yield the history of the git repository at a path, and nothing else of the path."""
        folder = git_folder(place)
        if folder is None:
            reason = "is no git repository. Name a work tree, its .git, or a bare repository"
            yield Unread(place, reason, permanent=True)
        else:
            yield from self._history_of(folder)

    def _history_of(self, folder: str) -> Iterator[Source | Unread]:
        return git_sources(folder, self._since)


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
