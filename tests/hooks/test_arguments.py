"""Arguments are read as Python holds them and as templates render them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.arguments import (
    checked_audience,
    read_bool,
    read_list,
    read_literal,
    read_mapping,
    read_models,
)
from pme_airflow.lifecycle.account_models import ModelQuery
from tests.conftest import MODELS

IDS = list(MODELS)[:3]


@pytest.mark.parametrize(
    "models",
    [IDS, tuple(IDS), iter(IDS), dict.fromkeys(IDS).keys(), ", ".join(IDS), "\n".join(IDS), f" {', '.join(IDS)}\n",
     json.dumps(IDS), str(IDS), f" {IDS} "],
    ids=["list", "tuple", "iterator", "keys", "commas", "lines", "spaces", "json", "python", "padded"],
)  # fmt: skip
def test_model_ids_are_read_in_each_form(models: object) -> None:
    assert read_models(models) == IDS


@pytest.mark.parametrize("text", ["{[]}", "{{}: 1}", "[{[]}]"])
def test_a_literal_that_python_cannot_make_is_refused_by_name(text: str) -> None:
    with pytest.raises(PMEInputError, match="models"):
        read_models(text)


def test_a_set_of_ids_is_read() -> None:
    assert set(read_models(frozenset(IDS))) == set(IDS)


@pytest.mark.parametrize("form", [dict, json.dumps, str])
def test_a_query_is_read_in_each_form(form: Any) -> None:
    assert read_models(form({"query": "Mill *"})) == ModelQuery("Mill *")


@pytest.mark.parametrize("form", [dict, json.dumps, str])
def test_a_reference_is_read_in_each_form(form: Any) -> None:
    assert read_models(form({"manifest": "sha256:x", "models": 3})) == {"manifest": "sha256:x", "models": 3}


@pytest.mark.parametrize(
    ("models", "named"),
    [
        (5, "got a int"),
        (None, "got a NoneType"),
        ({"query": ""}, '"query"'),
        ({"query": "  "}, '"query"'),
        ({"query": 5}, '"query"'),
        ({"query": "*", "other": 1}, '"query"'),
        ([], "is empty"),
        ("", "is empty"),
        (" , ", "is empty"),
        ("[not json", "is not a model id"),
        ("short", "is not a model id"),
        (["x", 5], "is not a model id"),
    ],
)
def test_other_models_are_refused(models: object, named: str) -> None:
    with pytest.raises(PMEInputError, match=f"^models: .*{named}"):
        read_models(models)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, []),
        ("", []),
        ("None", []),
        ("[]", []),
        ("one", ["one"]),
        ("one, two", ["one, two"]),
        ('["one", "two"]', ["one", "two"]),
        (" ['one', 'two']", ["one", "two"]),
        ("[broken", ["[broken"]),
        ("[" * 100_000, ["[" * 100_000]),
        (["one"], ["one"]),
        (("one", "two"), ["one", "two"]),
        ({"one"}, ["one"]),
        ({"a": 1}, [{"a": 1}]),
        (5, [5]),
    ],
    ids=str,
)
def test_a_list_is_read_in_each_form(value: Any, read: list[Any]) -> None:
    assert read_list(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [(True, True), (False, False), ("True", True), ("False", False), (" yes ", True), ("no", False), ("1", True),
     ("0", False), (None, False), ("None", False), ("", False)],
)  # fmt: skip
def test_a_truth_value_is_read_in_each_form(value: Any, read: bool) -> None:
    assert read_bool(value, "within") is read


def test_another_truth_value_is_refused() -> None:
    with pytest.raises(PMEInputError, match=r"^within: expected true or false"):
        read_bool("perhaps", "within")


@pytest.mark.parametrize(
    ("value", "read"),
    [(None, {}), ("None", {}), (" ", {}), ({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), (" {'a': None} ", {"a": None})],
)
def test_a_mapping_is_read_in_each_form(value: Any, read: dict[str, Any]) -> None:
    assert read_mapping(value, "options") == read


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("broken", "a str"),
        ("{broken", "a str"),
        ("['a']", "a list"),
        ([], "a list"),
        (5, "a int"),
        ({1: "a"}, "a dict"),
    ],
)
def test_another_mapping_is_refused(value: object, shape: str) -> None:
    with pytest.raises(
        PMEInputError, match=rf"^options: expected a mapping with texts as keys, got {shape}\. "
    ) as caught:
        read_mapping(value, "options")
    assert "broken" not in str(caught.value)


@pytest.mark.parametrize("value", ["[broken", "play=1&qs=1", 5, ("a",)])
def test_what_is_no_literal_stays_as_it_is(value: object) -> None:
    assert read_literal(value) is value


@pytest.mark.parametrize("audience", ["a", "broker-portal", "A.b_c-9", "x" * 64, "0"])
def test_an_audience_is_a_label(audience: str) -> None:
    assert checked_audience(audience) == audience


@pytest.mark.parametrize("audience", ["", "x" * 65, "a b", "-a", ".a", "_a", "ä", "a/b", "a\n", None, 5])
def test_another_audience_is_refused(audience: object) -> None:
    with pytest.raises(PMEInputError, match=r"^audience: "):
        checked_audience(audience)


@given(st.text(max_size=60))
def test_any_text_of_models_is_read_or_refused(text: str) -> None:
    try:
        read = read_models(text)
    except PMEInputError:
        return
    assert read
