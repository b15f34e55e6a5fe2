"""A section that hangs or fails costs itself alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pme_airflow.doctor import CheckResult, Section, Verdict, examine
from pme_airflow.errors import LedgerError

GOOD = CheckResult.good("first", "It works.")


def failing(error: BaseException) -> Iterator[CheckResult]:
    yield GOOD
    raise error


def test_section_that_fails_keeps_what_it_found_and_the_next_one_runs() -> None:
    sections = [
        Section("ours", lambda: failing(LedgerError("The ledger is full. Make room."))),
        Section("other", lambda: failing(KeyError("a secret"))),
        Section("good", lambda: [GOOD]),
        Section("nothing", lambda: None),
    ]
    found = examine(sections).entries
    assert [entry.section for entry in found] == ["ours", "ours", "other", "other", "good"]
    assert found[1].result == CheckResult.bad("set-up", "The ledger is full.", "Make room.")
    assert "KeyError" in found[3].result.finding
    assert "a secret" not in str(found)


def test_section_that_hangs_is_named_and_not_waited_for() -> None:
    released = threading.Event()

    def hanging() -> Iterator[CheckResult]:
        yield GOOD
        released.wait()

    found = examine([Section("hangs", hanging, seconds=0.1), Section("next", lambda: [GOOD])]).entries
    released.set()
    assert [entry.result.verdict for entry in found] == [Verdict.GOOD, Verdict.BAD, Verdict.GOOD]
    assert "no answer within 0.1 s" in found[1].result.finding


def test_section_without_a_deadline_is_interrupted_as_it_runs() -> None:
    with pytest.raises(KeyboardInterrupt):
        examine([Section("trial", lambda: failing(KeyboardInterrupt()), seconds=None)])
