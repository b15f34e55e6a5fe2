"""List recent objects of a git repository: also those that were rewritten, amended, stashed or never committed."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.files import Source, Unread, is_git_folder
from pme_airflow.leaks.git_commands import GitObject, GitRepository

__all__ = ["git_folder", "git_sources"]

#: Larger objects are read as streams: a zip of that size is not opened.
_HELD_BYTES = 64 << 20
#: After so many unreadable objects, which are skipped one by one, the rest is not read.
_MAX_BROKEN_OBJECTS = 100
_COMMITTER = re.compile(rb"^committer [^\n]*> (\d{1,12}) [+-]\d{4}$", re.MULTILINE)
_LINK_TO_FOLDER = b"gitdir: "
_NO_FILE, _SUBMODULE = "000000", "160000"
_SHORT = 12
#: The time of a commit whose own cannot be read: it counts as new.
_UNREADABLE = 1 << 40
_DIFF = ("diff-tree", "--stdin", "--root", "-m", "-r", "-t", "--raw", "--no-abbrev", "--no-renames", "-z")


def git_folder(place: str) -> str | None:
    """Return the repository's own folder of a work tree or bare repository; ``None`` if the place is neither."""
    path = Path(place)
    if is_git_folder(place):
        return place
    dot_git = path / ".git"
    if not dot_git.is_file():
        return str(dot_git) if is_git_folder(str(dot_git)) else None
    with dot_git.open("rb") as stream:
        link = stream.read(1 << 12)
    if not link.startswith(_LINK_TO_FOLDER):
        return None
    return _common_folder((path / os.fsdecode(link.removeprefix(_LINK_TO_FOLDER).strip())).resolve())


def _common_folder(folder: Path) -> str | None:
    """Return the folder that holds the objects: that of a second work tree only names it."""
    common = folder / "commondir"
    if common.is_file():
        folder = (folder / common.read_text().strip()).resolve()
    return str(folder) if is_git_folder(str(folder)) else None


def git_sources(folder: str, since: float | None) -> Iterator[Source | Unread]:
    """Yield the objects that a repository got since a time, each as a source that names its commit and path.

    Those are what commits of that time brought, on whatever branch, reflog or stash, or on none; their messages;
    annotated tags; and objects that were written since and belong to no commit. Open the sources one after the other.

    :param folder: the repository's own folder, ``.git`` for most.
    :param since: seconds since 1970; ``None`` for everything.
    """
    repository = GitRepository(folder)
    try:
        history = _read_history(repository, since)
        yield from history.problems
        yield from _opened(repository, history.names)
    except PMEScanError as error:
        yield Unread(folder, f"{error}. Its history was not searched")
    except (OSError, ValueError) as error:
        yield Unread(folder, f"is a broken git repository ({type(error).__name__}). Its history was not searched")


@dataclass
class _History:
    """The objects of a repository to read.

    :param names: what findings call each object, by its id.
    """

    folder: str
    names: dict[str, str] = field(default_factory=dict)
    problems: list[Unread] = field(default_factory=list)

    def add(self, object_id: str, of: str, what: str) -> None:
        """Add an object, unless a commit that brought it is known already."""
        self.names.setdefault(object_id, f"{self.folder}@{of[:_SHORT]}{what}")


def _read_history(repository: GitRepository, since: float | None) -> _History:
    history = _History(repository.folder)
    listed = repository.lines("cat-file", "--batch-all-objects", "--batch-check", "--unordered")
    objects = [GitObject.read(line) for line in listed]
    times = _commit_times(repository, [entry.name for entry in objects if entry.kind == "commit"])
    recent = [commit for commit, at in times.items() if since is None or at >= since]
    for commit in recent:
        history.add(commit, commit, " (message)")
    is_whole = _add_files(history, repository, recent)
    for entry in objects:
        if entry.kind == "tag":
            history.add(entry.name, entry.name, " (tag)")
    others = _written_since(repository, since) if since is not None and is_whole else {o.name for o in objects}
    for name in sorted(others):
        history.add(name, name, " (object)")
    _check_depth(history, recent)
    return history


def _commit_times(repository: GitRepository, commits: Sequence[str]) -> Mapping[str, int]:
    """Return when each commit was made, in seconds since 1970, by its committer's clock."""
    found: dict[str, int] = {}
    with repository.contents(commits) as stream:
        for entry, data in _each(stream):
            match = _COMMITTER.search(data.read())
            found[entry.name] = int(match[1]) if match else _UNREADABLE
    return found


def _add_files(history: _History, repository: GitRepository, commits: Sequence[str]) -> bool:
    """Add what commits brought; return whether all of them could be compared with their parents.

    A merge is compared with each parent; a commit without one, or whose parents are not here, brought all that it has.
    """
    commit = ""
    try:
        parts = repository.lines(*_DIFF, stdin=commits, end=b"\0")
        for part in parts:
            if not part.startswith(b":"):
                commit = part.split(b" ")[0].decode("ascii")
                continue
            _, mode, _, object_id, _ = part.decode("ascii").split()
            path = os.fsdecode(next(parts, b""))
            if mode not in (_NO_FILE, _SUBMODULE):
                history.add(object_id, commit, f":{path}")
    except PMEScanError:
        return False
    return True


def _written_since(repository: GitRepository, since: float) -> set[str]:
    """Return loose objects that were written since a time, and unreachable ones that git packed since."""
    objects = Path(repository.folder) / "objects"
    found = {
        f"{folder.name}{entry.name}"
        for folder in objects.glob("[0-9a-f][0-9a-f]")
        for entry in os.scandir(folder)
        if "_" not in entry.name and entry.stat().st_mtime >= since
    }
    for times in objects.glob("pack/*.mtimes"):
        if times.stat().st_mtime >= since:
            with times.with_suffix(".idx").open("rb") as index:
                found.update(line.split()[1].decode("ascii") for line in repository.lines("show-index", stdin=index))
    return found


def _check_depth(history: _History, recent: Sequence[str]) -> None:
    """Add a problem if the repository is a shallow clone that begins within the time that is searched."""
    shallow = Path(history.folder) / "shallow"
    if shallow.is_file() and set(shallow.read_text().split()) & set(recent):
        reason = "is a shallow clone, and what came before it was not searched. Run git fetch --unshallow"
        history.problems.append(Unread(history.folder, reason, permanent=True))


def _opened(repository: GitRepository, names: Mapping[str, str]) -> Iterator[Source | Unread]:
    """Yield objects as sources. One that git cannot read is named, and the others are still read."""
    left = list(names)
    for _ in range(_MAX_BROKEN_OBJECTS):
        done = 0
        try:
            with repository.contents(left) as stream:
                for entry, data in _each(stream):
                    if entry.name != left[done]:
                        raise ValueError
                    yield _source(names[entry.name], entry, data)
                    done += 1
            if done == len(left):
                return
            problem = "git ended before it was read. Run git fsck"
        except ValueError:  # no header follows, since git wrote less of the object before than it had announced
            done -= 1
            problem = "git cannot read it whole. Run git fsck"
        except PMEScanError as error:
            problem = str(error)
        yield Unread(names[left[done]], problem)
        left = left[done + 1 :]
    yield Unread(repository.folder, f"has over {_MAX_BROKEN_OBJECTS} objects that git cannot read. Run git fsck")


def _source(name: str, entry: GitObject, data: _ObjectStream) -> Source | Unread:
    if entry.kind == "missing":
        return Unread(name, "is not in the repository, which is a partial clone or broken, and was not searched")
    return Source(name, partial(_open, data, entry.size))


def _open(data: _ObjectStream, size: int) -> nullcontext[IO[bytes]]:
    if size > _HELD_BYTES:
        return nullcontext(io.BufferedReader(data, 1 << 20))
    held = data.read()
    if len(held) < size:
        raise EOFError
    return nullcontext(io.BytesIO(held))


def _each(stream: IO[bytes]) -> Iterator[tuple[GitObject, _ObjectStream]]:
    """Yield objects and their contents; what was not read of one is passed over before the next."""
    while header := stream.readline():
        entry = GitObject.read(header)
        data = _ObjectStream(stream, entry.size)
        yield entry, data
        data.skip()
        if entry.kind != "missing":
            stream.read(1)


class _ObjectStream(io.RawIOBase):
    """The contents of one object in a stream of many."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def skip(self) -> None:
        """Skip the rest of the object."""
        while self._left > 0 and (passed := self._stream.read(min(self._left, 1 << 20))):
            self._left -= len(passed)
