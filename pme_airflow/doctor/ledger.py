"""Checking the ledger: whether it can be reached and written, its version, how long a transaction takes, its clock."""

from __future__ import annotations

from collections.abc import Iterator

from pme_airflow.checks import CheckResult
from pme_airflow.clock import Clock
from pme_airflow.doctor.connection import judge_clock
from pme_airflow.errors import LedgerVersionError, PMEError
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.inspection import LedgerTrial, check_creatable, try_writing
from pme_airflow.ledger.tables import HEAD_REVISION

__all__ = ["check_ledger"]

#: A transaction takes some milliseconds; one of this length makes a run of 1,000 models minutes longer.
_SLOW_SECONDS = 0.5
_ISOLATION = ("read committed", "serializable")


def check_ledger(database: Database, clock: Clock) -> Iterator[CheckResult]:
    """Check the ledger; leave nothing changed in it."""
    place = database.engine.url.render_as_string(hide_password=True).split("?")[0]
    try:
        found = database.revision()
    except PMEError as error:
        yield CheckResult.of_error("reach", error)
        return
    yield CheckResult.good("reach", f"The ledger's database {place} answers.")
    if found is None:
        yield from _check_missing(database)
        return
    if found != HEAD_REVISION:
        yield _version_problem(database, found)
        return
    yield CheckResult.good("version", f"The tables are of this package's version, {found}.")
    try:
        trial = try_writing(database)
    except PMEError as error:
        yield CheckResult.of_error("write", error)
        return
    yield from _judged(trial)
    yield judge_clock("clock", "this machine", trial.now - clock.now(), "the ledger")


def _check_missing(database: Database) -> Iterator[CheckResult]:
    try:
        check_creatable(database)
    except PMEError as error:
        yield CheckResult.of_error("write", error)
        return
    yield CheckResult.good("version", "There are no tables yet: the first mint makes them, and it may.")


def _version_problem(database: Database, found: str) -> CheckResult:
    try:
        database.check()
    except LedgerVersionError as error:
        return CheckResult.of_error("version", error)
    return CheckResult.bad("version", f"The tables are of version {found}.", "Run `pme-airflow ledger migrate`.")


def _judged(trial: LedgerTrial) -> Iterator[CheckResult]:
    took = f"a transaction takes {trial.seconds * 1000:.0f} ms"
    if trial.seconds > _SLOW_SECONDS:
        cure = "Put the ledger nearer to the workers, or on faster storage."
        yield CheckResult.warning("write", f"The ledger can be written, but {took}.", cure)
    else:
        yield CheckResult.good("write", f"The ledger can be written; {took}.")
    if trial.isolation not in _ISOLATION:
        cure = "Leave the isolation to the package: take options that set it out of the connection."
        yield CheckResult.bad("isolation", f"Transactions are {trial.isolation}, not read committed.", cure)
    else:
        pooler = "; a pooler stands in between" if trial.pooled else ""
        yield CheckResult.good("isolation", f"Transactions are {trial.isolation}{pooler}.")
