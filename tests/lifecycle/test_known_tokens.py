"""Which findings of a report are tokens of known links."""

from __future__ import annotations

import hashlib
import json

import pytest

from pme_airflow.leaks.reports import Findings, merged, read_report
from pme_airflow.lifecycle.known_tokens import known_fingerprints
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS
from tests.support.rooms import mint, rows

ALL = list(MODELS)[:3]


def detect_secrets(*secrets: str) -> Findings:
    entries = [{"type": "x", "hashed_secret": hashlib.sha1(secret.encode()).hexdigest()} for secret in secrets]
    report = {"version": "1.5.0", "plugins_used": [], "results": {"a.py": entries}}
    return read_report(json.dumps(report).encode())


@pytest.mark.parametrize(
    "captured", ["{token}", "Bearer+{token}", "Bearer {token}", "Bearer%20{token}", "{link}", "{link_with_space}"]
)
def test_a_sha1_matches_what_a_scanner_captured_of_a_link(services: Services, captured: str) -> None:
    mint(services, "one", ALL)
    row, opened = list(services.live_links())[1]
    assert opened is not None
    url = opened.url.reveal()
    secret = captured.format(token=opened.token.reveal(), link=url, link_with_space=url.replace("+", "%20"))
    assert known_fingerprints(services, detect_secrets(secret, "somebody else's")) == [row.fingerprint]


def test_a_sha1_of_nobodys_matches_nothing(services: Services) -> None:
    mint(services, "one", ALL)
    assert known_fingerprints(services, detect_secrets("somebody else's")) == []


def test_fingerprints_and_digests_of_several_reports_are_matched_once(services: Services) -> None:
    mint(services, "one", ALL)
    (first, one), (second, two), _ = services.live_links()
    assert one is not None
    assert two is not None
    text = read_report(f"see auth=Bearer+{one.token.reveal()}".encode())
    both = merged([text, None, detect_secrets(one.token.reveal(), two.token.reveal())])
    assert both is not None
    assert sorted(known_fingerprints(services, both)) == sorted([first.fingerprint or "", second.fingerprint or ""])


def test_a_link_that_is_over_is_known_by_its_fingerprint(services: Services) -> None:
    from pme_airflow.ledger import flags
    from pme_airflow.ledger.run_context import RunContext
    from tests.support.rooms import sweep

    mint(services, "one", ALL[:1])
    (row,) = rows(services)
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", link_ids=[row.link_id])
    sweep(services)
    assert known_fingerprints(services, Findings("x", 1, (row.fingerprint or "",))) == [row.fingerprint]
