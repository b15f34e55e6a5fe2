"""A PME connection is read in every form people write it, and an error names the field as the form does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection
from hypothesis import given
from hypothesis import strategies as st

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.connection import ConnectionSettings
from pme_airflow.hooks.connection_fields import EXTRAS

VALUE = "hunter2hunter2"


def read(extra: Any = None, **fields: Any) -> ConnectionSettings:
    text = extra if isinstance(extra, str) else json.dumps(extra) if extra is not None else None
    given = {"conn_type": "pme", "login": "id", "password": "secret", **fields}
    return ConnectionSettings.read(Connection(conn_id="pme_default", extra=text, **given))


def of_uri(uri: str) -> ConnectionSettings:
    return ConnectionSettings.read(Connection.from_uri(uri, conn_id="pme_default"))


def test_the_defaults_are_those_of_the_form() -> None:
    settings = read()
    assert settings.host == "https://api.matterport.com"
    client = settings.client_settings
    assert (client.batch_size, client.max_concurrency, client.timeout) == (10, 8, 30.0)
    assert (client.largest_batch, client.grow_to) == (25, 32)
    assert settings.extras.requests_per_second is None
    assert settings.extras.ledger_conn_id is None
    assert settings.extras.seal_keys == ()


def test_what_the_form_sends_is_read() -> None:
    extra = {"ledger_conn_id": "", "seal_keys": "a" * 16 + "," + "b" * 16, "batch_size": "25", "max_concurrency": 16,
             "requests_per_second": "2.5", "timeout": None}  # fmt: skip
    settings = read(extra)
    assert settings.extras.ledger_conn_id is None
    assert [key.reveal() for key in settings.extras.seal_keys] == ["a" * 16, "b" * 16]
    assert (settings.client_settings.batch_size, settings.client_settings.largest_batch) == (25, None)
    assert (settings.client_settings.max_concurrency, settings.client_settings.grow_to) == (16, None)
    assert settings.client_settings.requests_per_second == 2.5


@pytest.mark.parametrize(
    "seal_keys", [["k" * 16, "l" * 16], '["kkkkkkkkkkkkkkkk", "llllllllllllllll"]', f" {'k' * 16} , {'l' * 16} "]
)
def test_seal_keys_are_read_as_a_list_as_json_and_with_commas(seal_keys: Any) -> None:
    assert [key.reveal() for key in read({"seal_keys": seal_keys}).extras.seal_keys] == ["k" * 16, "l" * 16]


@pytest.mark.parametrize(
    "extra",
    [
        {"__extra__": {"batch_size": 7}},
        {"__extra__": '{"batch_size": 7}'},
        json.dumps('{"batch_size": "7"}'),
        '  {"batch_size": "7.0"}  ',
    ],
    ids=["nested", "nested-string", "encoded-twice", "spaces"],
)
def test_a_nested_extra_is_read(extra: Any) -> None:
    assert read(extra).extras.batch_size == 7


@pytest.mark.parametrize("extra", [None, "", "   ", "{}", {}])
def test_an_empty_extra_is_the_defaults(extra: Any) -> None:
    assert read(extra) == read()


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({"host": "http://127.0.0.1:8799"}, "http://127.0.0.1:8799"),
        ({"host": "http://127.0.0.1", "port": 8799}, "http://127.0.0.1:8799"),
        ({"host": "127.0.0.1", "port": 8799}, "http://127.0.0.1:8799"),
        ({"host": "localhost:8799"}, "http://localhost:8799"),
        ({"host": "127.0.0.1", "schema": "https"}, "https://127.0.0.1"),
        ({"host": "api.example.test"}, "https://api.example.test"),
        ({"host": "api.example.test", "schema": "public"}, "https://api.example.test"),
        ({"host": " https://api.example.test/ "}, "https://api.example.test"),
        ({"host": "https://api.example.test/", "port": 443}, "https://api.example.test"),
        ({"host": "https://api.example.test/pme/", "port": 8443}, "https://api.example.test:8443/pme"),
        ({"host": "http://127.0.0.1:8799", "port": 8799}, "http://127.0.0.1:8799"),
        ({"host": "http://127.0.0.1:8799", "port": 0}, "http://127.0.0.1:8799"),
        ({"port": 443}, "https://api.matterport.com"),
        ({"host": "   "}, "https://api.matterport.com"),
    ],
)
def test_an_address_is_read_in_the_forms_people_write(fields: dict[str, Any], host: str) -> None:
    assert read(**fields).host == host


@pytest.mark.parametrize(
    ("uri", "secret", "host"),
    [
        ("pme://id:s%2Fe%23c%25%2B@api.example.test", "s/e#c%+", "https://api.example.test"),
        ("pme://id:se+cret@https%3A%2F%2Fapi.example.test%3A8443", "se+cret", "https://api.example.test:8443"),
        ("pme://https://id:secret@api.example.test:8443", "secret", "https://api.example.test:8443"),
        ("pme://http://id:secret@127.0.0.1:8799", "secret", "http://127.0.0.1:8799"),
        ("pme://id:secret@", "secret", "https://api.matterport.com"),
    ],
)
def test_the_uri_form_is_read(uri: str, secret: str, host: str) -> None:
    settings = of_uri(uri)
    assert (settings.client_id, settings.client_secret.reveal(), settings.host) == ("id", secret, host)


def test_the_extra_of_a_uri_is_read_flat_and_nested() -> None:
    assert of_uri("pme://id:secret@/?batch_size=5&timeout=2.5").extras.batch_size == 5
    assert of_uri("pme://id:secret@/?__extra__=%7B%22batch_size%22%3A+%225%22%7D").extras.batch_size == 5


@pytest.mark.parametrize("conn_type", ["http", "generic", "", None, "pmex"])
def test_a_connection_of_another_type_is_named_as_such(conn_type: str | None) -> None:
    with pytest.raises(PMEInputError, match=rf"pme_default is of type {conn_type or 'none'}, not pme"):
        read(conn_type=conn_type)


def test_a_client_id_is_stripped_and_a_secret_is_kept_as_it_is() -> None:
    settings = read(login=" id ", password=" secret\n")
    assert settings.client_id == "id"
    assert settings.client_secret.reveal() == " secret\n"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"login": 5}, r"^Client ID: expected a string, got 5"),
        ({"password": ["x"]}, r"^Client secret: expected a string, got a list"),
        ({"host": 5}, r"^API address: expected a string, got 5"),
        ({"port": 70000}, r"^Port: expected a number from 1 to 65535"),
        ({"port": -1}, r"^Port: expected"),
        ({"port": VALUE}, r"^Port: expected"),
        ({"host": "https://api.example.test:8444", "port": 8443}, r"^Port: is 8443, but API address has 8444"),
        ({"host": "http://api.example.test"}, r"https://api"),
    ],
)
def test_a_bad_field_is_named_as_the_form_does(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(PMEInputError, match=named) as caught:
        read(**fields)
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"batchsize": 5}, r"^Extra: batchsize is unknown.*batch_size"),
        ({"b": 5, "c": 6}, r"^Extra: b, c are unknown"),
        ({"k3f9x0a8q7w6e5r4t3y2u1i0p": ""}, r"^Extra: a name that is not shown here is unknown"),
        ({"batch_size": 0}, r"^Batch size \(extra batch_size\): expected a whole number from 1 to 1000, got 0"),
        ({"batch_size": 1001}, r"^Batch size"),
        ({"batch_size": 2.5}, r"^Batch size"),
        ({"batch_size": "many"}, r"^Batch size .*got 4 characters of text"),
        ({"batch_size": True}, r"^Batch size .*got true or false"),
        ({"batch_size": "inf"}, r"^Batch size"),
        ({"batch_size": 10**400}, r"^Batch size .*too large"),
        ({"max_concurrency": 257}, r"^Concurrency \(extra max_concurrency\)"),
        ({"max_concurrency": 0}, r"^Concurrency"),
        ({"requests_per_second": -1}, r"^Requests a second"),
        ({"requests_per_second": 0}, r"^Requests a second"),
        ({"timeout": []}, r"^Timeout \(extra timeout\): .*got a list"),
        ({"timeout": "nan"}, r"^Timeout"),
        ({"timeout": 3601}, r"^Timeout"),
        ({"timeout": VALUE}, r"^Timeout"),
        ({"ledger_conn_id": 5}, r"^Ledger connection \(extra ledger_conn_id\): expected a string, got 5"),
        ({"seal_keys": [1]}, r"^Seal keys"),
        ({"seal_keys": [" "]}, r"^Seal keys"),
        ({"seal_keys": {"a": 1}}, r"^Seal keys"),
        ({"seal_keys": '["x"'}, r"^Seal keys"),
        ("[]", r"^Extra: expected a JSON object, got a list"),
        ("{", r"^Extra: expected a JSON object, got 1 characters"),
        ("5", r"^Extra: expected a JSON object, got 5"),
        (f'"{VALUE}"', r"^Extra: expected a JSON object"),
        ({"__extra__": [VALUE]}, r"^Extra: expected a JSON object"),
        ("[" * 100_000, r"^Extra: expected a JSON object"),
    ],
)
def test_a_bad_extra_is_refused_by_label_name_and_shape(extra: Any, named: str) -> None:
    with pytest.raises(PMEInputError, match=named) as caught:
        read(extra)
    assert VALUE not in str(caught.value)
    assert "k3f9x0a8" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("batch_size", 1, 1000),
        ("max_concurrency", 1, 256),
        ("requests_per_second", 0.001, 100_000),
        ("timeout", 0.1, 3600),
    ],
)
def test_the_ends_of_each_range_are_taken(name: str, least: float, most: float) -> None:
    for value in (least, most):
        assert getattr(read({name: value}).extras, name) == value


def test_every_field_of_the_form_is_an_extra_that_is_read() -> None:
    good = {"ledger_conn_id": "db", "seal_keys": "k" * 16, "batch_size": 2, "max_concurrency": 3,
            "requests_per_second": 4, "timeout": 5}  # fmt: skip
    assert set(good) == set(EXTRAS)
    assert [name for name in EXTRAS if getattr(read(good).extras, name) == getattr(read().extras, name)] == []


@given(st.text(max_size=80))
def test_any_extra_is_read_or_refused(extra: str) -> None:
    message = ""
    try:
        read(extra)
    except PMEInputError as error:
        message = str(error)
    assert not message or any(label in message for label in ("Extra", *(field.label for field in EXTRAS.values())))
