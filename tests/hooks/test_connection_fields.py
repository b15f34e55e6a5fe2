"""The connection's form has a field for each extra, and hides the secret ones."""

from __future__ import annotations

import pytest

from pme_airflow.hooks.connection_fields import EXTRAS, ExtraField, extra_label


@pytest.mark.parametrize(("secret", "form"), [(True, {"format": "password"}), (False, {})])
def test_a_field_may_be_empty_and_a_secret_one_is_hidden(secret: bool, form: dict[str, str]) -> None:
    assert ExtraField("L", "string", "d", secret).schema == {"type": ["string", "null"], **form}


def test_seal_keys_are_the_secret_among_the_extras() -> None:
    assert [name for name, field in EXTRAS.items() if field.secret] == ["seal_keys"]


def test_the_extras_are_those_that_the_documentation_promises() -> None:
    assert set(EXTRAS) >= {
        "ledger_conn_id", "seal_keys", "batch_size", "max_concurrency", "requests_per_second", "timeout",
    }  # fmt: skip


def test_an_error_names_an_extra_by_its_label_and_its_key() -> None:
    assert extra_label("seal_keys") == "Seal keys (extra seal_keys)"
    for name in EXTRAS:
        assert name in extra_label(name)
