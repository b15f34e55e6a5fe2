"""The YAML of placements is read in bounded time."""

from __future__ import annotations

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.placements.yaml_text import MAX_ENTRIES, read_yaml


def test_a_file_of_more_entries_than_anybody_writes_is_not_read() -> None:
    assert len(read_yaml("[" + "a," * MAX_ENTRIES + "]", "x")) == MAX_ENTRIES
    for text in ("[" + "a," * (MAX_ENTRIES + 1) + "]", "- a\n" * (MAX_ENTRIES + 1)):
        with pytest.raises(PMEInputError, match=r"over 100000 lines and commas.*query"):
            read_yaml(text, "x")


def test_what_is_no_yaml_is_named_with_its_line() -> None:
    with pytest.raises(PMEInputError, match=r"placements: x is no YAML at line 2"):
        read_yaml("a: 1\n]", "x")
