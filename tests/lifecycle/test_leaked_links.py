"""What a leak response says: exposure, what may be alive and why, and whether the promise was kept."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pme_airflow.errors import PMEInputError, PMEUnavailableError
from pme_airflow.leaks.reports import Findings
from pme_airflow.ledger.states import ALIVE, State
from pme_airflow.lifecycle.leaked_links import LeakedLink, LeakRequest, LeakResponse
from tests.support.clocks import FakeClock
from tests.support.leaked import FINGERPRINT, TOKEN
from tests.support.ledgers import insert_link, ledger_in_memory, row_of

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def leaked(reason: str | None = None, **values: Any) -> LeakedLink:
    ledger = ledger_in_memory(FakeClock())
    insert_link(ledger, "lnk", NOW, **{"state": "live", "flagged_at": NOW, "sealed": "pme-sealed:v1:k:x", **values})
    return LeakedLink(row_of(ledger, "lnk"), reason)


def test_exposure_is_from_the_flag_to_the_confirmation() -> None:
    assert leaked(state="revoked", revoked_at=NOW + timedelta(seconds=2.5)).exposure == 2.5
    assert leaked().exposure is None
    assert leaked(flagged_at=None, revoked_at=NOW).exposure is None


@pytest.mark.parametrize("state", State)
def test_what_may_be_alive_is_named_as_such(state: State) -> None:
    link = leaked(state=state.value)
    assert link.alive is (state in ALIVE)
    response = LeakResponse((link,), swept=True)
    assert response.promise_kept is (state not in ALIVE)
    assert bool(response.lines()) is (state in ALIVE)
    assert bool(response.revoked) is (state is State.REVOKED)


def test_a_line_says_which_link_why_until_when_and_what_happens_next() -> None:
    line = leaked("the API is away.", fingerprint=FINGERPRINT).not_revoked_line
    assert line == (
        f"NOT revoked: link lnk of model ModelAAAAAA, audience intranet ({FINGERPRINT}): the API is away. It may live "
        "until 2026-05-02 12:00 UTC. The next sweep tries again; `pme-airflow sweep` tries now."
    )
    lost = leaked(state="unaccounted").not_revoked_line
    assert "no revocation was confirmed" in lost
    assert "next sweep" not in lost  # nobody has its token


@pytest.mark.parametrize(
    ("values", "kept", "permanent"),
    [
        ({}, True, False),
        ({"problems": (PMEInputError("x"),)}, False, True),
        ({"sweep_error": PMEUnavailableError("away")}, False, False),
        ({"sweep_error": PMEInputError("x")}, False, True),
        ({"tombstones": (FINGERPRINT,), "unknown": ("model M",)}, True, False),
    ],
)
def test_the_promise_is_kept_if_all_was_read_and_the_sweep_ended(
    values: dict[str, Any], kept: bool, permanent: bool
) -> None:
    response = LeakResponse(**values)
    assert (response.promise_kept, response.permanent) == (kept, permanent)


def test_a_summary_counts_and_names_what_was_not_found() -> None:
    links = (leaked(), leaked(state="revoked", revoked_at=NOW))
    assert LeakResponse(links).summary == "2 links flagged"
    assert LeakResponse(links, swept=True).summary == "2 links flagged; 1 revoked, 1 NOT revoked"
    report = Findings("gitleaks", 3, ("sha256:a",), frozenset(), 1)
    full = LeakResponse((), ("sha256:a",), ("model M", "audience x"), findings=report)
    assert full.summary == (
        "0 links flagged; 1 fingerprints of no known link, kept as tombstones; none of the 2 findings is a known link; "
        "nothing is alive of model M, audience x"
    )
    assert "finding" not in LeakResponse(links, findings=report, known_findings=1).summary


def test_lines_name_all_that_a_person_must_know() -> None:
    response = LeakResponse(
        (leaked(),), ("sha256:a",), outside=("sha256:b",), problems=(PMEInputError("x: is bad"),),
        sweep_error=PMEUnavailableError("away"),
    )  # fmt: skip
    lines = response.lines()
    assert [part for part in ("sha256:a", "sha256:b", "ended early: away", "x: is bad") if part not in str(lines)] == []
    assert not any(line.startswith("NOT revoked") for line in lines)  # no sweep was asked for


def test_json_holds_neither_token_nor_sealed_text() -> None:
    response = LeakResponse((leaked("why"),), swept=True)
    text = json.dumps(response.as_json())
    assert "sealed" not in text
    (token,) = response.as_json()["tokens"]
    assert (token["link_id"], token["not_revoked"], token["exposure"]) == ("lnk", "why", None)
    given = LeakRequest((TOKEN,), (TOKEN,), (TOKEN,), (TOKEN,), report_places=(TOKEN,), reason=TOKEN)
    assert TOKEN not in repr(given)


def test_what_names_single_links_is_apart_from_groups() -> None:
    report = Findings("gitleaks", 0, (), frozenset(), 0)
    request = LeakRequest(("t",), ("m",), ("a",), ("l",), (report,), ("p",))
    assert request.single_links == ("t", "l", report, "p")


def test_a_request_flags_alone_unless_it_asks_for_more() -> None:
    request = LeakRequest(tokens=(TOKEN,))
    assert (request.sweep, request.within, request.max_attempts, request.deadline) == (False, False, 6, None)
    response = LeakResponse()
    assert (response.swept, response.sweep, response.known_findings) == (False, None, 0)


@pytest.mark.parametrize(("count", "more"), [(100, None), (101, 1), (150, 50)])
def test_a_hundred_links_that_may_be_alive_are_named_and_the_others_counted(count: int, more: int | None) -> None:
    lines = LeakResponse((leaked(),) * count, swept=True).lines()
    assert len([line for line in lines if line.startswith("NOT revoked: link")]) == min(100, count)
    assert [line for line in lines if "more links" in line] == (
        [] if more is None else [
            f"NOT revoked: {more} more links. `pme-airflow ledger list --state live` lists them."
        ]
    )  # fmt: skip


def test_json_has_the_first_thousand_links_and_counts_all() -> None:
    shown = LeakResponse((leaked(),) * 1001, swept=True).as_json()
    assert (len(shown["tokens"]), shown["total"], shown["pending"], shown["form"]) == (1000, 1001, None, None)
