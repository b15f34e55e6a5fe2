"""Mistakes in ids and secrets are named before anything is sent, and values that can be right pass."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pme_airflow.credential_check import certain_mistake, possible_mistakes
from tests.conftest import SECRET

GOOD = "Zk3Lq9vX7pT2mW8rN5sB4cJ6hD1gF0aY"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (f"{GOOD}\n", r"ends with a newline \(33 characters, 32 without it\)"),
        (f"{GOOD}\r\n", r"ends with a newline \(34 characters, 32 without it\)"),
        (f"\n{GOOD}", "begins with a newline"),
        (f"{GOOD} ", "spaces or invisible characters at its start or end"),
        (f" {GOOD}", "spaces or invisible characters at its start or end"),
        (f"{GOOD}\t", "spaces or invisible characters"),
        (f"\u00a0{GOOD}", "spaces or invisible characters"),
        (f"\ufeff{GOOD}", "spaces or invisible characters"),
        (f"{GOOD}\u200b", r"\(33 characters, 32 without them\)"),
        (f"{GOOD[:9]}\x1b[0m{GOOD[9:]}", "contains 1 control or invisible characters"),
        (f"{GOOD[:9]}\n{GOOD[9:]}", "contains 1 control"),
        (f"{GOOD[:9]}\u200b{GOOD[9:]}", "control or invisible"),
        (f"{GOOD}\udc80", "not UTF-8"),
        ("***", "mask"),
        ("•" * 12, "mask"),
        (f'"{GOOD}"', "quotes"),
        (f"'{GOOD}'", "quotes"),
        (f"\u201c{GOOD}\u201d", "quotes"),
        (f"<{GOOD}>", "quotes or brackets"),
        ("https://api.matterport.com", "looks like an address"),
        ("pme://id:secret@host", "looks like an address"),
        ("${PME_SECRET}", "placeholder"),
        ("$PME_SECRET", "placeholder"),
        ("{{ var.value.pme_secret }}", "placeholder"),
        ("<client secret>", "placeholder"),
    ],
)
def test_a_mistake_is_named_and_the_value_is_not(value: str, named: str) -> None:
    mistake = certain_mistake("a-client", value)
    assert mistake is not None
    assert mistake.startswith("Client secret: ")
    assert mistake.endswith("The secret need not be reset.")
    assert re.search(named, mistake), mistake
    assert GOOD not in mistake
    assert GOOD[:9] not in mistake


@pytest.mark.parametrize("client_id", [f'"{GOOD}"', "https://api.matterport.com", "***"])
def test_a_mistake_in_the_client_id_is_named_as_such(client_id: str) -> None:
    mistake = certain_mistake(client_id, GOOD[::-1]) or ""
    assert mistake.startswith("Client ID: ")
    assert GOOD not in mistake


def test_a_secret_that_is_the_client_id_is_named() -> None:
    assert "is the same as the client id" in (certain_mistake("a-client", "a-client") or "")


@pytest.mark.parametrize(
    "value", [GOOD, SECRET, "a", 'x"y', "a b c", '"', "''", "xX", "**", "$100 & more", "https:/x", "a<b>", "ünïcode"]
)
def test_what_can_be_right_passes(value: str) -> None:
    assert certain_mistake("a-client", value) is None
    assert certain_mistake(value, "another secret") is None


@pytest.mark.parametrize(
    ("secret", "hints"),
    [
        (GOOD, []),
        (SECRET, []),
        ("a-client:the-secret", ["contains the client id"]),
        ("Bearer " + GOOD, ["begins like an Authorization header"]),
        (base64.b64encode(f"{GOOD}\n".encode()).decode(), ["looks like base64 of a text"]),
        (base64.b64encode(b"a?>b?>c?>d?>e?>f").decode(), ["looks like base64 of a text"]),
        (base64.urlsafe_b64encode(b"a?>b?>c?>d?>e?>f").decode(), ["looks like base64 of a text"]),
        ("three%2Bplus", ["looks percent-encoded"]),
        ("a&amp;b", ["contains HTML escapes"]),
        (r"line\nbreak", ["contains backslash escapes"]),
        (r"a%20b&quot;\u00fc", ["looks percent-encoded", "contains HTML escapes", "contains backslash escapes"]),
    ],
)
def test_what_may_be_a_mistake_is_told_after_a_refusal(secret: str, hints: list[str]) -> None:
    found = possible_mistakes("a-client", secret)
    assert [hint[: len(expected)] for hint, expected in zip(found, hints, strict=True)] == hints


@pytest.mark.parametrize("secret", ["Zk3L", "abcdefgh", GOOD, "demo-client-secret-not-a-real-one", "0" * 32])
def test_a_random_secret_is_no_base64(secret: str) -> None:
    assert possible_mistakes("", secret) == []


@given(st.text(max_size=60))
def test_no_text_is_quoted_or_crashes(value: str) -> None:
    message = f"{certain_mistake('a-client', value)} {possible_mistakes('a-client', value)}"
    assert len(value) < 12 or value not in message


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ('{"client_id": "a", "client_secret": "Abcdef0123456789"}', "is a JSON object"),
        ("b'Abcdef0123456789'", "is written as Python's bytes"),
        ('b"Abcdef0123456789"', "is written as Python's bytes"),
        ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:pme-AbCdEf", "names an entry of a secret store"),
        ("vault:secret/data/pme#secret", "names an entry of a secret store"),
        ("projects/1/secrets/pme/versions/latest", "names an entry of a secret store"),
        ("None", "is a word for no value"),
        ("null", "is a word for no value"),
        ("changeme", "is a word for no value"),
    ],
)
def test_what_stands_for_a_secret_is_not_taken_for_one(value: str, named: str) -> None:
    mistake = certain_mistake("client", value)
    assert mistake is not None
    assert mistake.startswith(f"Client secret: {named}")
    assert value not in mistake


def test_a_line_of_a_file_of_variables_may_be_a_mistake() -> None:
    assert any("enter what follows the =" in found for found in possible_mistakes("client", "PME_SECRET=Abcdef01234"))
    assert certain_mistake("client", "PME_SECRET=Abcdef01234") is None
