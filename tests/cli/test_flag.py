"""A leak is flagged and revoked from the command line, and what was not revoked is named and fails the command."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from pme_airflow.cli import deadlines, flag
from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.ledger.audit import list_links
from pme_airflow.ledger.tables import links
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.cli.conftest import Run, Shell, listed
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment

MANY = list(MODELS)
UNKNOWN = "sha256:" + "0" * 64


def named(token: str) -> str:
    return fingerprint(AccessToken(token))


@pytest.fixture
def api_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tokens: list[str], connection: dict[str, Any]) -> None:
    """The API cannot be reached any more, and a command waits for it for three seconds."""
    monkeypatch.setattr(deadlines, "MAX_WAIT", timedelta(seconds=3))
    pme_in_environment(monkeypatch, tmp_path / "home", **{**connection, "host": "http://127.0.0.1:1"})


def test_a_token_on_standard_input_is_flagged_and_revoked(run: Run, tokens: list[str], world: World) -> None:
    link = f"https://my.matterport.com/show?m=x&amp;auth=Bearer+{tokens[0]}"
    done = run("ledger", "flag", "--stdin", "--sweep", "--reason", "in ticket 4711", "--format", "json", stdin=link)
    assert done.exit_code == 0
    (leaked,) = json.loads(done.stdout)["tokens"]
    assert leaked["state"] == "revoked"
    assert leaked["exposure"] >= 0
    assert {issued.token for issued in world.alive()} == set(tokens[1:])
    assert tokens[0] not in done.output
    assert "in ticket 4711" in run("ledger", "show", leaked["link_id"]).output


def test_fingerprints_are_taken_as_arguments_in_either_place(run: Run, tokens: list[str]) -> None:
    done = run("ledger", "flag", "--token", named(tokens[0]), named(tokens[1]).upper())
    assert done.exit_code == 0, done.output
    assert {row["fingerprint"] for row in listed(run) if row["flagged_at"]} == {named(t) for t in tokens[:2]}


@pytest.mark.parametrize("words", [("--token", "opaque-token-of-another-shape"), ("opaque-token-of-another-shape",)])
def test_what_is_no_fingerprint_is_refused_and_not_echoed(run: Run, words: tuple[str, ...]) -> None:
    done = run("ledger", "flag", UNKNOWN, *words)
    assert done.exit_code == 2
    assert "standard input" in done.stderr
    assert "opaque-token" not in done.output
    assert json.loads(run("ledger", "export").stdout or "[]") == []


@pytest.mark.parametrize("form", ["table", "json"])
def test_what_the_api_did_not_confirm_is_named_with_reason_end_and_next_step(
    run: Run, tokens: list[str], api_is_away: None, form: str
) -> None:
    done = run("ledger", "flag", "--sweep", named(tokens[0]), "--format", form)
    assert done.exit_code == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("NOT revoked"))
    row = next(row for row in listed(run) if row["fingerprint"] == named(tokens[0]))
    assert row["link_id"] in line
    assert row["model_id"] in line
    assert "was not reached: could not connect" in line
    assert f"may live until {row['valid_until'][:16].replace('T', ' ')} UTC" in line
    assert "The next sweep tries again; `pme-airflow sweep` tries now." in line
    if form == "json":
        assert json.loads(done.stdout)["tokens"][0]["state"] == "live"
    else:
        assert "1 NOT revoked" in done.stdout


def test_a_person_does_not_wait_for_longer_than_fifteen_seconds() -> None:
    assert timedelta(seconds=3) <= deadlines.MAX_WAIT <= timedelta(seconds=8)


def test_a_real_command_line_ends_with_one_while_the_link_lives(shell: Shell, tokens: list[str]) -> None:
    fields = {"conn_type": "pme", "login": "emulator-client", "password": SECRET, "host": "http://127.0.0.1:1"}
    done = shell(f"pme ledger flag --sweep {named(tokens[0])}", AIRFLOW_CONN_PME_DEFAULT=json.dumps(fields))
    assert done.returncode == 1
    assert "NOT revoked" in done.stderr


def test_a_fingerprint_of_no_known_link_is_named_and_kept(run: Run) -> None:
    done = run("ledger", "flag", UNKNOWN, "--format", "json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["tombstones"] == [UNKNOWN]
    assert f"{UNKNOWN} is of no known link" in done.stderr


def test_a_flag_of_nothing_is_refused(run: Run) -> None:
    done = run("ledger", "flag")
    assert done.exit_code == 2
    assert "Give tokens" in done.stderr
    assert run("ledger", "flag", "--stdin", stdin="\n\n").exit_code == 2


@pytest.mark.parametrize(
    "words", [("--audience", "intranot"), ("--link-id", "lnk_typo"), ("--model", MANY[-1])], ids=lambda words: words[0]
)
def test_a_name_that_no_link_ever_had_is_named_and_ends_with_one(
    run: Run, tokens: list[str], words: tuple[str, str]
) -> None:
    done = run("ledger", "flag", *words, "--sweep")
    assert done.exit_code == 1
    assert words[1] in done.stderr
    assert "Check the spelling" in done.stderr


def test_a_name_whose_links_have_all_ended_ends_with_zero(run: Run, tokens: list[str]) -> None:
    for _ in range(2):
        assert run("ledger", "flag", "--audience", "intranet", "--sweep").exit_code == 0


def test_criteria_that_read_like_a_filter_are_refused(run: Run, tokens: list[str]) -> None:
    done = run("ledger", "flag", "--sweep", named(tokens[0]), "--model", MANY[0], "--audience", "intranet")
    assert done.exit_code == 2
    assert "within" in done.stderr
    assert [row for row in listed(run) if row["flagged_at"]] == []


def test_within_flags_what_matches_all_criteria(run: Run, tokens: list[str], world: World) -> None:
    PMEHook().mint(MANY[:2], audience="broker")
    done = run("ledger", "flag", "--within", "--model", MANY[0], "--audience", "broker", "--sweep")
    assert done.exit_code == 0, done.output
    (gone,) = (row for row in listed(run) if row["state"] == "revoked")
    assert (gone["model_id"], gone["audience"]) == (MANY[0], "broker")
    assert len(world.alive()) == 4


def test_a_token_outside_of_the_criteria_is_named_and_ends_with_one(run: Run, tokens: list[str]) -> None:
    done = run("ledger", "flag", "--within", named(tokens[0]), "--audience", "broker")
    assert done.exit_code == 1
    assert f"{named(tokens[0])} does not match the other criteria" in done.stderr


def test_what_will_be_revoked_is_printed_before_it_is(
    run: Run, tokens: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[str] = []
    shown = flag.print_selected

    def noted(rows: Any) -> None:
        shown(rows)
        with PMEHook().database.read() as tx:
            states.extend(row.state.value for row in list_links(tx) if row.flagged_at is None)

    monkeypatch.setattr(flag, "print_selected", noted)
    done = run("ledger", "flag", "--audience", "intranet", "--sweep")
    assert states == ["live"] * 3
    assert "Links that match: 3:" in done.stderr
    assert all(row["link_id"] in done.stderr for row in listed(run))


def test_one_report_that_cannot_be_read_costs_that_report_alone(
    run: Run, tokens: list[str], world: World, tmp_path: Path
) -> None:
    (tmp_path / "good.json").write_text(json.dumps([{"RuleID": "pme", "Secret": tokens[1]}]))
    (tmp_path / "bad.json").write_text("[{")
    places = [f"--findings={tmp_path / name}" for name in ("bad.json", "missing.json", "good.json")]
    done = run("ledger", "flag", "--sweep", "--stdin", *places, stdin=tokens[0])
    assert done.exit_code == 1
    assert {issued.token for issued in world.alive()} == {tokens[2]}
    assert "missing.json" in done.stderr
    assert "broken or cut off" in done.stderr


def test_nothing_that_could_be_read_ends_with_two(run: Run, tokens: list[str], tmp_path: Path) -> None:
    assert run("ledger", "flag", "--findings", str(tmp_path / "missing.json")).exit_code == 2
    assert run("ledger", "flag", "--model", "short").exit_code == 2
    assert [row for row in listed(run) if row["flagged_at"]] == []


def test_a_model_that_is_none_is_not_echoed(run: Run) -> None:
    done = run("ledger", "flag", "--model", "Opaque-token.of_another~shape")
    assert done.exit_code == 2
    assert "29 characters is not a model id" in done.stderr
    assert "Opaque" not in done.output


@pytest.mark.parametrize("format_words", [(), ("--format", "json")])
def test_a_leak_of_another_client_is_named_with_the_connection_that_can_revoke_it(
    run: Run, tokens: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connection: dict[str, Any],
    format_words: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_A", json.dumps({"conn_type": "pme", **connection}))
    pme_in_environment(monkeypatch, tmp_path / "home", **{**connection, "login": "another-client"})
    done = run("ledger", "flag", "--sweep", named(tokens[0]), *format_words)
    assert done.exit_code == 1
    assert "NOT revoked" in done.stderr
    assert "emulator-client" in done.stderr
    assert "The connection team_a can revoke them: `pme-airflow sweep --conn-id team_a`" in done.stderr
    again = run("sweep", *format_words)
    assert again.exit_code == 1
    assert "`pme-airflow sweep --conn-id team_a`" in again.stderr
    assert run("sweep", "--conn-id", "team_a").exit_code == 0


def test_a_leak_of_a_client_without_a_connection_here_names_the_client_id(
    run: Run, tokens: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connection: dict[str, Any]
) -> None:
    pme_in_environment(monkeypatch, tmp_path / "home", **{**connection, "login": "another-client"})
    done = run("ledger", "flag", "--sweep", named(tokens[0]))
    assert done.exit_code == 1
    assert "Only a connection with the client id emulator-client can revoke them" in done.stderr


def test_a_secret_that_cannot_be_right_flags_and_says_why_nothing_is_revoked(
    run: Run, tokens: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connection: dict[str, Any],
    world: World,
) -> None:  # fmt: skip
    pme_in_environment(monkeypatch, tmp_path / "home", **{**connection, "password": f"{SECRET}\n"},
                       extra={"seal_keys": [f"open:{SECRET}"]})  # fmt: skip
    before = dict(world.counts)
    done = run("ledger", "flag", "--sweep", named(tokens[0]))
    assert done.exit_code == 1
    assert "Client secret: ends with a newline" in done.stderr
    assert "Reset" not in done.output
    assert [row["fingerprint"] for row in listed(run) if row["flagged_at"]] == [named(tokens[0])]
    assert world.counts == before


@pytest.mark.parametrize("wrap", ["=\n", "=\r\n", "\n"])
def test_a_wrapped_link_on_standard_input_is_flagged_and_leaves_no_tombstone(
    run: Run, tokens: list[str], world: World, wrap: str
) -> None:
    for token in tokens:
        link = f"https://my.matterport.com/show?m=3Dx&auth=3DBearer+{token[:11]}{wrap}{token[11:]}\n"
        done = run("ledger", "flag", "--stdin", "--sweep", "--format", "json", stdin=link)
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["tombstones"] == []
    assert world.alive() == []


def test_a_token_in_prose_on_standard_input_is_flagged(run: Run, tokens: list[str], world: World) -> None:
    done = run("ledger", "flag", "--stdin", "--sweep", stdin=f"the key is ({tokens[0]}), they say\n")
    assert done.exit_code == 1
    assert {issued.token for issued in world.alive()} == set(tokens[1:])
    assert "1 of 1 hold no token" in done.stderr


def test_a_text_on_standard_input_and_a_model_are_refused_together(run: Run, tokens: list[str]) -> None:
    done = run("ledger", "flag", "--stdin", "--model", MANY[0], stdin=f"the key is ({tokens[1]})")
    assert done.exit_code == 2
    assert "within" in done.stderr


@pytest.mark.parametrize("sweep", [(), ("--sweep",)])
def test_tokens_of_no_known_link_on_standard_input_are_named_and_end_with_one_where_they_were_to_be_revoked(
    run: Run, tokens: list[str], sweep: tuple[str, ...]
) -> None:
    stranger = "z9y8x7w6v5u4t3s2r1q0p9o8n"
    done = run("ledger", "flag", "--stdin", *sweep, "--format", "json", stdin=f"{stranger}\n{UNKNOWN}\n")
    assert done.exit_code == len(sweep)
    assert "1 tokens on standard input are of no link in this ledger" in done.stderr
    assert json.loads(done.stdout)["tombstones"] == [named(stranger), UNKNOWN]
    assert stranger not in done.output
    assert run("ledger", "flag", "--stdin", *sweep, stdin=UNKNOWN.upper()).exit_code == 0
    assert run("ledger", "flag", "--stdin", *sweep, stdin=f"{stranger}\n{tokens[0]}").exit_code == 0


def test_a_report_whose_path_cannot_be_looked_up_costs_that_report_alone(
    run: Run, tokens: list[str], world: World, tmp_path: Path
) -> None:
    places = [f"--findings={tmp_path}/{name}" for name in ("x" * 300, "**.json")]
    done = run("ledger", "flag", "--sweep", named(tokens[0]), *places)
    assert done.exit_code == 1
    assert {issued.token for issued in world.alive()} == set(tokens[1:])
    assert "cannot be read (File name too long)" in done.stderr


def test_a_view_is_flagged_by_its_id_on_standard_input(run: Run, tokens: list[str]) -> None:
    view = "k3f9s8d7q2m4x6z1b5n0c8v7y"
    with PMEHook().database.engine.begin() as connection:
        connection.execute(update(links).where(links.c.model_id == MANY[0]).values(model_id=view))
    refused = run("ledger", "flag", "--model", view)
    assert refused.exit_code == 2
    assert "`pme-airflow ledger flag --model -`" in refused.stderr
    done = run("ledger", "flag", "--model", "-", "--model", MANY[1], stdin=f"\n{view}\n")
    assert done.exit_code == 0, done.output
    assert {row["fingerprint"] for row in listed(run) if row["flagged_at"]} == {named(t) for t in tokens[:2]}


@pytest.mark.parametrize(
    ("words", "stdin", "message"),
    [(("--stdin",), "x", "both read standard input"), ((), "\n", "is empty"), ((), "short", "not a model id")],
)
def test_models_on_standard_input_that_cannot_be_read_flag_nothing(
    run: Run, tokens: list[str], words: tuple[str, ...], stdin: str, message: str
) -> None:
    done = run("ledger", "flag", "--model", "-", *words, stdin=stdin)
    assert done.exit_code == 2
    assert message in done.stderr
    assert [row for row in listed(run) if row["flagged_at"]] == []
