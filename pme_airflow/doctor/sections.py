"""Running the parts of an examination: each within a deadline, and none at the cost of the others."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pme_airflow.checks import CheckResult
from pme_airflow.doctor.report import Entry, Report
from pme_airflow.errors import PMEError

__all__ = ["Section", "examine"]

#: How long one part may take. A database that hangs is named instead of waited for.
SECTION_SECONDS = 30.0


@dataclass(frozen=True)
class Section:
    """One part of an examination.

    :param name: what is examined, such as ``ledger``.
    :param check: yields results; an error of this package that it raises is a bad result.
    :param seconds: how long it may take; ``None`` for what has deadlines of its own, and has to put something back
        when it is interrupted.
    """

    name: str
    check: Callable[[], Iterable[CheckResult] | None]
    seconds: float | None = SECTION_SECONDS


def examine(sections: Sequence[Section]) -> Report:
    """Run sections one after another, and return what they found."""
    entries = [Entry(section.name, result) for section in sections for result in _results_of(section)]
    return Report(tuple(entries))


def _results_of(section: Section) -> list[CheckResult]:
    """Run a section, in a thread of its own if it has a deadline; what it found before that is kept."""
    found: list[CheckResult] = []
    if section.seconds is None:
        _collect(section, found)
        return found
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(_collect, section, found), daemon=True)
    thread.start()
    thread.join(section.seconds)
    results = list(found)
    if thread.is_alive():
        finding = f"There was no answer within {section.seconds:g} s."
        cure = "Check that the place is running and can be reached from this machine; a firewall may drop the packets."
        results.append(CheckResult.bad("time", finding, cure))
    return results


def _collect(section: Section, found: list[CheckResult]) -> None:
    try:
        for result in section.check() or ():
            found.append(result)
    except PMEError as error:
        found.append(CheckResult.of_error("set-up", error))
    except Exception as error:  # noqa: BLE001 - a provider's library may raise anything, with a secret in its text
        cure = "Check the connection that is named; run the command with --verbose, and report it if it is a defect."
        found.append(CheckResult.bad("set-up", f"The check failed with {type(error).__name__}.", cure))
