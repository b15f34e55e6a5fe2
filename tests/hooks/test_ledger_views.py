from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pme_airflow.hooks.ledger_views import configured_placements, placements_in, rules_of
from pme_airflow.ledger.read_model.rules import NightlyRule, RenewalRule
from pme_airflow.placements import check

TARGET = 'targets: [{kind: object_storage, path: "file:///srv/embeds"}]'
NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def placed(text: str) -> str:
    return f"audience: intranet\nvalid_for: 24h\nmodels: [ModelAAAAAA]\n{TARGET}\n{text}"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", RenewalRule(0.5, timedelta(minutes=65), timedelta(minutes=31))),
        ("renew_before: 6h\nkeep_every: 5m", RenewalRule(0.25, timedelta(minutes=15), timedelta(minutes=6))),
    ],
)
def test_a_placement_says_when_its_links_are_due(text: str, rule: RenewalRule) -> None:
    assert rules_of(check(placed(text)), NOON).by_audience == {"intranet": rule}


@pytest.mark.parametrize(
    ("zone", "now", "last", "following"),
    [
        ("UTC", NOON, "2026-06-01T02:00Z", "2026-06-02T02:00Z"),
        ("Europe/Berlin", NOON, "2026-06-01T00:00Z", "2026-06-02T00:00Z"),
        ("Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=timezone.utc), "2026-10-25T00:00Z", "2026-10-26T01:00Z"),
        ("Pacific/Auckland", datetime(2026, 6, 1, 14, tzinfo=timezone.utc), "2026-06-01T14:00Z", "2026-06-02T14:00Z"),
    ],
)
def test_without_the_keeper_the_nightly_run_renews(zone: str, now: datetime, last: str, following: str) -> None:
    text = placed(f"keep_every: false\nallow_gaps: true\ntimezone: {zone}")
    (rule,) = rules_of(check(text), now).by_audience.values()
    assert isinstance(rule, NightlyRule)
    assert (f"{rule.last_run:%Y-%m-%dT%H:%MZ}", f"{rule.next_run:%Y-%m-%dT%H:%MZ}") == (last, following)


def test_placements_that_cannot_be_read_are_a_problem_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PME_PLACEMENTS", str(tmp_path / "placements.yaml"))
    assert "cannot be read" in (configured_placements().problem or "")
    assert configured_placements().is_missing
    (tmp_path / "placements.yaml").write_text("audience: 7")
    assert configured_placements().problem
    assert not configured_placements().is_missing
    assert "cannot be read" in (placements_in(tmp_path / "none.yaml").problem or "")
    assert placements_in(tmp_path / "placements.yaml").problem
    (tmp_path / "placements.yaml").write_text(placed(""))
    assert [p.audience for p in configured_placements().placements] == ["intranet"]
    assert [p.audience for p in placements_in(tmp_path / "placements.yaml").placements] == ["intranet"]


def test_the_placements_next_to_a_dag_are_read_before_those_in_the_dags_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DAG of a bundle, or of a folder below the DAGs folder, has its placements next to it."""
    monkeypatch.delenv("PME_PLACEMENTS", raising=False)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path))
    dag_file = tmp_path / "team" / "dag.py"
    dag_file.parent.mkdir()
    missing = configured_placements(dag_file)
    assert missing.is_missing
    assert str(dag_file.parent / "placements.yaml") in (missing.problem or "")
    (tmp_path / "placements.yaml").write_text(placed("").replace("intranet", "all"))
    assert [p.audience for p in configured_placements(dag_file).placements] == ["all"]
    (dag_file.parent / "placements.yaml").write_text(placed(""))
    assert [p.audience for p in configured_placements(dag_file).placements] == ["intranet"]
    assert [p.audience for p in configured_placements().placements] == ["all"]
