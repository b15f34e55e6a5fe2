"""Checking a JSON API without writing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.errors import SlotError
from pme_airflow.targets.http_setup import check_api
from pme_airflow.targets.web import WebRefusal

ITEMS = [{"model_id": f"Model{number:06d}", "audience": "intranet"} for number in range(7)]


def checked(
    *errors: Exception | None, items: list[dict[str, str]] = ITEMS, creates: bool = False
) -> tuple[CheckResult, int]:
    """The result, and how many entries were read; the first ones fail with these errors."""
    asked: list[Mapping[str, Any]] = []

    def read(item: Mapping[str, Any]) -> None:
        asked.append(item)
        if len(asked) <= len(errors) and (error := errors[len(asked) - 1]) is not None:
            raise error

    (result,) = check_api("the CMS", read, items, creates)
    assert asked == items[: len(asked)]
    return result, len(asked)


def test_five_entries_are_read_and_found_good() -> None:
    result, asked = checked()
    assert (result.verdict, result.finding, asked) == (
        Verdict.GOOD, "the CMS answers, and the account may read the entries.", 5,
    )  # fmt: skip


@pytest.mark.parametrize("status", [404, 410])
def test_entries_that_do_not_exist_are_named_unless_they_are_made(status: int) -> None:
    gone = WebRefusal("HTTP", status)
    result, asked = checked(gone, None, gone)
    assert (result.verdict, asked) == (Verdict.BAD, 5)
    assert result.finding == "the CMS has no entry for Model000000, Model000002."
    assert result.cure == "Create the entries first, or correct endpoint and read_endpoint."
    assert checked(gone, creates=True)[0].verdict is Verdict.GOOD


def test_a_refusal_or_a_dead_host_ends_the_check_with_its_cure() -> None:
    result, asked = checked(WebRefusal("HTTP 403: grant the account the right", 403))
    assert (result.verdict, asked, "is running" in result.cure) == (Verdict.BAD, 1, False)
    for error in (WebRefusal("HTTP 503", 503, passing=True), SlotError("nobody answers")):
        result, asked = checked(None, error)
        assert (result.verdict, asked) == (Verdict.BAD, 2)
        assert result.cure == "Check that the host of the connection is right, and that it is running."


def test_what_is_never_read_is_doubtful_and_says_what_is_missing() -> None:
    (result,) = check_api("the CMS", None, ITEMS, creates=True, reading="expected_answer")
    assert (result.verdict, result.cure) == (Verdict.WARNING, "Name what readers get the link from in expected_answer.")
    result, asked = checked(items=[])
    assert (result.verdict, result.cure, asked) == (Verdict.WARNING, "Name models in the placement.", 0)
