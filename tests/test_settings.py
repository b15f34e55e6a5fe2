"""What a connection says, and what is refused in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.connection import ConnectionSettings


def read(extra: Any = None, **fields: Any) -> ConnectionSettings:
    text = extra if isinstance(extra, str) else json.dumps(extra) if extra is not None else None
    given = {"login": "id", "password": "secret", **fields}
    return ConnectionSettings.read(Connection(conn_id="pme_default", conn_type="pme", extra=text, **given))


def test_the_defaults_are_those_of_the_form() -> None:
    settings = read()
    assert settings.host == "https://api.matterport.com"
    client = settings.client_settings
    assert (client.batch_size, client.max_concurrency, client.grow_to, client.timeout) == (10, 8, 32, 30.0)
    assert settings.extras.requests_per_second is None


def test_what_the_form_sends_is_read() -> None:
    extra = {"ledger_conn_id": "", "seal_keys": "a" * 16 + "," + "b" * 16, "batch_size": "25", "max_concurrency": 16,
             "requests_per_second": "2.5", "timeout": None}  # fmt: skip
    settings = read(extra)
    assert settings.extras.ledger_conn_id is None
    assert [len(key.reveal()) for key in settings.extras.seal_keys] == [16, 16]
    assert settings.client_settings.batch_size == 25
    assert (settings.client_settings.max_concurrency, settings.client_settings.grow_to) == (16, None)
    assert settings.client_settings.requests_per_second == 2.5


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({"host": "http://127.0.0.1:8799"}, "http://127.0.0.1:8799"),
        ({"host": "http://127.0.0.1", "port": 8799}, "http://127.0.0.1:8799"),
        ({"host": "127.0.0.1", "port": 8799}, "http://127.0.0.1:8799"),
        ({"host": "api.example.test"}, "https://api.example.test"),
        ({"host": "https://api.example.test/"}, "https://api.example.test"),
        ({"host": "https://api.example.test/", "port": 443}, "https://api.example.test"),
        ({"host": "https://api.example.test/pme/", "port": 8443}, "https://api.example.test:8443/pme"),
        ({"host": "http://127.0.0.1:8799", "port": 8799}, "http://127.0.0.1:8799"),
        ({"host": "http://127.0.0.1:8799", "port": 0}, "http://127.0.0.1:8799"),
        ({"port": 443}, "https://api.matterport.com"),
    ],
)
def test_a_host_is_read_in_the_forms_people_write(fields: dict[str, Any], host: str) -> None:
    assert read(**fields).host == host


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"batchsize": 5}, "batchsize"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"batch_size": "many"}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"max_concurrency": 10_000}, "max_concurrency"),
        ({"requests_per_second": -1}, "requests_per_second"),
        ({"timeout": []}, "timeout"),
        ({"timeout": "nan"}, "timeout"),
        ({"batch_size": "inf"}, "batch_size"),
        ({"ledger_conn_id": 5}, "ledger_conn_id"),
        ({"seal_keys": [1]}, "seal_keys"),
        ({"seal_keys": {"a": 1}}, "seal_keys"),
        ("[]", "extra"),
        ("{", "extra"),
    ],
)
def test_a_bad_extra_is_refused_by_name_and_shape(extra: Any, name: str) -> None:
    with pytest.raises(PMEInputError, match=name):
        read(extra)


def test_a_refused_extra_does_not_show_its_value() -> None:
    with pytest.raises(PMEInputError) as caught:
        read({"timeout": "hunter2hunter2"})
    assert "hunter2" not in str(caught.value)


def test_plain_http_is_refused_for_any_host_but_loopback() -> None:
    with pytest.raises(PMEInputError, match="https://api"):
        read(host="http://api.example.test")


def test_two_ports_that_differ_are_refused() -> None:
    with pytest.raises(PMEInputError, match="port: is 8443, and host says 8444"):
        read(host="https://api.example.test:8444", port=8443)
