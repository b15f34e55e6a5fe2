"""The command line: what it prints, how it ends, and that it works with Airflow down."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pme_airflow.cli import main
from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment
from tests.support.leaked import FINGERPRINT, TOKEN

Run = Callable[..., Result]
FIELDS = {
    "link_id", "model_id", "audience", "state", "fingerprint", "requested_at", "minted_at", "valid_until",
    "flagged_at", "retire_at", "revoked_at", "revoke_attempts", "irrevocable",
}  # fmt: skip


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str) -> Run:
    """The command, in an Airflow home that is nothing but a connection in the environment."""
    pme_in_environment(monkeypatch, tmp_path / "home", login=world.settings.client_id, password=SECRET, host=address)

    def command(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, list(words), input=stdin)

    return command


@pytest.fixture
def tokens(run: Run, world: World) -> list[str]:
    """Three live links' tokens, by model."""
    PMEHook().mint(list(MODELS)[:3], audience="intranet")
    return [issued.token for issued in sorted(world.alive(), key=lambda issued: issued.model_id)]


def listed(run: Run) -> list[dict[str, Any]]:
    return json.loads(run("ledger", "list", "--format", "json").stdout)


def test_an_empty_ledger_is_an_empty_list(run: Run) -> None:
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


def test_a_token_on_standard_input_is_flagged_and_swept(run: Run, tokens: list[str], world: World) -> None:
    link = f"https://my.matterport.com/show?m=x&amp;auth=Bearer+{tokens[0]}"
    done = run("ledger", "flag", "--stdin", "--sweep", "--reason", "in ticket 4711", "--format", "json", stdin=link)
    assert done.exit_code == 0
    (told,) = json.loads(done.stdout)["tokens"]
    assert told["state"] == "revoked"
    assert told["exposure"] >= 0
    assert {issued.token for issued in world.alive()} == set(tokens[1:])
    assert tokens[0] not in done.output
    shown = run("ledger", "show", told["link_id"])
    assert "in ticket 4711" in shown.output


def test_an_unknown_fingerprint_is_kept_as_a_tombstone(run: Run) -> None:
    mark = "sha256:" + "0" * 64
    done = run("ledger", "flag", mark, "--format", "json")
    assert json.loads(done.stdout)["tombstones"] == [mark]


def test_a_flag_with_nothing_in_it_is_refused(run: Run) -> None:
    done = run("ledger", "flag")
    assert done.exit_code == 2
    assert "nothing in it" in done.stderr


def test_fingerprints_are_printed_and_raw_tokens_are_not(run: Run) -> None:
    other = "sha256:" + "0" * 64
    done = run("fingerprint", stdin=f"Bearer {TOKEN}\n{TOKEN}\n\n{other}\n")
    assert done.stdout.splitlines() == [FINGERPRINT, other]
    assert done.stderr == ""
    assert done.exit_code == 0


@pytest.mark.parametrize(("stdin", "message"), [("", "is empty"), (f"{TOKEN}\nno token here\n", "1 of 2 lines")])
def test_fingerprint_without_a_token_ends_with_two(run: Run, stdin: str, message: str) -> None:
    done = run("fingerprint", stdin=stdin)
    assert done.exit_code == 2
    assert message in done.stderr
    assert TOKEN not in done.output


def test_a_scan_finds_flags_and_revokes(run: Run, tokens: list[str], world: World, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("ticket.txt", f"see https://my.matterport.com/show?m=x&auth=Bearer%20{tokens[1]}")
    assert run("scan", str(tmp_path / "home")).exit_code == 0
    found = run("scan", "--format", "json", str(tmp_path / "export.zip"))
    assert found.exit_code == 1
    (hit,) = json.loads(found.stdout)
    assert set(hit) == {"fingerprint", "link_id", "model_id", "audience", "path", "offset"}
    assert hit["path"].endswith("export.zip!ticket.txt")
    sarif = json.loads(run("scan", "--format", "sarif", str(tmp_path)).stdout)
    assert len(sarif["runs"][0]["results"]) == 1
    assert tokens[1] not in json.dumps(sarif) + found.output
    run("scan", "--flag", str(tmp_path))
    assert [row["flag_reason"] for row in listed(run) if row["flagged_at"]] == ["found by a scan"]
    assert run("scan", "--sweep", str(tmp_path)).exit_code == 1
    assert {issued.token for issued in world.alive()} == {tokens[0], tokens[2]}
    assert run("scan", str(tmp_path / "export.zip")).exit_code == 0


def test_standard_input_is_scanned(run: Run, tokens: list[str]) -> None:
    found = run("scan", "-", "--format", "json", stdin=f"x {tokens[2]}")
    assert [hit["offset"] for hit in json.loads(found.stdout)] == [2]


def test_a_scan_of_nothing_ends_with_two(run: Run, tmp_path: Path) -> None:
    assert run("scan", str(tmp_path / "nowhere")).exit_code == 2


def test_a_missing_connection_says_how_to_make_one(run: Run) -> None:
    done = run("ledger", "list", "--conn-id", "pme_other")
    assert done.exit_code == 2
    assert "AIRFLOW_CONN_PME_OTHER" in done.stderr


def test_the_audit_is_exported_as_lines_and_as_csv(run: Run, tokens: list[str]) -> None:
    lines = [json.loads(line) for line in run("ledger", "export").stdout.splitlines()]
    assert [line["event"] for line in lines] == ["requested"] * 3 + ["made"] * 3
    assert run("ledger", "export", "--format", "csv").stdout.startswith("at,event,link_id")


def test_a_purge_of_what_is_young_is_refused(run: Run) -> None:
    assert run("ledger", "purge", "--older-than", "1h").exit_code == 2
    assert run("ledger", "purge").exit_code == 0


def test_a_sweep_with_nothing_due_ends_well(run: Run, tokens: list[str]) -> None:
    assert run("sweep").exit_code == 0


def test_links_are_resealed_after_a_change_of_secret(
    run: Run, tokens: list[str], monkeypatch: pytest.MonkeyPatch, world: World, address: str, tmp_path: Path
) -> None:
    fields = {"login": world.settings.client_id, "password": "the new secret", "host": address}
    pme_in_environment(monkeypatch, tmp_path / "home", **fields)
    assert "3 could not be opened" in run("ledger", "reseal").output
    pme_in_environment(monkeypatch, tmp_path / "home", **fields, extra={"seal_keys": ["n" * 32, SECRET]})
    assert "3 links resealed" in run("ledger", "reseal").output
    assert "0 links resealed, 0" in run("ledger", "reseal").output
