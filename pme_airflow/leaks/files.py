"""What a scan opens: named sources of bytes, and the files of a path as such sources."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pme_airflow.errors import PMEInputError

__all__ = ["OpenPlace", "Source", "Unread", "files_under"]


@dataclass(frozen=True)
class Source:
    """A stream of bytes that can be opened.

    :param path: its path or URL, as findings name it.
    :param open: opens it for reading.
    """

    path: str
    open: Callable[[], AbstractContextManager[IO[bytes]]] = field(repr=False)


@dataclass(frozen=True)
class Unread:
    """A place, file or part of an archive that was not searched.

    :param reason: why, and what to do.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


#: Lists what is to be read at a place that a person names: a path or a URL.
OpenPlace = Callable[[str], Iterator[Source | Unread]]


def files_under(place: str) -> Iterator[Source | Unread]:
    """Yield the file at a path, or all files below a folder. Links to folders are not followed, so there are no loops.

    :raises PMEInputError: if there is nothing at the path.
    """
    root = Path(place)
    if root.is_file():
        yield _file(root)
        return
    if not root.is_dir():
        raise PMEInputError(f"PATH: there is nothing at {place}. Name a file, a folder, - or a URL such as s3://….")
    for folder, folders, names in os.walk(root, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            with suppress(OSError):
                if stat.S_ISREG(path.stat().st_mode):
                    yield _file(path)


def _file(path: Path) -> Source:
    return Source(str(path), lambda: path.open("rb"))
