"""Results and messages can be neither forged nor broken by text from outside."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from typing import Any

import pytest

from pme_airflow.cli import output

HOSTILE = "\x1b[31mred\nINFO forged [/nope] \u202e\udc80"


def test_a_table_folds_no_id_and_escapes_what_could_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": "x" * 200, "name": HOSTILE, "none": None}, {"id": "y", "name": "ünïcode 東京", "none": ""}]
    output.print_table(("id", "name", "none"), rows, empty="No rows.")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["id", "name"]
    assert lines[1].split("  ")[0] == "x" * 200
    assert r"\x1b[31mred\nINFO forged [/nope] \u202e\udc80" in lines[1]
    assert len(lines) == 3


def test_the_columns_of_a_table_are_aligned_by_the_width_of_their_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_table(("name", "id"), [{"name": "東京", "id": "a"}, {"name": "x", "id": "b"}], empty="")
    header, wide, narrow = capsys.readouterr().out.splitlines()
    assert (header, wide, narrow) == ("name  id", "東京  a", "x     b")


def test_an_empty_table_is_reported_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("id",), iter(()), empty="No links.")
    assert capsys.readouterr().out == "No links.\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (False, ""),
        (True, "yes"),
        (0, "0"),
        (1.26, "1.3"),
        ("2026-11-26T15:52:29.123456Z", "2026-11-26 21:22:29+05:30"),
        ("2026-11-26T15:52:29+01:00", "2026-11-26 20:22:29+05:30"),
        ("2026-11-26T15:52:29", "2026-11-26T15:52:29"),
        ("at 2026-11-26T15:52:29Z", "at 2026-11-26T15:52:29Z"),
    ],
)
def test_values_of_a_table_are_short_and_times_are_the_readers(
    value: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        shown = output.text_of(value)
    time.tzset()
    assert shown == text


def test_json_stays_valid_and_is_written_row_by_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": HOSTILE, "list": [HOSTILE], "n": 1.5}, {"name": None}]
    output.print_json_list(rows)
    printed = capsys.readouterr().out
    assert json.loads(printed)[0]["list"] == [HOSTILE.replace("\udc80", "\ufffd")]
    assert printed.encode("ascii")
    output.print_json_list([])
    assert capsys.readouterr().out == "[]\n"
    output.print_json({HOSTILE: HOSTILE})
    assert list(json.loads(capsys.readouterr().out)) == [HOSTILE.replace("\udc80", "\ufffd")]
    output.print_json_lines(rows)
    assert [json.loads(line).get("n") for line in capsys.readouterr().out.splitlines()] == [1.5, None]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_csv_is_a_formula(start: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.print_csv(("a", "b"), [{"a": f"{start}cmd|' /C calc'!A0", "b": HOSTILE}])
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == ["a", "b"]
    assert row[0].startswith("'")
    assert "\x1b" not in row[1]
    assert "\n" not in row[1]


def test_a_note_is_one_line_but_for_the_items_of_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_note(f"it cannot be used:\n  - a: {HOSTILE}\n  - b")
    lines = capsys.readouterr().err.splitlines()
    assert [line[:7] for line in lines] == ["it cann", "  - a: ", "  - b"]


def test_an_error_ends_with_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        output.fail("x\ny")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "pme-airflow: x\\ny\n"
    with pytest.raises(SystemExit) as ended:
        output.fail("x", 1)
    assert ended.value.code == 1


def test_only_results_reach_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with output.result_alone_on_stdout():
        print("a library prints")
        output.print_line("the result")
    output.print_line("another")
    printed = capsys.readouterr()
    assert printed.out == "the result\nanother\n"
    assert printed.err == "a library prints\n"


def test_a_file_takes_the_results_while_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    file = io.StringIO()
    with output.writing_to(file):
        output.print_line("to the file")
    with output.writing_to(None):
        output.print_line("to standard output")
    assert file.getvalue() == "to the file\n"
    assert capsys.readouterr().out == "to standard output\n"


class _Failing(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, _: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(BrokenPipeError(), 141, "went away"), (OSError(28, "No space left on device"), 1, "No space left on device")],
)
def test_output_that_fails_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch, error: OSError, status: int, message: str
) -> None:
    monkeypatch.setattr(sys, "stdout", _Failing(error))
    for action in (lambda: output.print_line("x"), output.flush):
        with pytest.raises(output.OutputClosedError, match=message) as caught:
            action()
        assert caught.value.exit_status == status
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(output.OutputClosedError, match="is closed"):
        output.print_line("x")
    output.flush()


def test_a_closed_standard_error_stops_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (None, _Failing(OSError(32, "x"))):
        monkeypatch.setattr(sys, "stderr", stream)
        output.print_note("x")


@pytest.mark.parametrize("text", ["2026-13-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_shown_is_left_as_it_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for zone in ("Asia/Tokyo", "America/New_York"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert output.text_of(text)[:4] in (text[:4], "0000", "10000")
    finally:
        monkeypatch.undo()
        time.tzset()
