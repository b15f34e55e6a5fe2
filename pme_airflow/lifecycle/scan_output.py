"""A scan's result as text, JSON and SARIF; never a token in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from pme_airflow import __version__
from pme_airflow.lifecycle.scan import ScanFinding, ScanResult
from pme_airflow.printable import printable

__all__ = ["as_sarif", "rendered", "summary_lines"]

_RULE_ID = "pme-live-link"
_RULE = {
    "id": _RULE_ID,
    "shortDescription": {"text": "A live private-embed link"},
    "help": {"text": "Flag it: pme-airflow ledger flag --sweep FINGERPRINT"},
}


def rendered(result: ScanResult, form: str) -> str:
    """Return the findings as ``text``, ``json`` or ``sarif``."""
    if form == "sarif":
        return json.dumps(as_sarif(result.findings), indent=2) + "\n"
    if form == "json":
        return json.dumps([finding.as_json() for finding in result.findings], indent=2) + "\n"
    return "".join(f"{_line(finding)}\n" for finding in result.findings)


def summary_lines(result: ScanResult) -> list[str]:
    """Return lines to print after the findings: counts, the result of the flag, and what was not searched."""
    places = sum(1 + finding.more for finding in result.findings)
    count = f"{places} places with {len(result.fingerprints)} live links."
    flagged = [f"{result.response.summary}."] if result.response is not None else []
    return [count, *flagged, *(f"pme-airflow: {problem}" for problem in result.problems)]


def _line(finding: ScanFinding) -> str:
    path, models = printable(finding.path, None), ",".join(finding.models or [finding.model_id])
    link = f"{finding.fingerprint}  {models}  {finding.audience}"
    more = f"\n{path}: {finding.more} more places  {link}" if finding.more else ""
    return f"{path}:{finding.offset}  {link}{more}"


def as_sarif(findings: Iterable[ScanFinding]) -> dict[str, Any]:
    """Return findings as SARIF 2.1.0 (OASIS), for code scanning tools."""
    driver = {"name": "pme-airflow scan", "version": __version__, "rules": [_RULE]}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [_sarif_result(finding) for finding in findings]}],
    }


def _sarif_result(finding: ScanFinding) -> dict[str, Any]:
    location = {"artifactLocation": {"uri": _uri(finding.path)}, "region": {"byteOffset": finding.offset}}
    text = f"A live link of {finding.named_models} ({finding.audience}), {finding.fingerprint}."
    if finding.more:
        text += f" It is at {finding.more} more places of this file."
    return {
        "ruleId": _RULE_ID,
        "level": "error",
        "message": {"text": text},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"pmeFingerprint/v1": finding.fingerprint},
    }


def _uri(path: str) -> str:
    """Return a path or URL as a URI reference; what RFC 3986 does not allow in one is percent-encoded."""
    return quote(os.fsencode(path), safe="/:@!$&'()*+,;=~")
