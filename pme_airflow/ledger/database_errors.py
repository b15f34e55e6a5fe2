"""Explains in words why a database failed, without a statement, a value or a password."""

from __future__ import annotations

import re

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from pme_airflow.errors import LedgerConflictError, LedgerError, LedgerUnavailableError
from pme_airflow.ledger.engines import BUSY_SECONDS
from pme_airflow.printable import plain_names

__all__ = ["in_words"]

#: What writers do to one another: serialization failures, deadlocks and lock timeouts. SQLSTATE on PostgreSQL, error
#: numbers on MySQL and MariaDB (1020: a row changed under a snapshot).
_CONFLICTS = frozenset({"40001", "40P01", "55P03", "1213", "1205", "1020"})
_CURES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"53100", "1021", "1114"}), "its disk is full: make room"),
    (
        frozenset({"25006", "42501", "1142", "1143", "1290", "1792", "1836"}),
        "it cannot be written: check the rights of the ledger's user, and that the server is no read-only copy",
    ),
    (
        frozenset({"53300", "1040", "1203"}),
        "it takes no more connections: allow it more, or put a pooler in front of it",
    ),
    (
        frozenset({"57014", "25P03", "1969", "3024"}),
        "its time limit for a statement or a transaction was reached: raise it for the ledger's user",
    ),
    (
        frozenset({"28000", "28P01", "3D000", "1044", "1045", "1049", "1698"}),
        "it refused the login, or has no such database: check the connection that ledger_conn_id names",
    ),
)
_CURES_BY_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile("is full|no space"), "its disk is full: make room"),
    (re.compile("readonly|read-only|unable to open|permission"), "it cannot be opened or written: check the rights"),
    (re.compile("locked"), f"another process held it for over {BUSY_SECONDS} s: try again"),
    (
        re.compile("too many (clients|connections)|no more connections|remaining connection slots"),
        "it takes no more connections: allow it more, or put a pooler in front of it",
    ),
    (
        re.compile('authentication failed|no password|database "[^"]*" does not exist|role "[^"]*" does not exist'),
        "it refused the login, or has no such database: check the connection that ledger_conn_id names",
    ),
    (
        re.compile("statement pooling"),
        "its pooler hands out single statements: set its pool_mode to transaction or session",
    ),
)
#: Errors that end a connection, or refuse one.
_CONNECTION_CODE = re.compile(r"08|57P0[123]|20\d\d$|1053$|1152$|1153$|1158$|1159$|1160$|1161$|1927$")
#: No code, or the one that PgBouncer gives to whatever is wrong.
_SAYS_NOTHING = ("", "08P01")
_AWAY = ("InterfaceError", "InternalError", "AdminShutdown")
#: What SQLite calls a file that it did not write, or not wholly.
_DAMAGED = re.compile("file is not a database|disk image is malformed")
_OPTION = re.compile(r'invalid (?:URI query parameter|connection option|connection parameter)[^"]*"([\w.-]{1,60})"')


def in_words(error: SQLAlchemyError, engine: Engine) -> LedgerError | LedgerUnavailableError:
    """Return an error of the ledger for one of SQLAlchemy's.

    :return: a :class:`.LedgerConflictError` where another attempt of the whole transaction may succeed at once; a
        :class:`.LedgerUnavailableError` where a later one may; else a :class:`.LedgerError`.
    """
    if not isinstance(error, DBAPIError):
        return LedgerError(f"The ledger's database cannot be used ({type(error).__name__}).")
    place = engine.url.render_as_string(hide_password=True).split("?")[0]
    code, text = _code(error), str(error.orig).lower()
    if code in _CONFLICTS:
        return LedgerConflictError(
            f"The ledger at {place}: other writers came in the way each time (error {code}). Try again; what was not "
            "committed was not done."
        )
    option = _OPTION.search(str(error.orig))
    if option is not None:
        return LedgerError(
            f"ledger_conn_id: the extra {plain_names([option[1]])} is no option of the database's driver. Remove it."
        )
    if _DAMAGED.search(text):
        return LedgerError(
            f"The ledger at {place}: it is damaged, or no database: restore it from a backup, or correct "
            "ledger_conn_id."
        )
    cure = _cure_by_text(text) if code in _SAYS_NOTHING else _cure_by_code(code)
    if cure is None and not _may_pass(error):
        kind = type(error.orig).__name__
        return LedgerError(f"The ledger's database refused a statement ({kind}). Nothing was changed.")
    return LedgerUnavailableError(
        f"The ledger at {place}: {cure or _unknown(code)}. What was not committed was not done."
    )


def _code(error: DBAPIError) -> str:
    """Return MySQL's error number, or the SQLSTATE of PostgreSQL; empty if there is none.

    PyMySQL 2 has a SQLSTATE as well, which is HY000 for a lock timeout and for a full disk alike.
    """
    original = error.orig
    number = original.args[0] if original is not None and original.args else None
    if isinstance(number, int):
        return str(number)
    return str(getattr(original, "sqlstate", None) or getattr(original, "pgcode", None) or "")


def _cure_by_code(code: str) -> str | None:
    return next((cure for codes, cure in _CURES if code in codes), None)


def _cure_by_text(text: str) -> str | None:
    """Return the cure for an error without a code: SQLite's, PgBouncer's, and PostgreSQL's while connecting."""
    return next((cure for pattern, cure in _CURES_BY_TEXT if pattern.search(text)), None)


def _unknown(code: str) -> str:
    """Return the message of a temporary error: a lost connection, unless the server gave another reason."""
    if code and not _CONNECTION_CODE.match(code):
        return f"it failed with error {code}: look into the database server's log"
    return "it cannot be reached or went away: check that it runs and that ledger_conn_id names it"


def _may_pass(error: DBAPIError) -> bool:
    return isinstance(error, OperationalError) or error.connection_invalidated or type(error.orig).__name__ in _AWAY
