"""A connection that is missing or broken is distinguished, and its definition is never quoted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import BaseHook

from pme_airflow.errors import PMEConnectionError, PMEInputError
from pme_airflow.hooks.connection_lookup import find_connection

SECRET = "s3cret-s3cret"


def test_a_connection_of_the_environment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ONE", json.dumps({"conn_type": "pme", "login": "id", "password": SECRET}))
    assert find_connection("one").password == SECRET


def test_a_missing_connection_says_how_to_define_it() -> None:
    with pytest.raises(PMEConnectionError, match=r"The connection two is not defined.*AIRFLOW_CONN_TWO"):
        find_connection("two")


@pytest.mark.parametrize(
    ("definition", "named"),
    [
        (f'{{"conn_type": "pme", "password": "{SECRET}"', r"the JSON in AIRFLOW_CONN_ONE is broken at line 1, column"),
        (f'{{"client_id": "id", "password": "{SECRET}"}}', r"has unknown fields: client_id\. The fields are conn_type"),
        (f'{{"{SECRET}": 1}}', r"has unknown fields: a name that is not shown here"),
        ('{"conn_type": "pme", "password": 12345678}', r"must have strings in quotes for password"),
        ('{"conn_type": "pme", "login": 1, "host": {}}', r"must have strings in quotes for login, host"),
        ('{"conn_type": "pme", "port": "44x"}', r"The port must be a number"),
        ("{" + '"a":{' * 100_000, r"is nested too deeply|is broken"),
        ("pme://id:s3cret/s3cret@host", r"AIRFLOW_CONN_ONE is no URI that Airflow can parse. Percent-encode"),
        ("pme://a:b://c:/d://s3cret", r"Percent-encode"),
    ],
)
def test_a_broken_definition_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, definition: str, named: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ONE", definition)
    with pytest.raises(PMEInputError, match=named) as caught:
        find_connection("one")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.permanent


def test_a_secrets_backend_that_fails_is_named_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: str) -> Any:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(BaseHook, "get_connection", fails)
    with pytest.raises(PMEConnectionError, match=r"one cannot be read \(RuntimeError\)") as caught:
        find_connection("one")
    assert SECRET not in str(caught.value)
