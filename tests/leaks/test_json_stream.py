"""JSON documents and the text between them are read part by part, whatever their size and however broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pme_airflow.leaks import json_stream
from pme_airflow.leaks.json_stream import Broken, Element, EmptyDocuments, End, Text, read_events

BIG = "lorem ipsum " * 120_000


def elements(raw: bytes | str) -> list[Any]:
    raw = raw.encode() if isinstance(raw, str) else raw
    return [event.value for event in read_events(raw) if isinstance(event, Element)]


def texts(raw: str) -> str:
    return "".join(event.text for event in read_events(raw.encode()) if isinstance(event, Text))


def broken(raw: bytes | str) -> list[Broken]:
    raw = raw.encode() if isinstance(raw, str) else raw
    return [event for event in read_events(raw) if isinstance(event, Broken)]


def ends(raw: str) -> Iterator[End]:
    return (event for event in read_events(raw.encode()) if isinstance(event, End))


@pytest.mark.parametrize("separator", ["", "\n", " \r\n\t", "\ufeff"])
def test_documents_in_one_file_are_all_read(separator: str) -> None:
    assert elements(separator.join(['[{"a": 1}]', '[{"a": 2}, "x"]', "[[3], []]"])) == [{"a": 1}, {"a": 2}, "x", 3]


def test_an_object_ends_with_its_fields_and_the_names_of_those_that_were_entered() -> None:
    (end,) = (end for end in ends('{"version": "2.1", "runs": [], "n": NaN, "m": 1.5}') if not end.is_list)
    assert end.path == ()
    assert end.values.keys() == {"version", "n", "m"}
    assert end.entered == {"runs"}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ('[{"x": 1}]', ("*",)),
        ('[[{"x": 1}]]', ("*", "*")),
        ('{"findings": [{"x": 1}]}', ("findings", "*")),
        ('{"vulnerabilities": [{"x": 1}]}', ("vulnerabilities", "*")),
        ('{"runs": [{"tool": {}, "results": [{"x": 1}]}]}', ("runs", "*", "results", "*")),
        ('{"plugins_used": [1], "results": {"a.py": [{"x": 1}]}}', ("results", "*", "*")),
    ],
)
def test_each_list_of_findings_is_read_element_by_element(document: str, path: tuple[str, ...]) -> None:
    assert [event for event in read_events(document.encode()) if isinstance(event, Element)] == [
        Element(path, {"x": 1})
    ]


@pytest.mark.parametrize("size", [1, 30, 1000, json_stream._STEP_BYTES - 30, json_stream._STEP_BYTES])
def test_elements_across_the_steps_of_reading_are_whole(size: int) -> None:
    filler = {"f": "x" * size}
    values = [filler, {"n": 12345678901234567890, "u": "ünï😀"}, filler, {"last": True}]
    assert elements(json.dumps(values, ensure_ascii=False)) == values


@pytest.mark.parametrize("number", [{"n": 1234567890}, 1234567890])
def test_numbers_across_the_steps_of_reading_are_whole(number: Any) -> None:
    values = [{}, *[number] * 200_000]
    assert elements(json.dumps(values)) == values


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_of_unicode_is_read(encoding: str) -> None:
    assert elements('[{"a": "ü"}]'.encode(encoding)) == [{"a": "ü"}]


def test_a_string_behind_a_megabyte_and_a_deep_value_are_read() -> None:
    deep: Any = "deep"
    for _ in range(300):
        deep = {"d": [deep]}
    assert elements(json.dumps([{"a": BIG + "end"}, deep])) == [{"a": BIG + "end"}, deep]


def test_a_key_that_is_repeated_keeps_all_its_values() -> None:
    assert elements('[{"Secret": "a", "Secret": "b", "x": 1}]') == [{"Secret": ["a", "b"], "x": 1}]
    assert [end.values for end in ends('{"Raw": "a", "Raw": "b"}')] == [{"Raw": ["a", "b"]}]


def test_text_between_documents_is_kept() -> None:
    raw = 'TruffleHog 🐷\n[INFO] x\n{"a": 1}\nlog {"b": 2} line\n\n  {"c": 3}\ntail'
    assert texts(raw).split("\n") == ["TruffleHog 🐷", "[INFO] x", 'log {"b": 2} line', "", "  tail"]
    assert [end.values for end in ends(raw)] == [{"a": 1}, {"c": 3}]


def test_long_text_comes_in_whole_lines_a_part_at_a_time() -> None:
    step, line = json_stream._STEP_BYTES, "y" * 10_000
    raw = f"{'x' * (step - 3000)}\n{line}\n" + f"{'z' * 999}\n" * (4 * step // 1000)
    parts = [event.text for event in read_events(raw.encode()) if isinstance(event, Text)]
    assert "".join(parts).split() == raw.split()
    assert any(line in part for part in parts)
    assert max(map(len, parts)) < 2 * step


def test_a_log_line_in_brackets_is_text() -> None:
    raw = '[2026-01-01 00:00:00] start\n[1, 2] done\n[{"a": 1}]\n'
    assert "start" in texts(raw)
    assert elements(raw) == [{"a": 1}]
    assert broken(raw) == []


def test_a_list_of_numbers_is_read_as_json() -> None:
    assert elements("[1, 2.5, null]") == [1, 2.5, None]


def test_terminal_sequences_before_json_are_skipped() -> None:
    raw = '\x1b]11;?\x1b\\\x1b[6n{"a": 1}\n\x1b[31m\ufeff[{"b": 2}]\x1b[0m'
    assert elements(raw) == [{"b": 2}]
    assert [end.values for end in ends(raw) if not end.is_list] == [{"a": 1}]


@pytest.mark.parametrize(
    ("raw", "line", "reason"),
    [
        ('[{"a": 1},\n{"a": ', 2, "broken or cut off"),
        ('[{"a": 1}\n{"a": 2}]', 2, "broken or cut off"),
        ('{"a": 1\n"b": 2}', 2, "broken or cut off"),
        ('{"a" 1}', 1, "broken or cut off"),
        ('{"a": 1, 2: 3}', 1, "broken or cut off"),
        ('[{"a": tru}]', 1, "broken or cut off"),
        ('[{"a": "x', 1, "broken or cut off"),
        ("\n\n" + '[{"a":' * 3000, 3, "nested too deep"),
    ],
)
def test_a_broken_part_is_an_event_with_its_line(raw: str, line: int, reason: str) -> None:
    event = broken(raw)[0]
    assert event.line == line
    assert reason in event.reason


def test_documents_behind_a_broken_line_are_read() -> None:
    raw = '{"a": 1}\n{"a": 2, "b\n{"a": 3}\n'
    assert next(end.values for end in ends(raw) if not end.is_list) == {"a": 1}
    assert len(broken(raw)) >= 1
    raw = '[{"a": 1}]\n[{"a": ]\n[{"a": 3}]\n'
    assert elements(raw) == [{"a": 1}, {"a": 3}]
    assert texts(raw) == '{"a": ]\n'
    assert len(broken(raw)) == 1


def test_reading_ends_after_a_hundred_broken_parts() -> None:
    found = broken('{"a": ]\n' * 1000)
    assert len(found) == 101
    assert "not read further" in found[-1].reason


def test_a_finding_over_the_limit_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_FINDING_CHARACTERS", 3 << 20)
    raw = json.dumps([{"a": "x" * (4 << 20)}])
    assert "has over 3145728 characters in one finding" in broken(raw)[0].reason
    many = "{" + ",".join(f'"{number}": "{"x" * 100_000}"' for number in range(40)) + "}"
    assert "besides its findings" in broken(many)[0].reason


def test_the_fields_besides_findings_may_have_so_many_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json_stream.MAX_FINDING_CHARACTERS == 4 << 20
    monkeypatch.setattr(json_stream, "MAX_FINDING_CHARACTERS", 20)
    assert (
        broken('{"k": "' + "x" * 17 + '", "findings": [' + "1, " * 50 + "1]}") == []
    )  # the key and the value in quotes
    (event,) = broken('{"k": "' + "x" * 18 + '"}')
    assert event == Broken(1, "has over 20 characters besides its findings")
    assert "besides its findings" in broken('{"k": "' + "x" * 8 + '", "l": "' + "x" * 8 + '"}')[0].reason


@pytest.mark.parametrize(("digits", "kind"), [(99, int), (100, float)])
def test_a_long_integer_is_read_as_a_float(digits: int, kind: type) -> None:
    assert [type(value) for value in elements(f'["x", {"9" * digits}]')] == [str, kind]


def test_a_control_character_in_a_string_is_read() -> None:
    assert elements('["a\tb\nc"]') == ["a\tb\nc"]


def test_empty_documents_are_counted_together() -> None:
    assert list(read_events(b"[]{} []\n{}{}")) == [EmptyDocuments(2, 3)]


def test_a_list_of_numbers_ends_like_any_other() -> None:
    assert list(read_events(b"[1, 2]")) == [Element(("*",), 1), Element(("*",), 2), End((), is_list=True)]
    assert list(read_events(b"[1, 2")) == [Text("[1, 2")]


def test_a_key_without_a_colon_is_broken() -> None:
    assert len(broken('{"a"=1}')) == 1
    assert [end.values for end in ends('{"a":12}')] == [{"a": 12}]


def test_a_word_across_the_steps_of_reading_is_whole() -> None:
    raw = '["' + "x" * (json_stream._STEP_BYTES - 7) + '", true, null]'
    assert elements(raw)[1:] == [True, None]


def test_a_broken_word_is_not_taken_for_a_long_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_FINDING_CHARACTERS", 3000)
    assert "is broken or cut off" in broken('[{"a": tru}' + " " * 5000)[0].reason


def test_no_event_shows_what_was_read() -> None:
    for event in read_events(b'log hunter2\n[{"a": "hunter2"}]\n{"b": "hunter2"}'):
        assert "hunter2" not in repr(event)


def test_bytes_that_are_no_text_are_broken_where_they_begin() -> None:
    events = broken(b'[{"a": 1},\n' + b" " * (2 << 20) + b"\xff\xfe\xff]")
    assert "broken or cut off" in events[0].reason
    assert (events[1].line, "neither UTF-8" in events[1].reason) == (2, True)


@pytest.mark.parametrize("step", [3, 1 << 20])
def test_what_follows_a_byte_of_another_encoding_is_read(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(json_stream, "_STEP_BYTES", step)
    raw = '[{"a": "é"},\n{"a": "José"}, {"b": "'.encode("latin-1") + 'ü"}]'.encode()
    assert elements(raw) == [{"a": "\ufffd"}, {"a": "Jos\ufffd"}, {"b": "ü"}]
    assert [(event.line, event.reason[:9]) for event in broken(raw)] == [(1, "has bytes")]


@pytest.mark.parametrize("number", ["1" * 5000, "1e999", "-" + "9" * 120, "0.1", "-0", "1E-400"])
def test_every_number_is_read(number: str) -> None:
    (value,) = elements(f'[{{"n": {number}}}]')
    assert isinstance(value["n"], int | float)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), _JSON, max_size=4), min_size=1, max_size=4), st.booleans())
def test_a_list_of_objects_is_read_as_json_loads_reads_it(values: list[dict[str, Any]], plain: bool) -> None:
    assert elements(json.dumps(values, ensure_ascii=plain)) == values


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(st.sampled_from('[]{}":,x1 \n\\\x1b'), max_size=60).map(str.encode))
def test_no_bytes_are_an_error_and_all_text_is_accounted_for(raw: bytes) -> None:
    assert len(list(read_events(raw))) <= 2 * len(raw) + 2
