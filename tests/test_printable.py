"""Text from outside forges no line on a terminal or in a log, and is no formula in a spreadsheet."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pme_airflow.printable import MAX_PRINTED_CHARACTERS, csv_cell, plain_names, printable, shape_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, ünïcode 😀", "plain text, ünïcode 😀"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m", "\\x9b31m"),
        ("tab\there", "tab\\there"),
        ("a\u2028b\u2029c\x85d\x0be", "a\\u2028b\\u2029c\\x85d\\x0be"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("\u2066\u2067\u061c\u200f", "\\u2066\\u2067\\u061c\\u200f"),
        ("\udc80 from a file name", "\\udc80 from a file name"),
        ("\0\x7f", "\\x00\\x7f"),
        ("\U000e0041", "\\U000e0041"),
        ("👨‍👩‍👧 family\u00a0name", "👨‍👩‍👧 family\u00a0name"),
        ("[/nope] [bold]", "[/nope] [bold]"),
    ],
)
def test_text_is_one_line_without_controls(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_a_long_text_is_cut_to_the_limit_and_says_so() -> None:
    assert printable("x" * MAX_PRINTED_CHARACTERS) == "x" * MAX_PRINTED_CHARACTERS
    assert printable("x" * (MAX_PRINTED_CHARACTERS + 1)) == "x" * (MAX_PRINTED_CHARACTERS - 1) + "…"
    assert printable("abcdef", 3) == "ab…"
    assert printable("x" * 5000, None) == "x" * 5000


def test_what_is_no_text_is_printed_by_its_text_form() -> None:
    assert printable(ValueError("a\nb")) == "a\\nb"


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=60))
def test_no_text_leaves_a_control_character_or_a_second_line(text: str) -> None:
    shown = printable(text, None)
    assert len(f"{shown}|".splitlines()) == 1
    assert {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert {character for character in shown if unicodedata.category(character) == "Cf"} <= {"\u200c", "\u200d"}
    shown.encode()


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "-", "+"])
def test_a_formula_is_disarmed_in_a_csv_cell(text: str) -> None:
    cell = csv_cell(text)
    assert isinstance(cell, str)
    assert cell.startswith("'")
    assert cell[1:] == printable(text)


@pytest.mark.parametrize("value", ["plain", "-12", "+3.5", "", "a=b", None, 7])
def test_other_cells_are_left_as_they_are(value: object) -> None:
    assert csv_cell(value) == value


def test_a_line_break_in_a_csv_cell_is_escaped() -> None:
    assert csv_cell("a\nb\x1b") == "a\\nb\\x1b"


@pytest.mark.parametrize(
    ("names", "shown"),
    [(["timeout", "ssl_mode"], "timeout, ssl_mode"), (["k3f9s8d7q2m4x6z1b5n0c8v7y"], "a name that is not shown here"),
     (["a b", "x\n", "good", ""], "good"), (["a" * 41], "a name that is not shown here")],
)  # fmt: skip
def test_names_that_are_no_plain_words_are_not_shown(names: list[str], shown: str) -> None:
    assert plain_names(names) == shown


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u3000", " \t"])
def test_a_formula_behind_spaces_is_disarmed_too(space: str) -> None:
    assert str(csv_cell(f"{space}=1+1")).startswith("'")
    assert csv_cell(f"{space}text") == printable(f"{space}text", None)


@pytest.mark.parametrize(
    ("value", "shape"),
    [("a secret", "8 characters of text"), (1.5, "1.5"), (10**20, "a number that is too large"), (None, "nothing"),
     ({"a": 1}, "an object"), ([1], "a list"), (True, "true or false"), ((), "a tuple")],
)  # fmt: skip
def test_the_shape_of_a_value_has_nothing_of_its_text(value: object, shape: str) -> None:
    assert shape_of(value) == shape
