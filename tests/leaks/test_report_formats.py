"""A report's form is recognised by where a finding is and by its keys; its secret is read from the fields of the form."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.leaks.report_formats import FORMATS, Secret, format_of, secrets_in, strings_in

TOP = ("*",)


def read(path: tuple[str, ...], entry: dict[str, Any]) -> list[Secret]:
    form = format_of(path, entry)
    assert form is not None
    return secrets_in(form, entry)


@pytest.mark.parametrize(
    ("path", "keys", "name"),
    [
        (TOP, ("RuleID",), "gitleaks"),
        (TOP, ("SourceMetadata",), "TruffleHog"),
        (TOP, ("DetectorName",), "TruffleHog"),
        (TOP, ("secret_type",), "GitHub secret scanning alerts"),
        (TOP, ("filePath", "messages"), "secretlint"),
        (TOP, ("rule", "finding"), "Kingfisher"),
        (TOP, ("token", "type"), "GitHub partner message"),
        (("runs", "*", "results", "*"), (), "SARIF"),
        (("results", "*", "*"), ("hashed_secret",), "detect-secrets"),
        (("findings", "*"), (), "Kingfisher"),
        (("vulnerabilities", "*"), (), "GitLab secret detection"),
    ],
)
def test_a_form_is_recognised_by_its_path_and_all_of_its_keys(
    path: tuple[str, ...], keys: tuple[str, ...], name: str
) -> None:
    entry = dict.fromkeys(keys, "x")
    found = format_of(path, {**entry, "more": 1})
    assert found is not None
    assert found.name == name
    for key in keys:
        assert format_of(path, {other: "x" for other in keys if other != key}) is None
    assert format_of((*path, "deeper"), entry) is None


def test_every_form_has_a_sample_above() -> None:
    assert len(FORMATS) == 11


@pytest.mark.parametrize("path", [(), ("*",), ("*", "*")])
def test_a_finding_alone_in_a_list_and_in_a_list_of_lists_is_one(path: tuple[str, ...]) -> None:
    assert format_of(path, {"RuleID": "x"}) is not None
    assert format_of(("*", "*", "*"), {"RuleID": "x"}) is None


@pytest.mark.parametrize("entry", [None, "RuleID", ["RuleID"], 5, {}])
def test_what_is_no_finding_has_no_form(entry: object) -> None:
    assert format_of(TOP, entry) is None


def test_secrets_are_apart_from_the_text_around_them() -> None:
    (found,) = read(TOP, {"RuleID": "x", "Secret": "s", "Match": "m", "Line": "l", "Context": 5, "File": "f"})
    assert found == Secret(("s",), ("m", "l"))
    (found,) = read(TOP, {"DetectorName": "x", "Raw": "a", "RawV2": "b", "Redacted": "c"})
    assert found == Secret(("a", "b"))
    (found,) = read(("vulnerabilities", "*"), {"raw_source_code_extract": "s", "message": "m", "description": "d"})
    assert found == Secret(("s",), ("m", "d"))
    (found,) = read(TOP, {"secret_type": "x", "secret": ["a", 5, "b"]})  # a key that occurred twice
    assert found.texts == ("a", "b")


@pytest.mark.parametrize(
    ("digest", "expected"),
    [("A" * 40, "a" * 40), ("0" * 39, ""), ("0" * 41, ""), ("g" * 40, ""), (f"{'0' * 40}\n", ""), (None, "")],
)
def test_a_digest_is_40_hex_digits_in_lower_case(digest: object, expected: str) -> None:
    assert read(("results", "*", "*"), {"hashed_secret": digest}) == [Secret(sha1=expected)]


def test_a_sarif_result_is_read_from_its_snippets_before_its_message() -> None:
    snippet = {"locations": [{"region": {"snippet": {"text": "a"}}}, {"contextRegion": {"snippet": {"text": "b"}}}]}
    path = ("runs", "*", "results", "*")
    (found,) = read(path, {**snippet, "message": {"text": "found c"}})
    assert sorted(found.texts) == ["a", "b"]
    assert "found c" in found.context
    (found,) = read(path, {"message": {"text": "found c"}})
    assert found.texts == ("found c",)
    for message in ({"text": "a secret"}, {"text": 5}, "found c", None):
        (found,) = read(path, {"message": message, "locations": [{"snippet": "x"}]})
        assert found.texts == ()


def test_a_kingfisher_finding_is_read_from_its_snippet() -> None:
    for path, entry in ((TOP, {"rule": {}, "finding": {"snippet": "s", "path": "p"}}), (("findings", "*"), {})):
        (found,) = read(path, {"finding": {"snippet": "s", "path": "p"}, **entry})
        assert found.texts == ("s",)
        assert set(found.context) == {"snippet", "s", "path", "p"}
    assert read(("findings", "*"), {"finding": "s"}) == [Secret(context=("s",))]


@pytest.mark.parametrize(
    ("source", "span", "expected"),
    [
        ("see TOKEN.", [4, 9], ("TOKEN",)),
        ("😀 TOKEN.", [3, 8], ("TOKEN",)),  # JavaScript counts the first character twice
        ("see TOKEN.", [4, 4], ()),
        ("see TOKEN.", [9, 4], ()),
        ("see TOKEN.", [-1, 4], ()),
        ("see TOKEN.", [True, 4], ()),
        ("see TOKEN.", ["4", 9], ()),
        ("see TOKEN.", [4, "9"], ()),
        ("see TOKEN.", [4], ()),
        ("see TOKEN.", "49", ()),
        (None, [4, 9], ()),
    ],
)
def test_secretlints_secret_is_a_range_of_the_source(source: Any, span: Any, expected: tuple[str, ...]) -> None:
    (found,) = read(TOP, {"filePath": "x", "sourceContent": source, "messages": [{"range": span, "message": "m"}]})
    assert found.texts == expected
    assert "m" in found.context


def test_each_message_of_secretlint_is_a_finding_and_none_is_one_that_cannot_be_read() -> None:
    source = {"filePath": "x", "sourceContent": "AB"}
    found = read(TOP, {**source, "messages": [{"range": [0, 1]}, {"range": [1, 2]}, "broken"]})
    assert [secret.texts for secret in found] == [("A",), ("B",), ()]
    assert read(TOP, {**source, "messages": "broken"}) == [Secret()]


def test_all_strings_of_a_value_are_found_however_deep() -> None:
    value: Any = {"a": ["b", {"c": "d"}, 5, None, True]}
    assert sorted(strings_in(value)) == ["a", "b", "c", "d"]
    for _ in range(5000):
        value = [value]
    assert len(list(strings_in(value))) == 4
