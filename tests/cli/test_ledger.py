"""The ledger is listed, shown, exported and looked after from the command line."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from pme_airflow.cli import deadlines
from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.ledger.tables import HEAD_REVISION, links
from tests.cli.conftest import Run, listed
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment

FIELDS = {
    "link_id", "model_id", "audience", "state", "fingerprint", "requested_at", "minted_at", "valid_until",
    "flagged_at", "retire_at", "revoked_at", "revoke_attempts", "irrevocable",
}  # fmt: skip


@pytest.fixture
def empty(run: Run) -> None:
    """A ledger without links."""
    assert run("ledger", "migrate").exit_code == 0


@pytest.mark.parametrize("words", [("list",), ("list", "--format", "json"), ("show", "lnk_x"), ("export",)])
def test_reading_a_ledger_that_does_not_exist_says_so_and_makes_no_file(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = run("ledger", *words)
    assert done.exit_code == 2
    assert "ledger migrate" in done.stderr
    assert not list(tmp_path.rglob("pme_ledger.db*"))


def test_an_empty_ledger_is_an_empty_list(run: Run, empty: None) -> None:
    assert run("ledger", "migrate").exit_code == 0
    assert listed(run) == []


def test_listing_a_ledger_that_does_not_exist_says_so_and_makes_no_file(run: Run, tmp_path: Path) -> None:
    result = run("ledger", "list", "--format", "json")
    assert result.exit_code == 2
    assert "ledger migrate" in result.stderr
    assert not list(tmp_path.rglob("pme_ledger.db*"))


def test_the_list_holds_what_is_promised_and_no_token(run: Run, tokens: list[str]) -> None:
    result = run("ledger", "list", "--format", "json")
    rows = json.loads(result.stdout)
    assert all(set(row) >= FIELDS for row in rows)
    assert {row["state"] for row in rows} == {"live"}
    assert not any(token in result.output for token in tokens)
    assert len(json.loads(run("ledger", "list", "--format", "json", "--model", rows[0]["model_id"]).stdout)) == 1
    assert json.loads(run("ledger", "list", "--format", "json", "--state", "revoked").stdout) == []


def test_the_audit_is_exported_as_lines_and_as_csv(run: Run, tokens: list[str]) -> None:
    lines = [json.loads(line) for line in run("ledger", "export").stdout.splitlines()]
    assert [line["event"] for line in lines] == ["requested"] * 3 + ["made"] * 3
    assert run("ledger", "export", "--format", "csv").stdout.startswith("at,event,link_id")


def test_links_are_resealed_after_a_change_of_secret(
    run: Run, tokens: list[str], monkeypatch: pytest.MonkeyPatch, world: World, address: str, tmp_path: Path
) -> None:
    world.settings = replace(world.settings, client_secret="the new secret")
    fields = {"login": world.settings.client_id, "password": "the new secret", "host": address}
    pme_in_environment(monkeypatch, tmp_path / "home", **fields)
    assert "3 could not be opened" in run("ledger", "reseal").output
    pme_in_environment(monkeypatch, tmp_path / "home", **fields, extra={"seal_keys": ["n" * 32, SECRET]})
    assert "3 links resealed" in run("ledger", "reseal").output
    assert "0 links resealed, 0" in run("ledger", "reseal").output


def test_a_mistyped_secret_reseals_nothing(
    run: Run, tokens: list[str], monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], tmp_path: Path
) -> None:
    mistyped = {**connection, "password": "the new secret, mistyped"}
    pme_in_environment(monkeypatch, tmp_path / "home", **mistyped, extra={"seal_keys": [f"open:{SECRET}"]})
    done = run("ledger", "reseal")
    assert done.exit_code == 2
    assert "refused the client id or secret" in done.stderr
    away = {**mistyped, "host": "http://127.0.0.1:9"}
    pme_in_environment(monkeypatch, tmp_path / "home", **away, extra={"seal_keys": [f"open:{SECRET}"]})
    monkeypatch.setattr(deadlines, "MAX_WAIT", timedelta(seconds=1))
    done = run("ledger", "reseal", "--unchecked")
    assert done.exit_code == 1
    assert "3 links resealed, 0 could" in done.output
    assert "was not checked" in done.stderr


def test_a_table_of_links_folds_no_id_and_shows_times_to_the_second(run: Run, tokens: list[str]) -> None:
    lines = run("ledger", "list").stdout.splitlines()
    assert lines[0].split() == ["link_id", "model_id", "audience", "state", "valid_until"]
    for line, row in zip(lines[1:], listed(run), strict=True):
        until = row["valid_until"][:19].replace("T", " ") + "+00:00"
        assert line.split("  ")[0] == row["link_id"]
        assert line.endswith(until)


def test_empty_results_are_reported_in_words(run: Run, empty: None) -> None:
    assert run("ledger", "list").stdout == "No links.\n"
    assert run("ledger", "list", "--model", "yyHDFKzPzvN").stdout == "No links.\n"


def test_the_list_is_filtered_and_cut(run: Run, tokens: list[str]) -> None:
    PMEHook().mint([listed(run)[0]["model_id"]], audience="broker")
    rows = listed(run)
    assert [row["audience"] for row in rows] == ["broker", *["intranet"] * 3]
    only = json.loads(run("ledger", "list", "--format", "json", "--audience", "broker").stdout)
    assert only == rows[:1]
    cut = json.loads(run("ledger", "list", "--format", "json", "--limit", "2").stdout)
    assert cut == rows[:2]
    assert run("ledger", "list", "--limit", "0").exit_code == 2


def test_a_link_is_shown_by_id_and_by_fingerprint(run: Run, tokens: list[str]) -> None:
    row = listed(run)[0]
    by_id = json.loads(run("ledger", "show", row["link_id"], "--format", "json").stdout)
    assert by_id == json.loads(run("ledger", "show", row["fingerprint"], "--format", "json").stdout)
    assert {key: by_id[key] for key in row} == row
    assert [event["event"] for event in by_id["events"]] == ["requested", "made"]
    assert by_id["slots"] == []
    text = run("ledger", "show", row["link_id"]).stdout
    assert f"         link_id  {row['link_id']}\n" in text
    assert "     irrevocable  no\n" in text


def test_slots_of_a_link_are_shown_and_cannot_forge_a_line(run: Run, tokens: list[str]) -> None:
    row = listed(run)[0]
    hook = PMEHook()
    (item,) = hook.mint([row["model_id"]], audience="shown").items
    hook.record_publication(item, "a\x1b[31m target", "page\nINFO forged [/nope]")
    shown = run("ledger", "show", item["link_id"])
    assert shown.exit_code == 0
    assert r"shown at  a\x1b[31m target, page\nINFO forged [/nope]" in shown.stdout


def test_a_link_that_is_not_there_is_named(run: Run, empty: None) -> None:
    done = run("ledger", "show", "lnk_none\nforged")
    assert done.exit_code == 2
    assert done.stderr == (
        "pme-airflow: the ledger has no link lnk_none\\nforged. `pme-airflow ledger list` lists its links.\n"
    )
    assert run("ledger", "show", "sha256:" + "0" * 64).exit_code == 2


def test_an_exported_reason_is_no_formula_and_no_line(run: Run, tokens: list[str], tmp_path: Path) -> None:
    run("ledger", "flag", "--audience", "intranet", "--reason", "=1+1\n\x1b[31m")
    path = tmp_path / "audit.csv"
    assert run("ledger", "export", "--format", "csv", "--output", str(path)).stdout == ""
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert {row["reason"] for row in rows if row["event"] == "flagged"} == {"'=1+1\\n\\x1b[31m"}
    lines = run("ledger", "export").stdout.splitlines()
    assert len(lines) == len(rows)
    assert run("ledger", "export", "--output", str(tmp_path / "none" / "x")).exit_code != 0


def ended(ago: dict[str, timedelta]) -> None:
    """Let links have been revoked, and have ended so long ago, by model."""
    now = datetime.now(timezone.utc)
    with PMEHook().database.write() as tx:
        for model_id, since in ago.items():
            values = {"state": "revoked", "requested_at": now - since - timedelta(days=1), "valid_until": now - since}
            tx.execute(update(links).where(links.c.model_id == model_id).values(**values))


@pytest.mark.parametrize("words", [("--older-than", "47h"), ("--older-than", "1h"), ("--older-than", "soon")])
def test_a_purge_of_what_is_young_is_refused_and_deletes_nothing(
    run: Run, tokens: list[str], words: tuple[str, ...]
) -> None:
    ended(dict.fromkeys(list(MODELS)[:3], timedelta(hours=48)))
    done = run("ledger", "purge", *words)
    assert done.exit_code == 2
    assert "older-than" in done.stderr
    assert len(listed(run)) == 3


def test_a_purge_deletes_what_ended_before_and_no_more(run: Run, tokens: list[str]) -> None:
    old, young, live = list(MODELS)[:3]
    ended({old: timedelta(days=2, minutes=1), young: timedelta(days=1, hours=23)})
    assert run("ledger", "purge", "--older-than", "3d").stdout == "0 links deleted.\n"
    assert run("ledger", "purge", "--older-than", "2d").stdout == "1 links deleted.\n"
    assert {row["model_id"] for row in listed(run)} == {young, live}


def test_migrating_says_the_version_before_and_after(run: Run, tokens: list[str]) -> None:
    done = run("ledger", "migrate")
    assert done.exit_code == 0
    assert f"of version {HEAD_REVISION} (before: {HEAD_REVISION})" in done.stdout


def test_a_ledger_of_a_newer_version_is_named(run: Run, tokens: list[str], tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "home" / "pme_ledger.db") as database:
        database.execute("UPDATE pme_version SET version_num = '9999'")
    for words in (("ledger", "list"), ("ledger", "flag", "--audience", "intranet"), ("sweep",), ("ledger", "migrate")):
        done = run(*words)
        assert done.exit_code == 2, words
        assert "9999" in done.stderr
        assert "pgrade pme-airflow" in done.stderr


def test_the_links_of_a_viewer_are_listed_by_the_viewers_name(run: Run) -> None:
    from pme_airflow.durations import Validity
    from pme_airflow.lifecycle.viewer_links import ViewerLinkRequest, mint_for_viewer

    services = PMEHook().services
    wanted = [ViewerLinkRequest(next(iter(MODELS)), "intranet", name, Validity(600)) for name in ("ada", "bob")]
    items = [mint_for_viewer(services, one) for one in wanted]
    (found,) = json.loads(run("ledger", "list", "--format", "json", "--viewer", "ada").stdout)
    assert found["link_id"] == items[0]["link_id"]
    assert found["viewer"] == services.sealer.viewer_fingerprints("ada")[0]
    assert json.loads(run("ledger", "list", "--format", "json", "--viewer", "eve").stdout) == []


def test_a_model_is_shown_by_its_newest_link_of_each_audience(run: Run) -> None:
    for audience in ("broker", "intranet", "broker"):
        PMEHook().mint(list(MODELS)[:1], audience=audience)
    found = json.loads(run("ledger", "show", next(iter(MODELS)), "--format", "json").stdout)
    assert sorted(link["audience"] for link in found) == ["broker", "intranet"]
    newest = {row["audience"]: row["link_id"] for row in reversed(listed(run))}
    assert {link["audience"]: link["link_id"] for link in found} == newest
    assert all(link["events"] for link in found)
    assert run("ledger", "show", next(iter(MODELS))).stdout.count("link_id") == 2
    assert run("ledger", "show", "NoSuchModel").exit_code == 2
