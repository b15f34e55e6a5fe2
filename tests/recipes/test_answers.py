"""Values of an answer by their path, and what is kept of them."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.recipes.answers import MISSING, Expectation, Keep, find, kept_values, read_path, size_of

BODY: dict[str, Any] = {"sys": {"version": 3}, "data": [{"id": "a"}], "pages": {"7": {"rev": 1}}, "null": None}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("sys.version", 3), ("data.0.id", "a"), ("pages.7.rev", 1), ("null", None), ("sys.x", MISSING), ("data.1.id", MISSING),
     ("data.id", MISSING), ("null.x", MISSING), ("sys.version.x", MISSING), ("data.99999999999999999999", MISSING)],
)  # fmt: skip
def test_a_path_leads_through_mappings_and_lists(path: str, expected: Any) -> None:
    assert find(BODY, read_path(path)) is expected or find(BODY, read_path(path)) == expected


def test_kept_values_stand_under_their_names() -> None:
    keep = (
        Keep(("sys", "version"), ("sys", "version")),
        Keep(("data", 0, "id"), ("data", 0, "id")),
        Keep(("e",), header="ETag"),
    )
    kept = kept_values(keep, BODY, {"ETag": '"x"'}, refused=False)
    assert kept == {"sys": {"version": 3}, "data": {0: {"id": "a"}}, "e": '"x"'}
    assert BODY["sys"] == {"version": 3}


def test_a_value_that_is_not_there_is_its_default_or_an_error() -> None:
    assert kept_values((Keep(("a",), ("x",), default=None),), BODY, {}, refused=False) == {"a": None}
    for keep, named in ((Keep(("a",), ("x", "y")), "x.y"), (Keep(("a",), header="ETag"), "header ETag")):
        with pytest.raises(SlotError, match=f"the answer has no {named}, which keep names"):
            kept_values((keep,), BODY, {}, refused=False)


def test_nothing_is_kept_of_a_refusal() -> None:
    """Servers send an ``ETag`` with their error pages too."""
    keep = (Keep(("etag",), header="ETag", default=""), Keep(("v",), ("sys", "version"), default=0))
    assert kept_values(keep, BODY, {"ETag": '"x"'}, refused=True) == {"etag": "", "v": 0}


@pytest.mark.parametrize(
    ("values", "met"), [((3,), True), ((4, 3), True), (("3",), False), ((3.0,), False), ((), False)]
)
def test_an_expectation_compares_type_and_value(values: tuple[Any, ...], met: bool) -> None:
    assert Expectation(("sys", "version"), values).met_by(BODY) is met


def test_true_is_not_one() -> None:
    assert not Expectation(("ok",), (True,)).met_by({"ok": 1})


def test_size_counts_texts_and_stops_above_its_limit() -> None:
    assert size_of({"ab": ["cde", 1]}) == 8 + 2 + 8 + 3 + 8
    endless: list[Any] = []
    endless.append(endless)
    assert size_of(endless, 1000) > 1000
