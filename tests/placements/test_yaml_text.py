"""The YAML of placements is read in bounded time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.placements import connections
from pme_airflow.placements.yaml_text import MAX_ENTRIES, read_yaml


def test_a_file_of_more_entries_than_anybody_writes_is_not_read() -> None:
    assert len(read_yaml("[" + "a," * MAX_ENTRIES + "]", "x")) == MAX_ENTRIES
    for text in ("[" + "a," * (MAX_ENTRIES + 1) + "]", "- a\n" * (MAX_ENTRIES + 1)):
        with pytest.raises(PMEInputError, match=r"over 100000 lines and commas.*query"):
            read_yaml(text, "x")


def test_what_is_no_yaml_is_named_with_its_line() -> None:
    with pytest.raises(PMEInputError, match=r"placements: x is no YAML at line 2"):
        read_yaml("a: 1\n]", "x")


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("audience: a\ntargets: []\n# more\ntargets: [x]", "targets", "2 and 4"),
        ("- a: 1\n- b:\n    - pages: {x: 1,\n        'x': 2}", "x", "3 and 4"),
        ("a: {1: x, '1': y}", "1", "1 and 1"),
        ("? [a]\n: 1\nb: 1\nb: 2", "b", "3 and 4"),
        ("base: &base {a: 1}\nb:\n  a: 1\n  <<: *base\n  a: 2", "a", "3 and 5"),
        ("x" * 100 + ": 1\n" + "x" * 100 + ": 2", "x" * 80, "1 and 2"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_lines(text: str, key: str, lines: str) -> None:
    with pytest.raises(PMEInputError) as failure:
        read_yaml(text, "x")
    assert str(failure.value) == (
        f"placements: x: the key {key} stands twice in one mapping, in lines {lines}. Keep one of them."
    )


def test_a_key_of_a_merge_may_be_given_again() -> None:
    text = "base: &base {a: 1, b: 1}\nmore: &more {<<: *base, c: 2}\nused: {<<: [*more, *base], a: 3}"
    assert read_yaml(text, "x")["used"] == {"a": 3, "b": 1, "c": 2}


def test_a_list_that_holds_itself_is_read() -> None:
    value = read_yaml("a: &a [*a]", "x")
    assert value["a"][0] is value["a"]


def test_an_empty_text_is_nothing() -> None:
    assert read_yaml("", "x") is None


def test_the_last_of_a_keys_values_counts_where_that_is_asked_for() -> None:
    assert read_yaml("a: 1\na: 2", "x", unique_keys=False) == {"a": 2}


def test_a_token_that_is_a_key_is_not_repeated() -> None:
    secret = "Bearer " + "x1Y2" * 12
    with pytest.raises(PMEInputError) as failure:
        read_yaml(f"'{secret}': 1\n'{secret}': 2", "x")
    assert secret[7:] not in str(failure.value)


def test_the_sweep_finds_the_connections_of_a_file_with_a_key_twice(tmp_path: Path) -> None:
    (tmp_path / "placements.yaml").write_text("- {audience: a, pme_conn_id: x, models: [], models: []}")
    assert connections(tmp_path / "dag.py") == ["x"]
