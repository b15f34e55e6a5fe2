"""Run git on an untrusted repository: only commands that read objects, without network access."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from pme_airflow.errors import PMEScanError
from pme_airflow.leaks.encodings import redact

__all__ = ["GitObject", "GitRepository"]

#: No fetch, no prompt, no replacement of objects, and no configuration but the repository's own.
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
#: Git refuses a repository of another user, since it may name programs to run: hooks, filters, a monitor of files.
#: The commands used run none but the monitor, which is turned off.
_SETTINGS = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")


@dataclass(frozen=True)
class GitObject:
    """One object as ``git cat-file`` lists it.

    :param kind: ``commit``, ``tag``, ``tree`` or ``blob``; ``missing`` where a reference leads to nothing.
    :param size: its bytes.
    """

    name: str
    kind: str
    size: int

    @classmethod
    def read(cls, header: bytes) -> GitObject:
        """Read a line of ``git cat-file``."""
        name, kind, *size = header.decode("ascii", "replace").split()
        return cls(name, kind, int(size[0]) if size else 0)


@dataclass(frozen=True)
class GitRepository:
    """A repository.

    :param folder: the folder with ``HEAD``, ``objects`` and ``refs``.
    """

    folder: str

    def lines(self, *arguments: str, stdin: Iterable[str] | IO[bytes] = (), end: bytes = b"\n") -> Iterator[bytes]:
        """Yield what a git command prints, line by line.

        :param stdin: the lines or the file that it reads.
        :param end: what ends a line.
        :raises PMEScanError: if git is not installed, or the command fails.
        """
        with self._running(arguments, stdin) as stream:
            rest = b""
            while fresh := stream.read(1 << 16):
                *whole, rest = (rest + fresh).split(end)
                yield from whole
            if rest:
                yield rest

    @contextmanager
    def contents(self, names: Iterable[str]) -> Iterator[IO[bytes]]:
        """Open the contents of objects, one after the other, each behind its header, as ``git cat-file`` writes them.

        :raises PMEScanError: if git is not installed, or cannot read the repository.
        """
        with self._running(("cat-file", "--batch", "--buffer"), names) as stream:
            yield stream

    @contextmanager
    def _running(self, arguments: tuple[str, ...], stdin: Iterable[str] | IO[bytes]) -> Iterator[IO[bytes]]:
        command = ["git", *_SETTINGS, "--git-dir", self.folder, *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin if isinstance(stdin, io.IOBase) else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment, **_ENVIRONMENT},
            )
        except OSError:
            raise PMEScanError("git is not installed, so its history was not searched. Install git") from None
        errors: list[bytes] = []
        collector = threading.Thread(target=_collect, args=(process, errors), daemon=True)
        threads = [collector]
        if process.stdin is not None:
            threads.append(threading.Thread(target=_write, args=(process.stdin, stdin), daemon=True))
        for thread in threads:
            thread.start()
        try:
            assert process.stdout is not None
            yield process.stdout
            if process.wait() != 0:
                collector.join()  # the process may end before its message is read
                raise PMEScanError(f"git {arguments[0]} failed ({_first_line(errors)}). Run git fsck")
        finally:
            process.kill()
            process.wait()
            for thread in threads:
                thread.join()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()


def _write(stdin: IO[bytes], lines: Iterable[str]) -> None:
    with suppress(OSError, ValueError), stdin as stream:  # git may end before it has read everything
        for line in lines:
            stream.write(line.encode() + b"\n")


def _collect(process: subprocess.Popen[bytes], errors: list[bytes]) -> None:
    assert process.stderr is not None
    while fresh := process.stderr.read(1 << 12):
        if len(errors) < 4:
            errors.append(fresh)


def _first_line(errors: list[bytes]) -> str:
    text = b"".join(errors).decode(errors="replace").strip()
    return redact(text.splitlines()[0][:200]) if text else "it was ended"
