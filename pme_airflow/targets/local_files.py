"""Published files on this machine: replaced whole, and never written through another user's symbolic link."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath

from pme_airflow.checks import CheckResult
from pme_airflow.errors import SlotError

__all__ = ["LocalFiles"]

_DRAFT = ".pme-tmp"
#: The most symbolic links in one path; Linux's own limit.
_MAX_LINKS = 40
#: Opening a folder on the way to another one needs the right to search it, not to list it.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW


class LocalFiles:
    """Files in a folder and its subfolders, by their paths relative to it.

    The umask decides who may read what is written. A file appears under its name only when it is whole.

    :param root: the folder; it is created with the first file.
    """

    def __init__(self, root: str) -> None:
        self._root = PurePosixPath(os.path.abspath(root))
        #: The folders that were not there before the first write; ``None`` until then.
        self._made: frozenset[PurePosixPath] | None = None

    def write(self, path: str, text: str) -> bool:
        """Replace a file by a new one, with none of the old one's content or attributes.

        :raises SlotError: if its folder is another user's, or is reached through another user's symbolic link.
        """
        if self._made is None:
            folders = (self._root, *self._root.parents)
            self._made = frozenset(folder for folder in folders if not os.path.lexists(folder))
        with self._folder_of(path, create=True) as (folder, name):
            _remove_drafts(folder, name)
            draft = f".{name}.{uuid.uuid4().hex}{_DRAFT}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # which follow no symbolic link
            try:
                with open(os.open(draft, flags, 0o666, dir_fd=folder), "w", encoding="utf-8") as stream:
                    stream.write(text)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=folder)
        return False

    def read(self, path: str, limit: int) -> str | None:
        """Return a file's text, or its first ``limit`` bytes; ``None`` if there is no such file."""
        try:
            with self._folder_of(path) as (folder, name):
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except FileNotFoundError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            with open(descriptor, "rb", closefd=False) as stream:
                return stream.read(limit).decode("utf-8", "replace")
        finally:
            os.close(descriptor)

    def delete(self, path: str) -> bool:
        """Delete a file if it is there, and its folder below the root if that is empty then."""
        with suppress(FileNotFoundError), self._folder_of(path) as (folder, name):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            _remove_drafts(folder, name)
        parent = PurePosixPath(path).parent
        if parent.name:
            with suppress(OSError), self._folder_of(str(parent)) as (folder, name):
                os.rmdir(name, dir_fd=folder)  # fails while it has other files
        return False

    def signatures(self, paths: Iterable[str]) -> dict[str, str | None]:
        """Return a text for each file that changes whenever the file does; ``None`` for a file that is not there."""
        return {path: self._signature(path) for path in paths}

    def _signature(self, path: str) -> str | None:
        try:
            with self._folder_of(path) as (folder, name):
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"

    def describe(self, path: str) -> Iterable[CheckResult]:
        """Return nothing: a file on this machine is as its folder is."""
        return ()

    def remove_trace(self, path: str) -> bool:
        """Delete a file, and the folders that were made for it, as far as they are empty."""
        self.delete(path)
        for folder in (self._root, *self._root.parents):
            if folder not in (self._made or ()):
                break
            with suppress(OSError):
                os.rmdir(folder)
        return False

    @contextmanager
    def _folder_of(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Open a file's folder, and give its descriptor and the file's name in it."""
        whole = self._root / path
        passed = _open_folder(whole.parent, create=create)
        try:
            folder = os.open(".", os.O_RDONLY, dir_fd=passed)
        finally:
            os.close(passed)
        try:
            yield folder, whole.name
        finally:
            os.close(folder)


def _remove_drafts(folder: int, name: str) -> None:
    """Delete the temporary files that killed tasks left next to a file."""
    for entry in os.listdir(folder):
        if entry.startswith(f".{name}.") and entry.endswith(_DRAFT):
            with suppress(FileNotFoundError):
                os.unlink(entry, dir_fd=folder)


def _open_folder(path: PurePosixPath, *, create: bool) -> int:
    """Open a folder by an absolute path, one name at a time, so that no folder can be replaced after its check."""
    folder = os.open("/", _PASS)
    names = list(reversed(path.parts[1:]))
    links = 0
    try:
        while names:
            name = names.pop()
            link = _link_in(folder, name)
            if link is None:
                following = _open_child(folder, name, create=create)
                os.close(folder)
                folder = following
                continue
            links += 1
            if links > _MAX_LINKS:
                raise SlotError(f"{path}: the path has more than {_MAX_LINKS} symbolic links")
            names += reversed([part for part in link.split("/") if part])
            if link.startswith("/"):
                os.close(folder)
                folder = os.open("/", _PASS)
    except BaseException:
        os.close(folder)
        raise
    return folder


def _link_in(folder: int, name: str) -> str | None:
    """Return where a name in a folder leads if it is a symbolic link."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return None
    _check_owner(folder, name, found)
    return os.readlink(name, dir_fd=folder)


def _open_child(folder: int, name: str, *, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(name, 0o777, dir_fd=folder)
    child = os.open(name, _PASS, dir_fd=folder)
    try:
        if name != "..":
            _check_owner(folder, name, os.fstat(child))
    except BaseException:
        os.close(child)
        raise
    return child


def _check_owner(folder: int, name: str, found: os.stat_result) -> None:
    """Refuse an entry of a folder that anybody may write to, unless it is of this user or of root.

    :raises SlotError: for an entry of another user.
    """
    if os.fstat(folder).st_mode & stat.S_IWOTH and found.st_uid not in (0, os.geteuid()):
        kind = "symbolic link" if stat.S_ISLNK(found.st_mode) else "folder"
        raise SlotError(
            f"{name} is a {kind} of another user (uid {found.st_uid}) in a folder that anybody may write to: give a "
            "path that only this user can change"
        )
