"""A scan's result as text, JSON and SARIF."""

from __future__ import annotations

import json
from dataclasses import replace

from pme_airflow.errors import PMEError
from pme_airflow.leaks.files import Unread
from pme_airflow.lifecycle.leak_response import LeakResponse
from pme_airflow.lifecycle.scan import ScanFinding, ScanResult
from pme_airflow.lifecycle.scan_output import as_sarif, rendered, summary_lines

FINDING = ScanFinding("sha256:" + "a" * 64, "link-1", "yyHDFKzPzvN", "intranet", "wiki.zip!note.txt", 17)
RESULT = ScanResult((FINDING, FINDING), (Unread("locked", "permission denied"),))
EMPTY = ScanResult((), ())


def test_text_is_one_line_a_finding() -> None:
    line = f"wiki.zip!note.txt:17  {FINDING.fingerprint}  yyHDFKzPzvN  intranet\n"
    assert rendered(RESULT, "text") == line * 2
    assert rendered(EMPTY, "text") == ""


def test_places_that_are_not_listed_are_counted_in_one_line() -> None:
    many = replace(FINDING, more=900)
    result = ScanResult((FINDING, many), ())
    assert rendered(result, "text").splitlines()[2] == (
        f"wiki.zip!note.txt: 900 more places  {FINDING.fingerprint}  yyHDFKzPzvN  intranet"
    )
    assert summary_lines(result) == ["902 places with 1 live links."]
    assert "at 900 more places" in as_sarif([many])["runs"][0]["results"][0]["message"]["text"]
    assert "more places" not in rendered(ScanResult((FINDING,), ()), "sarif")


def test_json_is_a_list_of_findings() -> None:
    assert json.loads(rendered(RESULT, "json")) == [FINDING.as_json()] * 2
    assert json.loads(rendered(EMPTY, "json")) == []


def test_json_and_sarif_are_indented_for_readers() -> None:
    assert rendered(RESULT, "json").startswith('[\n  {\n    "')
    assert rendered(RESULT, "sarif").startswith('{\n  "')


def test_sarif_names_rule_place_and_fingerprint() -> None:
    run = as_sarif([FINDING])["runs"][0]
    assert run["tool"]["driver"]["rules"][0]["id"] == "pme-live-link"
    (result,) = run["results"]
    assert result["ruleId"] == "pme-live-link"
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "wiki.zip!note.txt"},
        "region": {"byteOffset": 17},
    }
    assert result["partialFingerprints"] == {"pmeFingerprint/v1": FINDING.fingerprint}
    assert json.loads(rendered(RESULT, "sarif"))["version"] == "2.1.0"


def test_the_summary_counts_places_and_links_and_lists_what_was_not_read() -> None:
    assert summary_lines(RESULT) == ["2 places with 1 live links.", "pme-airflow: locked: permission denied"]


def test_a_path_forges_no_line_and_is_a_valid_uri() -> None:
    odd = replace(FINDING, path="/srv/a b\n\x1b[31m%\udcff/ü.zip!x")
    assert rendered(ScanResult((odd,), ()), "text").count("\n") == 1
    assert "\x1b" not in rendered(ScanResult((odd,), ()), "text")
    (result,) = as_sarif([odd])["runs"][0]["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "/srv/a%20b%0A%1B%5B31m%25%FF/%C3%BC.zip!x"


def test_the_summary_says_what_was_flagged() -> None:
    flagged = ScanResult((FINDING,), (), LeakResponse())
    assert summary_lines(flagged)[1] == "0 links flagged."
    failed = ScanResult((FINDING,), (), None, PMEError("the ledger is away"))
    assert summary_lines(failed)[1] == "pme-airflow: Nothing was flagged: the ledger is away"
