"""The seam: counts the boundaries that a process passes, and kills the process or fails the call at one of them.

A boundary is the moment before or after a commit, a request, an answer or the replacement of a file. The package knows
nothing of the seam: it wraps the commit of an engine's dialect, the client's transport, and ``os.replace``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any
from unittest import mock

from sqlalchemy import Engine, event

#: The exit status of a process that the seam has killed.
KILLED = 77
_COMMIT, _REQUEST, _FILE, _STATEMENT, _BEGIN = "commit", "request", "file", "statement", "begin"
_FULL = {
    "sqlite": "database or disk is full",
    "postgresql": "could not extend file: No space left on device",
    "mysql": (1021, "Disk full (/tmp); waiting for someone to free some space"),
}
_GONE = {
    "sqlite": "unable to open database file",
    "postgresql": "server closed the connection unexpectedly",
    "mysql": (2013, "Lost connection to server during query"),
}


class Strike(Enum):
    """What happens at the boundary that is struck."""

    KILL = "kill"
    #: The call fails, and everything works again afterwards.
    FAIL = "fail"
    #: The call fails, and every later one of its kind does.
    FAIL_FOR_GOOD = "fail for good"


@dataclass(frozen=True)
class Lost:
    """A request that got no answer."""

    written: bool


class Seam:
    """Boundaries of one process.

    :ivar passed: the boundaries so far, in order, as words.
    """

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.statements = False
        self._target = 0
        self._strike = Strike.KILL
        self._broken: str | None = None
        self._armed = False
        self._lock = threading.Lock()
        #: Called outside of transactions, where another process may run.
        self.on_pause: Callable[[], None] = lambda: None

    def arm(self, target: int, strike: Strike, *, statements: bool = False) -> None:
        """Count from here on, and strike at a boundary; 0 only counts.

        :param statements: whether each statement is a boundary too.
        """
        self.passed = []
        self._target, self._strike, self._broken, self._armed = target, strike, None, True
        self.statements = statements

    def disarm(self) -> None:
        """Count and strike no more."""
        self._armed = False
        self._broken = None
        self.on_pause = lambda: None

    def _struck(self, kind: str, moment: str) -> bool:
        """Count a boundary; return whether the call is to fail there."""
        if not self._armed:
            return False
        with self._lock:
            self.passed.append(f"{kind} {moment}")
            here = len(self.passed) == self._target
            if here and self._strike is Strike.KILL:
                os._exit(KILLED)
            if here and self._strike is Strike.FAIL_FOR_GOOD:
                self._broken = _COMMIT if kind in (_BEGIN, _STATEMENT) else kind
            gone = self._broken is not None and self._broken == (_COMMIT if kind in (_BEGIN, _STATEMENT) else kind)
        return here or (gone and moment == "before")

    # ------------------------------------------------------------- requests

    def request(self, moment: str, to: str = _REQUEST) -> Lost | None:
        """Pass a boundary of a request: ``before``, ``sent`` or ``answered``.

        :param to: names what is asked; when it fails for good, other requests still work.
        """
        struck = self._struck(to, moment)
        self.on_pause()
        return Lost(moment != "before") if struck else None

    # ------------------------------------------------------------- database

    def watch(self, engine: Engine) -> None:
        """Put boundaries around the commits of an engine, and its statements where those count."""
        dialect = engine.dialect
        commit, begin = dialect.do_commit, dialect.do_begin
        kind = "mysql" if dialect.name == "mariadb" else dialect.name
        errors: Any = dialect.dbapi

        def error(words: Any) -> Exception:
            return errors.OperationalError(*words) if isinstance(words, tuple) else errors.OperationalError(words)

        def do_commit(connection: Any) -> None:
            if self._struck(_COMMIT, "before"):
                raise error(_FULL[kind])
            commit(connection)
            if self._struck(_COMMIT, "after"):
                raise error(_GONE[kind])

        def do_begin(connection: Any) -> None:
            if self._strike is not Strike.KILL and self._struck(_BEGIN, "before"):
                raise error(_GONE[kind])
            begin(connection)

        dialect.do_commit = do_commit  # type: ignore[method-assign]
        dialect.do_begin = do_begin  # type: ignore[method-assign]

        @event.listens_for(engine, "before_cursor_execute")
        def _before(*_: Any) -> None:
            if self.statements and self._struck(_STATEMENT, "before"):
                raise error(_GONE[kind])

        @event.listens_for(engine, "after_cursor_execute")
        def _after(*_: Any) -> None:
            if self.statements and self._struck(_STATEMENT, "after"):
                raise error(_GONE[kind])

    # ---------------------------------------------------------------- files

    @contextmanager
    def files(self) -> Iterator[None]:
        """Put boundaries around ``os.replace``."""
        replace = os.replace

        def replaced(*args: Any, **kwargs: Any) -> None:
            if self._struck(_FILE, "before"):
                raise OSError(28, "No space left on device")
            replace(*args, **kwargs)
            if self._struck(_FILE, "after"):
                raise OSError(5, "Input/output error")
            self.on_pause()

        with mock.patch.object(os, "replace", replaced):
            yield
