"""Scanners' reports: each format is read, an unknown one is refused, and no message contains a token."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.errors import PMEReportError
from pme_airflow.leaks import reports
from pme_airflow.leaks.reports import Findings, read_report
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
    "Kingfisher": {"findings": [{"rule": {"name": "x"}, "finding": {"snippet": TOKEN, "path": "a.txt"}}]},
    "secretlint": [{"filePath": "a.txt", "sourceContent": f"see {LINK}", "messages": [
        {"message": "found ****", "range": [4, 4 + len(LINK)], "ruleId": "p"}]}],
}  # fmt: skip
LINES = "\n".join(
    json.dumps({"SourceMetadata": {"Data": {}}, "DetectorName": "Custom", "Raw": raw, "Verified": False})
    for raw in (TOKEN, "another-secret-of-somebody")
)


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


def test_a_report_too_big_is_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_REPORT_BYTES", 100)
    with pytest.raises(PMEReportError, match="limit of 100"):
        read_report(b"x" * 101)


def test_a_report_of_no_findings_has_none() -> None:
    assert read_report(b"[]").total == 0


def test_findings_go_through_json_and_back() -> None:
    read = read_report(LINES.encode())
    assert Findings.of_json(json.loads(json.dumps(read.as_json()))) == read


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


FUZZED = {form: json.dumps(sample).encode() for form, sample in SAMPLES.items()} | {
    "TruffleHog": LINES.encode(),
    "plain text": f"see <{LINK}|here>, and sha256:{'0' * 64}".encode(),
    "detect-secrets": json.dumps({"version": "1.5.0", "plugins_used": [], "results": {
        "a.py": [{"type": "x", "hashed_secret": "0" * 40, "line_number": 1}]}}).encode(),
}  # fmt: skip


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
