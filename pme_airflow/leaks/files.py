"""The sources of a scan: named streams of bytes, and the files of a path as such streams."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from pme_airflow.leaks.encodings import redact
from pme_airflow.printable import printable

__all__ = ["FindRepository", "OpenPlace", "Source", "Unread", "files_under", "is_git_folder"]

_KINDS = (
    (stat.S_ISFIFO, "is a pipe. Pipe it into standard input, and scan -"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISBLK, "is a device. Copy it to a file, and scan that"),
    (stat.S_ISCHR, "is a device. Copy it to a file, and scan that"),
)


@dataclass(frozen=True)
class Source:
    """A stream of bytes that can be opened.

    :param path: its path or URL, as findings name it.
    :param open: opens it for reading; it and the stream may raise any exception.
    """

    path: str
    open: Callable[[], AbstractContextManager[IO[bytes]]] = field(repr=False)


@dataclass(frozen=True)
class Unread:
    """A place, file or part of an archive that was not searched.

    :param reason: why, and what to do.
    :param permanent: whether trying again cannot help before a person changes something.
    """

    path: str
    reason: str
    permanent: bool = False

    def __str__(self) -> str:
        return f"{printable(redact(self.path))}: {printable(self.reason)}"


#: Lists what is to be read at a place that a person names, a path or a URL. It may raise any exception.
OpenPlace = Callable[[str], Iterator[Source | Unread]]
#: Returns the own folder of the git repository of a work tree; ``None`` if there is none. It may raise ``OSError``.
FindRepository = Callable[[str], "str | None"]


def files_under(
    place: str, open_repository: OpenPlace | None = None, linked_repository: FindRepository | None = None
) -> Iterator[Source | Unread]:
    """Yield the file at a path, or all files below a folder, sorted; and everything there that cannot be searched.

    Links to folders are not followed, so that there are no loops; one that leads out of the folder is unread.

    :param open_repository: yields what a git repository's own folder holds besides plain files; without it only those
        are searched.
    :param linked_repository: finds the repository of a linked work tree or submodule, which may lie elsewhere. It is
        opened once, and not if it lies below the place.
    """
    try:
        mode = os.stat(place).st_mode
    except (OSError, ValueError) as error:
        yield _missing(place, error)
        return
    if not stat.S_ISDIR(mode):
        yield _entry(place, mode)
        return
    root = os.path.realpath(place)
    linked: set[str] = set()
    pending = [place]
    while pending:
        folder = pending.pop()
        folders: list[str] = []
        for found in _listed(folder, root):
            if isinstance(found, str):
                folders.append(found)
            else:
                yield found
        if open_repository is not None and is_git_folder(folder):
            yield from open_repository(folder)
            folders = [inner for inner in folders if Path(inner).name != "objects"]
        elif linked_repository is not None and os.path.isfile(os.path.join(folder, ".git")):
            linked_to = _linked_to(folder, linked_repository)
            if isinstance(linked_to, Unread):
                yield linked_to
            elif not Path(linked_to).is_relative_to(root):
                linked.add(linked_to)
        pending += reversed(folders)
    if open_repository is not None:
        for repository in sorted(linked):
            yield from open_repository(repository)


def _linked_to(folder: str, linked_repository: FindRepository) -> str | Unread:
    """Return the real path of the repository to which the file ``.git`` of a work tree leads."""
    with suppress(OSError, ValueError):
        repository = linked_repository(folder)
        if repository is not None:
            return os.path.realpath(repository)
    reason = "leads to no git repository that can be read here, and its history was not searched. Scan that repository"
    return Unread(os.path.join(folder, ".git"), reason, permanent=True)


def is_git_folder(folder: str) -> bool:
    """Return whether a folder is a git repository's own: a ``.git``, a bare repository, or a submodule's."""
    is_file, is_folder, join = os.path.isfile, os.path.isdir, os.path.join  # pathlib's raise where access is denied
    return is_file(join(folder, "HEAD")) and is_folder(join(folder, "objects")) and is_folder(join(folder, "refs"))


def _listed(folder: str, root: str) -> Iterator[Source | Unread | str]:
    """Yield the entries of a folder: sources, what cannot be read, and the paths of the folders in it."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield Unread(folder, f"cannot be listed ({error.strerror or type(error).__name__})")
        return
    for entry in listed:
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            what = "is a symbolic link whose target does not exist" if entry.is_symlink() else "cannot be read"
            yield Unread(entry.path, f"{what} ({error.strerror or type(error).__name__})")
            continue
        if not stat.S_ISDIR(mode):
            yield _entry(entry.path, mode)
        elif not entry.is_symlink():
            yield entry.path
        elif not Path(os.path.realpath(entry.path)).is_relative_to(root):
            yield Unread(
                entry.path, "is a symbolic link to a folder outside, which is not followed. Scan that folder too"
            )


def _entry(path: str, mode: int) -> Source | Unread:
    if stat.S_ISREG(mode):
        return Source(path, partial(_open, path))
    kind = next((reason for is_kind, reason in _KINDS if is_kind(mode)), "is no file")
    return Unread(path, kind, permanent=True)


def _open(path: str) -> IO[bytes]:
    """Open a file with ``O_NONBLOCK``: one that became a pipe since it was listed would block for ever otherwise."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.fdopen(descriptor, "rb")


def _missing(place: str, error: Exception) -> Unread:
    if isinstance(error, FileNotFoundError) and not os.path.lexists(place):
        reason = "does not exist. Name a file, a folder or a URL such as s3://…"
        return Unread(place, reason, permanent=True)
    return Unread(place, f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})", permanent=True)
