"""Scanners' reports: each format is read, an unknown one is refused, and no message contains a token."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pme_airflow.errors import PMEReportError
from pme_airflow.leaks import json_stream, reports
from pme_airflow.leaks.reports import PartialReportError, read_report
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.home import ROOT
from tests.support.leaked import FINGERPRINT, TOKEN, link
from tests.support.scale import scaled

LINK = link()
NODE = ROOT / ".venv" / "node"

#: One sample of each form, by the tool's documented schema; those of tools that run here are made by them, below.
SAMPLES: dict[str, Any] = {
    "gitleaks": [{"RuleID": "generic-api-key", "Description": "x", "StartLine": 3, "Match": f"auth=Bearer+{TOKEN}",
                  "Secret": TOKEN, "File": "a.txt", "Commit": "", "Fingerprint": "a.txt:generic-api-key:3"}],
    "SARIF": {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "any"}}, "results": [
        {"ruleId": "r", "message": {"text": "a secret"}, "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": "a.txt"}, "region": {"startLine": 1, "snippet": {"text": LINK}}}}]}]}]},
    "GitHub secret scanning alerts": [{"number": 2, "secret_type": "custom", "secret": LINK, "state": "open"}],
    "GitHub partner message": [{"token": TOKEN, "type": "matterport_pme", "url": "https://x.test", "source": "content"}],
    "GitLab secret detection": {"version": "15.0.7", "vulnerabilities": [
        {"category": "secret_detection", "name": "x", "raw_source_code_extract": LINK}], "scan": {"status": "success"}},
    "Kingfisher": {"findings": [{"rule": {"name": "x"}, "finding": {"snippet": TOKEN, "path": "a.txt"}}]},
    "secretlint": [{"filePath": "a.txt", "sourceContent": f"see {LINK}", "messages": [
        {"message": "found ****", "range": [4, 4 + len(LINK)], "ruleId": "p"}]}],
}  # fmt: skip
TRUFFLEHOG_LOG = "\n".join(
    json.dumps({"level": "info-0", "ts": "2026-01-10T19:18:07Z", "logger": "trufflehog", "msg": message})
    for message in ("running source", "finished scanning")
)
LINES = "\n".join(
    json.dumps({"SourceMetadata": {"Data": {}}, "DetectorName": "Custom", "Raw": raw, "Verified": False})
    for raw in (TOKEN, "another-secret-of-somebody")
)


FUZZED = {form: json.dumps(sample).encode() for form, sample in SAMPLES.items()} | {
    "TruffleHog": LINES.encode(),
    "plain text": f"see <{LINK}|here>, and sha256:{'0' * 64}".encode(),
    "detect-secrets": json.dumps({"version": "1.5.0", "plugins_used": [], "results": {
        "a.py": [{"type": "x", "hashed_secret": "0" * 40, "line_number": 1}]}}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("form", SAMPLES)
def test_each_format_is_recognised_by_its_content(form: str) -> None:
    read = read_report(json.dumps(SAMPLES[form]).encode())
    assert read.form == form
    assert FINGERPRINT in read.fingerprints
    assert read.total == 1


def test_trufflehog_lines_are_read() -> None:
    read = read_report(LINES.encode())
    assert (read.form, read.total) == ("TruffleHog", 2)
    assert FINGERPRINT in read.fingerprints


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_plain_text_is_read_in_the_encodings_people_save(encoding: str) -> None:
    assert read_report(f"a note\n<{LINK}|here>\n".encode(encoding)).fingerprints == (FINGERPRINT,)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b'{"a": 1}', "no known report format"),
        (b'[{"RuleID": "x", "Secret": "y"', "cut off"),
        (json.dumps({"version": "3.0.0", "runs": []}).encode(), "version 3.0.0 is not supported"),
        (json.dumps({"version": "2.0", "plugins_used": [], "results": {}}).encode(), "version 2.0 is not supported"),
        (json.dumps({"action": "created", "alert": {"number": 1}}).encode(), "carries no secret"),
        (b"\xff\x00\xfe\x12\x80", "neither UTF-8"),
        (b"[" * 5000 + b"]" * 5000, "nested too deep|no known report"),
        (json.dumps([{"RuleID": "x", "Secret": "REDACTED", "Match": "REDACTED"}]).encode(), "masked"),
    ],
)
def test_a_report_that_cannot_be_read_is_refused_with_what_to_do(raw: bytes, message: str) -> None:
    with pytest.raises(PMEReportError, match=message):
        read_report(raw)


def test_a_report_too_large_is_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_REPORT_BYTES", 100)
    assert read_report(b"x" * 100).total == 1
    with pytest.raises(PMEReportError, match="limit of 100"):
        read_report(b"x" * 101)


def test_the_limits_of_a_report() -> None:
    with pytest.raises(PMEReportError, match=rf"{(64 << 20) + 1} bytes is over the limit of {64 << 20}"):
        read_report(bytes((64 << 20) + 1))
    with pytest.raises(PMEReportError, match="is empty"):
        read_report(bytes(64 << 20))
    assert read_report(b"[]" * 500_000).total == 0
    with pytest.raises(PMEReportError, match="over 500000 entries or 100000 words"):
        read_report(b"[]" * 500_001)


def test_a_text_with_ellipses_is_no_masked_table() -> None:
    assert read_report(b"note=later... and so on\nname,wip...\n").unread == 0


# ---------------------------------------------------------------- nothing found


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        ("[]", "an empty list of findings"),
        ('{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "gitleaks"}}, "results": []}]}', "SARIF"),
        ('{"version": "1.5.0", "plugins_used": [{"name": "x"}], "results": {}}', "detect-secrets"),
        ('[{"filePath": "a.txt", "messages": []}]', "secretlint"),
        ('{"findings": [], "metadata": {}}', "Kingfisher"),
        ('{"version": "15.0.7", "vulnerabilities": [], "scan": {"status": "success"}}', "GitLab secret detection"),
        (TRUFFLEHOG_LOG, "TruffleHog"),
    ],
)
def test_a_run_that_found_nothing_is_clean_by_the_scanners_name(raw: str, form: str) -> None:
    read = read_report(raw.encode())
    assert (read.form, read.total, read.fingerprints, read.unread) == (form, 0, (), 0)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"version": "2.1.0", "runs": [{"tool": {}}]}', "no results"),
        ('{"version": "2.1.0", "runs": [{"results": null}]}', "no results"),
        ('{"version": "2.1.0", "runs": [{"results": [], "invocations": [{"executionSuccessful": false}]}]}', "failed"),
        ('{"vulnerabilities": [], "scan": {"status": "failure"}}', "failed"),
    ],
)
def test_a_run_that_failed_is_not_clean(raw: str, message: str) -> None:
    with pytest.raises(PMEReportError, match=message):
        read_report(raw.encode())


# ---------------------------------------------------------------- masked secrets

MASKS = ["REDACTED", "REDACT", "redacted", f"{TOKEN[:12]}...", f"{TOKEN[:6]}******{TOKEN[-4:]}", "*" * 25, "•" * 25,
         "xxxxxxxxxxxxxxxx", "[MASKED]", "[REDACTED:1a2b3c]", "<redacted>", "***", "[secure]", "████", "k3f9####b0n3",
         f"{TOKEN[:12]}####", "k3f9___", "k3f9 [truncated]", "", None, 5, [], {}]  # fmt: skip


def _one_finding(form: str, mask: Any) -> Any:
    """A report of one finding, masked."""
    match = f"auth=Bearer+{mask}"
    return {
        "gitleaks": [{"RuleID": "matterport-private-embed-link", "Match": match, "Secret": mask, "File": "a.txt"}],
        "SARIF": {"version": "2.1.0", "runs": [{"results": [{"ruleId": "r", "message": {"text": "r has detected secret"},
                  "locations": [{"physicalLocation": {"region": {"snippet": {"text": mask}}}}]}]}]},
        "GitHub secret scanning alerts": [{"number": 2, "secret_type": "custom", "secret": mask}],
        "GitHub partner message": [{"token": mask, "type": "matterport_pme"}],
        "Kingfisher": {"findings": [{"rule": {"name": "x"}, "finding": {"snippet": mask, "path": "a.txt"}}]},
        "TruffleHog": {"SourceMetadata": {}, "DetectorName": "Custom", "Raw": mask, "Redacted": "k3f..."},
        "GitLab secret detection": {"vulnerabilities": [{"raw_source_code_extract": mask, "name": "x"}]},
        "secretlint": [{"filePath": "a.txt", "messages": [{"message": f"found {mask}", "ruleId": "p"}]}],
    }[form]  # fmt: skip


@pytest.mark.parametrize("form", ["gitleaks", "SARIF", "GitHub secret scanning alerts", "GitHub partner message",
                                  "Kingfisher", "TruffleHog", "GitLab secret detection", "secretlint"])  # fmt: skip
@pytest.mark.parametrize("mask", MASKS)
def test_a_finding_without_a_readable_secret_is_unread(form: str, mask: Any) -> None:
    with pytest.raises(PMEReportError, match=f"1 of 1 {form} findings contain no readable secret"):
        read_report(json.dumps(_one_finding(form, mask)).encode())


def test_a_snippet_of_semgrep_without_a_login_is_unread() -> None:
    with pytest.raises(PMEReportError, match="1 of 1 SARIF"):
        read_report(json.dumps(_one_finding("SARIF", "requires login")).encode())


@pytest.mark.parametrize(
    "report",
    [f"RuleID,Commit,File,Secret,Author\nx,1,a,{TOKEN},José\nx,1,a,{{}},y\n",
     f'[{{"RuleID": "x", "Secret": "{TOKEN}", "Author": "José"}}, {{"RuleID": "x", "Secret": "{{}}"}}]',
     f"José\n{TOKEN}\n{{}}\n"],
)  # fmt: skip
def test_a_report_with_a_name_in_latin_1_is_read_and_named(report: str) -> None:
    other = TOKEN[::-1]
    with pytest.raises(PartialReportError, match="neither UTF-8") as partial:
        read_report(report.replace("{}", other).encode("latin-1"))
    assert {FINGERPRINT, fingerprint(AccessToken(other))} <= set(partial.value.findings.fingerprints)


def test_a_sarif_result_without_a_snippet_and_a_baseline_without_a_digest_are_unread() -> None:
    sarif = {"version": "2.1.0", "runs": [{"results": [{"ruleId": "r", "message": {"text": "a secret"}}]}]}
    with pytest.raises(PMEReportError, match="1 of 1 SARIF"):
        read_report(json.dumps(sarif).encode())
    baseline = {"plugins_used": [], "results": {"a.py": [{"type": "x", "hashed_secret": "none"}]}}
    with pytest.raises(PMEReportError, match="1 of 1 detect-secrets"):
        read_report(json.dumps(baseline).encode())


def test_a_github_alert_whose_secret_was_omitted_is_unread() -> None:
    with pytest.raises(PMEReportError, match="hide_secret"):
        read_report(b'[{"number": 1, "secret_type": "custom", "state": "open"}]')


def test_one_masked_finding_among_others_is_an_error_with_what_was_read() -> None:
    entries = [*SAMPLES["gitleaks"], *_one_finding("gitleaks", "REDACTED")]
    with pytest.raises(
        PartialReportError, match=r"1 of 2 gitleaks findings .* What could be read of the report was"
    ) as partial:
        read_report(json.dumps(entries).encode())
    findings = partial.value.findings
    assert (findings.form, findings.total, findings.unread) == ("gitleaks", 2, 1)
    assert FINGERPRINT in findings.fingerprints


@pytest.mark.parametrize("secret", [TOKEN, "opaque-token_of.another~shape"])
@pytest.mark.parametrize("cut", ['"Verif', '"Verified": fal', '"Verified"', ""])
def test_the_fields_before_a_break_are_read(secret: str, cut: str) -> None:
    whole = LINES.replace(TOKEN, "another")
    line = f'{{"SourceMetadata": {{}}, "DetectorName": "Custom", "Raw": "{secret}", {cut}'
    with pytest.raises(PartialReportError, match="cut off") as partial:
        read_report(f"{whole}\n{line}".encode())
    assert fingerprint(AccessToken(secret)) in partial.value.findings.fingerprints


@pytest.mark.parametrize("wrap", ["\n", "\r\n", "\n    ", "=\n"])
@pytest.mark.parametrize("before", ["https://my.matterport.com/show?auth=Bearer+", "auth=3DBearer%20", "it is "])
def test_a_token_that_line_breaks_cut_is_read_in_plain_text(before: str, wrap: str) -> None:
    text = f"a note\nsee {before}{TOKEN[:7]}{wrap}{TOKEN[7:]} for more\nand a last line\n"
    assert FINGERPRINT in read_report(text.encode()).fingerprints


@pytest.mark.parametrize("escape", ["\\n", "\\r\\n", "\\t", "\\\\n"])
def test_a_token_behind_an_escaped_line_break_is_read(escape: str) -> None:
    assert FINGERPRINT in read_report(f"the log says 'secret:{escape}{TOKEN}{escape}end'\n".encode()).fingerprints


def test_a_wrapped_token_across_the_parts_of_a_long_text_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_STEP_BYTES", 4096)
    for padding in range(2000, 4200, 90):
        text = "x" * 99 + "\n"
        whole = text * (padding // 100) + "y" * (padding % 100) + f" {TOKEN[:9]}\n{TOKEN[9:]} and\n" + text * 60
        assert FINGERPRINT in read_report(whole.encode()).fingerprints


def test_two_fields_are_no_wrapped_token() -> None:
    entry = [{"RuleID": "x", "Secret": "z", "A": TOKEN[:9], "B": TOKEN[9:]}]
    assert FINGERPRINT not in read_report(json.dumps(entry).encode()).fingerprints


@pytest.mark.parametrize("before", [f'{{"DetectorName": "x", "Raw": "{TOKEN}", "RawV2": "', f"see {LINK} "])
def test_what_comes_before_bytes_that_are_no_text_is_read(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    monkeypatch.setattr(json_stream, "_STEP_BYTES", 100)
    with pytest.raises(PartialReportError, match="neither UTF-8") as partial:
        read_report(before.encode() + b"x" * 3000 + b"\xff\xff")
    assert FINGERPRINT in partial.value.findings.fingerprints


def test_the_fields_of_an_object_that_is_too_large_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_FINDING_CHARACTERS", 200)
    for report in ({"Raw": TOKEN, "a": "b" * 300, "c": "d"}, {"version": LINK, "x": "y" * 300, "runs": []}):
        with pytest.raises(PartialReportError, match="has over 200 characters") as partial:
            read_report(json.dumps(report).encode())
        assert FINGERPRINT in partial.value.findings.fingerprints


def test_a_masked_secret_beside_the_whole_link_is_read() -> None:
    entry = {"RuleID": "x", "Secret": "REDACTED", "Match": LINK}
    assert FINGERPRINT in read_report(json.dumps([entry]).encode()).fingerprints


def test_a_secret_of_somebody_else_is_read_whatever_it_looks_like() -> None:
    for secret in ("hunter2!", "-----BEGIN RSA PRIVATE KEY-----\nMIIE", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"):
        assert read_report(json.dumps([{"RuleID": "x", "Secret": secret}]).encode()).unread == 0


@pytest.mark.parametrize(
    "text",
    ["Finding:     auth=Bearer+REDACTED\nSecret:      REDACTED\nRuleID:      x\n", "see auth=Bearer%20REDACTED",
     f"Secret:      {TOKEN[:10]}...\n", "Raw result: ****\n", '"a","auth=Bearer+REDACTED","REDACTED"',
     f"link: Bearer {TOKEN[:8]}…"],
)  # fmt: skip
def test_plain_output_with_a_masked_secret_is_unread(text: str) -> None:
    with pytest.raises(PMEReportError, match="masked secret"):
        read_report(text.encode())


# ---------------------------------------------------------------- where a token stands


@pytest.mark.parametrize("field", ["Secret", "Match", "Line", "Message"])
@pytest.mark.parametrize(
    "text",
    [LINK, f"{'lorem ipsum ' * 100_000}{LINK}", base64.b64encode(LINK.encode()).decode(), f"Bearer {TOKEN}.",
     quote(LINK, safe=""), f"_{LINK}_"],
)  # fmt: skip
def test_a_link_is_found_in_each_text_of_a_finding(field: str, text: str) -> None:
    entry = {"RuleID": "x", "Secret": "somebody-elses-secret", field: text}
    assert FINGERPRINT in read_report(json.dumps([entry]).encode()).fingerprints


def test_a_link_two_hundred_levels_deep_is_found() -> None:
    deep: Any = LINK
    for _ in range(250):
        deep = {"d": [deep]}
    sarif = {"version": "2.1.0", "runs": [{"results": [{"message": deep}]}]}
    assert FINGERPRINT in read_report(json.dumps(sarif).encode()).fingerprints
    assert (
        FINGERPRINT in read_report(json.dumps([{"RuleID": "x", "Secret": "a-secret", "d": deep}]).encode()).fingerprints
    )


@pytest.mark.parametrize("secret", [TOKEN, LINK, f"Bearer {TOKEN}"])
def test_a_base64_encoded_alert_is_read(secret: str) -> None:
    alert = {"number": 1, "secret_type": "custom", "is_base64_encoded": True,
             "secret": base64.b64encode(secret.encode()).decode()}  # fmt: skip
    assert FINGERPRINT in read_report(json.dumps([alert]).encode()).fingerprints
    assert FINGERPRINT in read_report(json.dumps(alert).encode()).fingerprints


def test_a_github_webhook_with_a_secret_is_read() -> None:
    event = {"action": "created", "alert": {"number": 1, "secret": LINK}}
    assert FINGERPRINT in read_report(json.dumps(event).encode()).fingerprints


@pytest.mark.parametrize("alert", [5, None, "x", [], {}, {"number": 1}])
def test_a_github_webhook_without_a_secret_is_refused(alert: Any) -> None:
    for event in ({"alert": alert, "action": "created"}, {"alert": alert}):
        with pytest.raises(PMEReportError):
            read_report(json.dumps(event).encode())


def test_a_key_that_is_repeated_hides_no_secret() -> None:
    raw = f'[{{"RuleID": "x", "Secret": "{TOKEN}", "Secret": "REDACTED"}}]'
    assert FINGERPRINT in read_report(raw.encode()).fingerprints


def test_a_range_of_secretlint_counts_as_javascript_does() -> None:
    source = f"😀😀 token {TOKEN}!"
    entry = {"filePath": "a.txt", "sourceContent": source,
             "messages": [{"message": "found ***", "range": [11, 11 + len(TOKEN)]}]}  # fmt: skip
    assert FINGERPRINT in read_report(json.dumps([entry]).encode()).fingerprints


@pytest.mark.parametrize(
    "text",
    [f"Raw result: {TOKEN}", f"Secret:      {TOKEN}", f"  {TOKEN}  ", f"the token {TOKEN} is in the wiki",
     f"Finding: auth=Bearer+\x1b[1;3;m{TOKEN}\x1b[0m", f"rule,{TOKEN},a.txt", f'<failure>{{"Secret": "{TOKEN}"}}</failure>',
     f"Bearer\n{TOKEN}", f"{'x' * 3_000_000} {LINK} {'y' * 3_000_000}"],
)  # fmt: skip
def test_a_token_in_the_plain_output_of_a_scanner_is_found(text: str) -> None:
    assert FINGERPRINT in read_report(text.encode()).fingerprints


@pytest.mark.parametrize("cut", [1, 25, 3_000])
def test_a_token_across_the_steps_of_reading_a_long_line_is_found(cut: int) -> None:
    text = "x" * ((1 << 20) - cut) + f" {LINK} " + "y" * 100
    assert FINGERPRINT in read_report(text.encode()).fingerprints


# ---------------------------------------------------------------- several documents, and broken ones


@pytest.mark.parametrize("separator", ["", "\n", "\r\n", " ", "\ufeff"])
def test_several_documents_in_one_file_are_all_read(separator: str) -> None:
    first, second = json.dumps([{"RuleID": "x", "Secret": "another-secret"}]), json.dumps(SAMPLES["gitleaks"])
    read = read_report(separator.join([first, second, first]).encode())
    assert (read.form, read.total) == ("gitleaks", 3)
    assert FINGERPRINT in read.fingerprints


def test_documents_of_several_formats_are_read() -> None:
    read = read_report("\n".join(json.dumps(SAMPLES[form]) for form in ("gitleaks", "SARIF", "secretlint")).encode())
    assert (read.form, read.total) == ("gitleaks, SARIF, secretlint", 3)


def test_a_list_of_lists_as_jq_writes_it_is_read() -> None:
    assert read_report(json.dumps([SAMPLES["gitleaks"], []]).encode()).total == 1


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_log_lines_between_findings_are_no_findings_and_hide_none(ending: str) -> None:
    noise = [
        "🐷🔑🐷  TruffleHog. Unearth your secrets. 🐷🔑🐷",
        "",
        *TRUFFLEHOG_LOG.splitlines(),
        "[INFO] done",
        "2026 warn x",
    ]
    lines = [noise[0], LINES.splitlines()[0], *noise, LINES.splitlines()[1], *noise]
    read = read_report(ending.join(lines).encode())
    assert (read.form, read.total) == ("TruffleHog", 2)
    assert FINGERPRINT in read.fingerprints


def test_terminal_sequences_before_findings_hide_none() -> None:
    read = read_report(f"\x1b]11;?\x1b\\\x1b[6n{LINES}".encode())
    assert (read.form, read.total) == ("TruffleHog", 2)


@pytest.mark.parametrize("bad", ['{"SourceMetadata": {}, "Raw": "x', '{"SourceMetadata"', "[{]", '{"a" "b"}'])
def test_a_bad_line_among_json_lines_is_an_error_with_what_was_read(bad: str) -> None:
    first, second = LINES.splitlines()
    with pytest.raises(PartialReportError, match="broken or cut off") as partial:
        read_report(f"{second}\n{bad}\n{first}\n".encode())
    assert FINGERPRINT in partial.value.findings.fingerprints


def test_a_report_that_is_cut_off_is_an_error_with_what_was_read() -> None:
    whole = json.dumps([*SAMPLES["gitleaks"], *SAMPLES["gitleaks"]])
    for cut in range(len(whole) // 2 + 5, len(whole)):
        with pytest.raises(PartialReportError) as partial:
            read_report(whole[:cut].encode())
        assert FINGERPRINT in partial.value.findings.fingerprints


def test_unknown_entries_among_findings_are_an_error_with_what_was_read() -> None:
    with pytest.raises(PartialReportError, match=r"keys what \(3 of them\) is no known report format"):
        read_report(json.dumps([*SAMPLES["gitleaks"], {"what": 1}, "x", 5]).encode())


def test_the_list_of_problems_is_short() -> None:
    with pytest.raises(PMEReportError, match="and 96 more parts were not read") as refused:
        read_report(b'{"a": ]\n' * 500)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("form", ["gitleaks", "SARIF", "detect-secrets", "TruffleHog"])
def test_each_format_is_read_in_every_encoding_with_any_line_ends(form: str, encoding: str) -> None:
    text = FUZZED[form].decode().replace(": ", ":\r\n ")
    read = read_report(text.encode(encoding))
    assert read.form == form
    assert FINGERPRINT in read.fingerprints or read.sha1


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "0." + "1" * 5000])
def test_odd_numbers_break_no_report(number: str) -> None:
    raw = f'[{{"RuleID": "x", "Entropy": {number}, "Secret": "{TOKEN}"}}]'
    assert FINGERPRINT in read_report(raw.encode()).fingerprints


def test_zero_bytes_inside_break_no_report() -> None:
    raw = json.dumps(SAMPLES["gitleaks"]).replace(TOKEN, TOKEN[:5] + "\0" + TOKEN[5:]).encode()
    assert FINGERPRINT in read_report(raw + b"\0\0").fingerprints
    assert FINGERPRINT in read_report(raw.replace(b"\\u0000", b"\0")).fingerprints


def test_a_report_with_too_many_possible_tokens_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_CANDIDATES", 10)
    assert len(read_report("\n".join(f"word-{number:05}" for number in range(10)).encode()).fingerprints) == 10
    with pytest.raises(PartialReportError, match="was not read further"):
        read_report("\n".join(f"word-{number:05}" for number in range(11)).encode())


def test_empty_documents_one_after_the_other_are_each_counted() -> None:
    assert read_report(b"[]\n [] []") == read_report(b"[]")
    for report, count in ((b"{} {}{}", 3), (b"{}[]{}\n[]", 2), (b"[]{}{}x\n{}", 3)):
        with pytest.raises(PMEReportError, match=rf"\({count} of them\) is no known report format"):
            read_report(report)


def test_empty_documents_before_findings_hide_none() -> None:
    findings = json.dumps(SAMPLES["gitleaks"]).encode()
    assert read_report(b"[][]\n" + findings + b"[][]").fingerprints == read_report(findings).fingerprints


def test_too_many_empty_documents_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_ENTRIES", 9)
    assert read_report(b"[]" * 9).total == 0
    with pytest.raises(PMEReportError, match="over 9 entries"):
        read_report(b"[]" * 10)


def test_a_report_with_too_many_entries_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_ENTRIES", 10)
    with pytest.raises(PMEReportError, match="was not read further"):
        read_report(json.dumps([{"RuleID": "x", "Secret": "short"}] * 20).encode())


MEMORY = r"""
import resource, sys
from pme_airflow.errors import PMEError
from pme_airflow.leaks.reports import read_report
million = 1 << 20
size = int(sys.argv[2]) * million
raw = {
    "brackets": lambda: b"[" * size,
    "one string": lambda: b'[{"RuleID": "x", "Secret": "' + b"a" * (size - million) + b'"}]',
    "wide string": lambda: b'[{"RuleID": "x", "Secret": "' + "\U0001f600".encode() * (3 * million) + b'"}]',
    "empty lists": lambda: b"[" + b"[]," * (size // 4) + b"[]]",
    "lists in a finding": lambda: b'[{"RuleID": [' + b"[]," * 1_300_000 + b"[]]}]",
    "lines": lambda: b"a\n" * (size // 2),
}[sys.argv[1]]()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_report(raw)
except PMEError:
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(
    "bomb", ["brackets", "one string", "wide string", "empty lists", "lists in a finding", "lines"]
)
def test_no_report_takes_more_than_200_megabytes(bomb: str) -> None:
    command = [sys.executable, "-c", MEMORY, bomb, str(scaled(12, 64))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200


def test_detect_secrets_own_baseline_is_read(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(f'api_key = "{TOKEN}"\n')
    tool = [sys.executable, "-m", "detect_secrets", "scan", "--all-files", str(tmp_path)]
    made = subprocess.run(tool, capture_output=True, check=True, cwd=tmp_path).stdout
    read = read_report(made)
    assert read.form == "detect-secrets"
    assert hashlib.sha1(TOKEN.encode()).hexdigest() in read.sha1


@pytest.mark.skipif(not (NODE / "node_modules/secretlint").exists(), reason="needs secretlint: make node (npm)")
@pytest.mark.parametrize("masked", [False, True])
def test_secretlint_finds_links_by_our_rules_and_its_reports_are_read(tmp_path: Path, masked: bool) -> None:
    shutil.copy(ROOT / "rules" / "secretlintrc.json", tmp_path / ".secretlintrc.json")
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    (tmp_path / "note.txt").write_text(f"look: {LINK}\n")
    (tmp_path / "clean.txt").write_text("nothing here\n")

    def run(form: str) -> bytes:
        words = [str(NODE / "node_modules/.bin/secretlint"), "--format", form, "*.txt"]
        done = subprocess.run(words + ([] if masked else ["--no-maskSecrets"]), cwd=tmp_path, capture_output=True)
        assert done.returncode == 1, done.stderr
        return done.stdout

    read = read_report(run("json"))
    assert (read.form, read.total, FINGERPRINT in read.fingerprints) == ("secretlint", 1, True)
    sarif = run("@secretlint/secretlint-formatter-sarif")
    if masked:
        with pytest.raises(PMEReportError, match="masked"):
            read_report(sarif)
    else:
        assert FINGERPRINT in read_report(sarif).fingerprints


def _broken(raw: bytes, chance: random.Random) -> bytes:
    """A sample, cut, changed, nested, or in another encoding."""
    kind = chance.randrange(7)
    if kind == 0:
        return raw[: chance.randrange(len(raw))]
    if kind == 1:
        at = chance.randrange(len(raw))
        return raw[:at] + bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9))) + raw[at + 1 :]
    if kind == 2:
        depth = chance.randrange(1, 3000)
        return b'{"runs":' * depth + raw + b"}" * depth
    if kind == 3:
        return raw.decode().encode(chance.choice(["utf-16", "utf-16-le", "utf-32", "cp037", "utf-7"]))
    if kind == 4:
        return raw * chance.randrange(2, 60)
    if kind == 5:
        return json.dumps(_retyped(_parsed(raw), chance)).encode()
    return raw.replace(b'"', chance.choice([b"'", b"", b'\\"']), chance.randrange(1, 6))


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw.splitlines()[0])
    except ValueError:
        return raw.decode()


def _retyped(value: Any, chance: random.Random) -> Any:
    if chance.random() < 0.12:
        return chance.choice([None, 0, -1.5, True, "", [], {}, [[]], {"a": None}, TOKEN, 10**30])
    if isinstance(value, dict):
        return {key: _retyped(inner, chance) for key, inner in value.items()}
    if isinstance(value, list):
        return [_retyped(inner, chance) for inner in value]
    return value


@pytest.mark.timeout(scaled(120, 1200))
@pytest.mark.parametrize("form", FUZZED)
def test_a_broken_report_is_never_a_traceback_and_no_message_shows_a_token(form: str) -> None:
    chance = random.Random(form)
    for _ in range(scaled(200, 10_000)):
        problem = _problem(_broken(FUZZED[form], chance))
        if problem is not None:
            assert TOKEN not in str(problem)
            assert problem.__cause__ is None


def _problem(raw: bytes) -> PMEReportError | None:
    try:
        read_report(raw)
    except PMEReportError as error:
        return error
    return None


CSV_HEAD = (
    "RuleID,Commit,File,SymlinkFile,Secret,Match,StartLine,EndLine,StartColumn,EndColumn,Author,Message,Date,Email,"
    "Fingerprint,Tags"
)
JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite failures="1" name="gitleaks" tests="1"><testcase classname="x" file="a.txt" name="x in a.txt">
<failure message="x has detected secret in file a.txt, line 1." type="x">{&#xA;&#34;RuleID&#34;: &#34;x&#34;,&#xA;&#34;Secret&#34;: &#34;SECRET&#34;&#xA;}</failure>
</testcase></testsuite></testsuites>"""


@pytest.mark.parametrize("mask", ["REDACTED", "k3f9s...", "***", "k3f9***"])
@pytest.mark.parametrize("form", ["csv", "csv, quoted", "junit"])
def test_masked_findings_in_gitleaks_other_forms_are_unread(form: str, mask: str) -> None:
    quoted = f'"{mask}"' if form == "csv, quoted" else mask
    raw = JUNIT.replace("SECRET", mask)
    if form != "junit":
        raw = f"{CSV_HEAD}\nx,abc,a.txt,,{quoted},{quoted},1,1,1,1,,,,,a.txt:x:1,\n"
    with pytest.raises(PMEReportError, match="masked"):
        read_report(raw.encode())


@pytest.mark.parametrize("form", ["csv", "junit"])
def test_findings_in_gitleaks_other_forms_are_read(form: str) -> None:
    raw = JUNIT.replace("SECRET", TOKEN)
    if form == "csv":
        raw = f"{CSV_HEAD}\nx,abc,a.txt,,{TOKEN},auth={TOKEN},1,1,1,1,Ada,wip... more,2026,a@b.test,a.txt:x:1,\n"
    assert FINGERPRINT in read_report(raw.encode()).fingerprints


def test_an_empty_table_is_clean() -> None:
    assert FINGERPRINT not in read_report(f"{CSV_HEAD}\n".encode()).fingerprints
