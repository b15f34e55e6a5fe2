"""The response to a leak finds our links in scanners' reports, by fingerprint and by SHA-1, in several reports at once."""

from __future__ import annotations

import hashlib
import json

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.leaks.reports import Findings, merged, read_report
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.leak_response import respond
from pme_airflow.lifecycle.leak_result import LeakRequest, LeakResponse
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS
from tests.support.rooms import mint, rows


@pytest.fixture(autouse=True)
def links(services: Services) -> None:
    mint(services, "one", list(MODELS)[:3])


def flag(services: Services, *reports: Findings) -> LeakResponse:
    return respond(services, RunContext("cli/flag"), LeakRequest(reports=reports))


def flagged(services: Services) -> set[str]:
    return {row.fingerprint or "" for row in rows(services) if row.flagged_at is not None}


def detect_secrets(*secrets: str) -> Findings:
    entries = [{"type": "x", "hashed_secret": hashlib.sha1(secret.encode()).hexdigest()} for secret in secrets]
    report = {"version": "1.5.0", "plugins_used": [], "results": {"a.py": entries}}
    return read_report(json.dumps(report).encode())


@pytest.mark.parametrize(
    "captured",
    ["{token}", "Bearer+{token}", "Bearer {token}", "Bearer%20{token}", "{link}", "{link_with_space}"],
)
def test_a_sha1_matches_what_a_scanner_captured_of_a_link(services: Services, captured: str) -> None:
    row, opened = list(services.live_links())[1]
    assert opened is not None
    url = opened.url.reveal()
    secret = captured.format(token=opened.token.reveal(), link=url, link_with_space=url.replace("+", "%20"))
    report = flag(services, detect_secrets(secret, "somebody else's"))
    assert flagged(services) == {row.fingerprint}
    assert report.known_findings == 1


def test_a_sha1_of_nobody_s_matches_nothing(services: Services) -> None:
    report = flag(services, detect_secrets("somebody else's"))
    assert flagged(services) == set()
    assert report.known_findings == 0


def test_two_reports_in_one_response_are_both_answered(services: Services, world: World) -> None:
    first, second, _ = world.alive()
    text = read_report(f"see auth=Bearer+{first.token}".encode())
    both = merged([text, None, detect_secrets(second.token)])
    assert both is not None
    assert (both.form, both.total) == ("plain text, detect-secrets", 2)
    assert flag(services, text, detect_secrets(second.token)).known_findings == 2
    by_model = {row.model_id: row.fingerprint for row in rows(services)}
    assert flagged(services) == {by_model[first.model_id], by_model[second.model_id]}


def test_reports_that_hold_nothing_of_ours_leave_no_tombstone(services: Services) -> None:
    report = flag(services, read_report(b"auth=Bearer+" + b"z" * 25))
    assert (report.known_findings, report.tombstones) == (0, ())
