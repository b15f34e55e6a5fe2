from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pme_airflow.durations import Validity, parse_duration
from pme_airflow.errors import PMEInputError


@pytest.mark.parametrize(
    ("form", "seconds"),
    [
        ("24h", 86400),
        ("5m", 300),
        ("30s", 30),
        ("1d", 86400),
        ("PT10M", 600),
        ("P1D", 86400),
        ("PT1H30M5S", 5405),
        (timedelta(hours=2), 7200),
        (" 10m ", 600),
    ],
)
def test_every_documented_form_is_read(form: str | timedelta, seconds: int) -> None:
    assert Validity.parse(form).seconds == seconds


@pytest.mark.parametrize(
    "form",
    ["0s", "-5m", "25h", "86401s", "P2D", "PT0S", "5w", "5 m", "5", "", "P", "PT", "h", "٥m", "1.5h", "PT24H1S",
     timedelta(0), timedelta(seconds=-1), timedelta(microseconds=5), timedelta(hours=24, seconds=1), 600, None, True],
)  # fmt: skip
def test_what_is_no_validity_is_refused_by_name(form: object) -> None:
    with pytest.raises(PMEInputError, match="valid_for"):
        Validity.parse(form)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["36526d", "999999999d", "2000000d", timedelta.max, "P36526D"])
def test_more_than_a_hundred_years_are_refused_by_name(form: object) -> None:
    with pytest.raises(PMEInputError, match=r"older-than: is over 100 years"):
        parse_duration(form, "older-than")
    assert parse_duration("36525d") == timedelta(days=36_525)


def test_a_long_text_is_not_repeated_in_the_error() -> None:
    with pytest.raises(PMEInputError) as caught:
        Validity.parse("secret" * 20)
    assert "secret" not in str(caught.value)


@given(st.integers(1, 86400))
def test_the_shortest_exact_form_is_read_back(seconds: int) -> None:
    validity = Validity(seconds)
    assert Validity.parse(str(validity)) == validity
    assert len(str(validity)) <= len(f"{seconds}s")


def test_whole_hours_are_written_as_hours() -> None:
    assert [str(Validity(s)) for s in (86400, 5400, 3661)] == ["24h", "90m", "3661s"]
