"""The package keeps its rules of size, imports, words and mirrored tests."""

from __future__ import annotations

import pytest

from pme_airflow.dev.playground.home import ROOT
from tests.support.house import LONG_FUNCTION_LINES, MEDIAN_FUNCTION_LINES, MIRRORED, House


@pytest.fixture(scope="module")
def house() -> House:
    return House(ROOT)


def test_no_module_is_too_large(house: House) -> None:
    assert not house.large_modules()


def test_functions_are_short(house: House) -> None:
    median, long = house.function_sizes()
    assert median <= MEDIAN_FUNCTION_LINES
    assert long <= LONG_FUNCTION_LINES


def test_no_module_imports_itself_by_way_of_others(house: House) -> None:
    assert not house.circles()


def test_names_are_the_fields_own(house: House) -> None:
    assert not house.private_names()


def test_comments_and_messages_are_in_the_fields_own_words(house: House) -> None:
    assert not house.private_prose()


def test_modules_with_logic_have_a_test_file_of_their_own(house: House) -> None:
    missing, logic = house.without_tests()
    assert logic > 50
    assert len(missing) <= (1 - MIRRORED) * logic, missing
