from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from tests.cli.conftest import Run
from tests.conftest import MODELS
from tests.support.ledgers import change

MODEL = next(iter(MODELS))


@pytest.fixture
def shown(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A link that a slot shows; its id."""
    monkeypatch.setenv("PME_PLACEMENTS", str(tmp_path / "placements.yaml"))
    (tmp_path / "placements.yaml").write_text(
        f'audience: intranet\nvalid_for: 24h\nmodels: [{MODEL}]\ntargets: [{{kind: object_storage, path: "file:///x"}}]'
    )
    hook = PMEHook()
    (item,) = hook.items(hook.mint([MODEL], audience="intranet").items)
    hook.record_publication(item, "wordpress:site", "page 42")
    return str(item["link_id"])


def status(run: Run, *options: str) -> tuple[int, dict[str, Any]]:
    result = run("status", "--format", "json", *options)
    return result.exit_code, json.loads(result.stdout)


def test_all_is_well_while_links_are_live(run: Run, shown: str) -> None:
    code, answer = status(run)
    assert (code, answer["ok"], answer["counts"]["live"]) == (0, True, 1)
    (slot,) = answer["slots"]
    assert (slot["link_id"], slot["slot"], slot["state"], slot["audience"]) == (shown, "page 42", "live", "intranet")
    assert answer["placements_problem"] is None
    assert [audience["audience"] for audience in answer["audiences"]] == ["intranet"]


def test_a_dark_slot_ends_it_with_1(run: Run, shown: str) -> None:
    change(PMEHook().database, shown, valid_until=datetime.now(timezone.utc))
    code, answer = status(run)
    assert (code, answer["ok"], answer["counts"]["dark"]) == (1, False, 1)
    table = run("status")
    assert table.exit_code == 1
    assert "1 dark" in table.stdout
    assert "page 42" in table.stdout


def test_an_overdue_renewal_ends_it_with_1(run: Run, shown: str) -> None:
    now = datetime.now(timezone.utc)
    change(PMEHook().database, shown, minted_at=now - timedelta(hours=14), valid_until=now + timedelta(hours=10))
    code, answer = status(run)
    assert (code, answer["counts"]["due"], answer["counts"]["overdue"], answer["counts"]["at_risk"]) == (1, 1, 1, 1)
    assert (answer["slots"][0]["at_risk"], answer["audiences"][0]["counts"]["at_risk"]) == (True, 1)
    table = run("status")
    assert "1 overdue, 1 at risk." in table.stdout
    assert "intranet: 1 of its slots" in table.stderr
    assert "pme_link_keeper" in table.stderr


def test_an_overdue_revocation_ends_it_with_1_and_a_cure(run: Run, shown: str) -> None:
    change(PMEHook().database, shown, flagged_at=datetime.now(timezone.utc) - timedelta(hours=1))
    code, answer = status(run)
    assert (code, [late["kind"] for late in answer["overdue"]]) == (1, ["leaks"])
    assert "`pme-airflow sweep`" in run("status").stderr


def test_a_missing_ledger_is_an_error_and_is_not_made(run: Run, tmp_path: Path) -> None:
    result = run("status")
    assert result.exit_code == 2
    assert "no tables yet" in result.stderr
    assert not list((tmp_path / "home").glob("*.db"))


def test_a_ledger_without_slots_says_so(run: Run, shown: str) -> None:
    run("ledger", "migrate")
    assert "No slot" not in run("status").stdout
    hook = PMEHook()
    with hook.database.write() as tx:
        from sqlalchemy import delete

        from pme_airflow.ledger.tables import publications

        tx.execute(delete(publications))
    result = run("status")
    assert (result.exit_code, "No slot shows a link." in result.stdout) == (0, True)


def test_a_file_of_placements_can_be_named(run: Run, shown: str, world: World, tmp_path: Path) -> None:
    _, answer = status(run, "--placements", str(tmp_path / "none.yaml"))
    assert "none.yaml" in answer["placements_problem"]
