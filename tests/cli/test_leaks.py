"""What the commands print of a leak: what they selected, what became of it, what a person must do, and the status."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pme_airflow.cli.leaks import exit_status, print_response, print_selected
from pme_airflow.errors import PMEInputError
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow
from pme_airflow.lifecycle.leaked_links import LeakedLink, LeakResponse
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT, OTHER, insert_link, ledger_in_memory, row_of

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
FINGERPRINT = "sha256:" + "a" * 64
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def ledger() -> Database:
    return ledger_in_memory(FakeClock())


def link(ledger: Database, name: str, **values: Any) -> LinkRow:
    insert_link(ledger, name, NOW, **{"state": "live", "flagged_at": NOW, "fingerprint": FINGERPRINT, **values})
    return row_of(ledger, name)


def test_at_most_twenty_links_are_listed_before_they_are_flagged(ledger: Database, capsys: Captured) -> None:
    found = [link(ledger, f"lnk_{n:02}", audience=f"a{n % 2}", fingerprint=None) for n in range(21)]
    print_selected(found[:20])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Links that match: 20:\n  lnk_00  model ModelAAAAAA  audience a0  no token yet\n")
    assert "more" not in shown.err
    print_selected(found)
    shown = capsys.readouterr()
    assert "lnk_19" in shown.err
    assert "lnk_20" not in shown.err
    assert "and 1 more; together of audience a0, a1" in shown.err
    print_selected([])
    assert capsys.readouterr().err == "Links that match: 0.\n"


def response(ledger: Database, name: str, client_id: str, **values: Any) -> LeakResponse:
    """A sweep that revoked one link and not the other."""
    ended = {"state": "revoked", "revoked_at": NOW + timedelta(seconds=3)}
    gone = link(ledger, f"{name}_gone", **ended)
    alive = link(ledger, f"{name}_alive", client_id=client_id)
    return LeakResponse((LeakedLink(alive, "the API is away"), LeakedLink(gone)), swept=True, **values)


def test_json_is_all_that_is_on_standard_output(ledger: Database, capsys: Captured) -> None:
    print_response(response(ledger, "json", CLIENT), "json", CLIENT)
    shown = capsys.readouterr()
    printed = json.loads(shown.out)
    assert [token["exposure"] for token in printed["tokens"]] == [None, 3.0]
    assert shown.err.startswith("NOT revoked: link json_alive of model ModelAAAAAA")
    assert "connection" not in shown.err


def test_a_table_begins_with_the_summary(ledger: Database, capsys: Captured) -> None:
    print_response(response(ledger, "table", CLIENT), "table", CLIENT)
    shown = capsys.readouterr().out
    assert shown.startswith("2 links flagged; 1 revoked, 1 NOT revoked.\n")
    assert FINGERPRINT in shown


def test_another_clients_link_is_left_with_what_to_do(
    ledger: Database, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pme_airflow.hooks.client_connections.how_to_revoke", lambda client_id: f"Use {client_id}'s.")
    print_response(response(ledger, "theirs", OTHER), "json", CLIENT)
    assert f"Links of client {OTHER} are NOT revoked by this connection. Use {OTHER}'s." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, 0),
        ({"tombstones": (FINGERPRINT,)}, 0),
        ({"problems": (PMEInputError("x"),)}, 2),
        ({"problems": (PMEInputError("x"),), "tombstones": (FINGERPRINT,)}, 1),
        ({"problems": (PMEInputError("x"),), "swept": True}, 1),
        ({"outside": (FINGERPRINT,)}, 1),
        ({"never_recorded": ("audience typo",)}, 1),
    ],
)
def test_the_status_is_0_only_if_all_was_done(values: dict[str, Any], status: int) -> None:
    assert exit_status(LeakResponse(**values)) == status


def test_a_link_that_may_be_alive_after_a_sweep_fails_the_command(ledger: Database) -> None:
    left = response(ledger, "left", CLIENT)
    assert exit_status(left) == 1
    assert exit_status(LeakResponse(left.links[1:], swept=True)) == 0
    assert exit_status(LeakResponse(left.links)) == 0  # nothing was to be revoked
