"""The demo's steps, each with what it prints where all is well and where it is not; `make demo` runs it as a whole."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import requests_mock

from pme_airflow.dev.playground import demo as demos
from pme_airflow.dev.playground.demo import Demo, run_demo
from pme_airflow.dev.playground.home import PlaygroundError
from pme_airflow.dev.playground.places import Places

CHANNEL = "http://127.0.0.1:1/"


def link(number: int, state: str = "live", **more: Any) -> dict[str, Any]:
    return {
        "link_id": f"link{number}", "model_id": f"model{number}", "state": state, "fingerprint": f"sha256:{number:064}",
        "valid_until": "2026-05-02T12:30:00Z", **more,
    }  # fmt: skip


class Commands:
    """The outputs of the package's commands, by their first word; later ones replace earlier ones as they are used up."""

    def __init__(self) -> None:
        self.outputs: dict[str, list[str]] = {"ledger": ["[]"], "scan": ["[]"]}
        self.ran: list[tuple[str, ...]] = []
        self.status = 0

    def __call__(self, env: object, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.ran.append(arguments)
        outputs = self.outputs[arguments[0]]
        out = outputs.pop(0) if len(outputs) > 1 else outputs[0]
        return subprocess.CompletedProcess([], self.status, out, "what went wrong")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    commands = Commands()
    monkeypatch.setattr(demos, "command", commands)
    return commands


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    """A demo with five published models."""
    made = Demo(tmp_path, {})
    for number in range(5):
        publish(made, number, f"token{number}")
    return made


def publish(demo: Demo, number: int, token: str) -> None:
    folder = demo.published / f"model{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "embed.html").write_text("")
    record = {
        "model_id": f"model{number}",
        "access_token": token,
        "link": f"https://e.test/show?m=model{number}&auth=Bearer+{token}",
    }
    (folder / "link.json").write_text(json.dumps(record))


def test_the_ledger_is_read_by_the_command(demo: Demo, commands: Commands) -> None:
    commands.outputs["ledger"] = [json.dumps([link(1)])]
    assert demo.ledger() == [link(1)]
    commands.status = 1
    with pytest.raises(PlaygroundError, match="what went wrong"):
        demo.ledger()


@pytest.mark.parametrize(("states", "pages", "good"), [("live", 5, True), ("failed", 5, False), ("live", 4, False)])
def test_every_model_must_have_a_live_link_and_a_page(
    demo: Demo, commands: Commands, capsys: pytest.CaptureFixture[str], states: str, pages: int, good: bool
) -> None:
    commands.outputs["ledger"] = [json.dumps([link(0, states), *(link(number) for number in range(1, 5))])]
    for number in range(pages, 5):
        (demo.published / f"model{number}" / "embed.html").unlink()
    sqlite3.connect(demo.home / "airflow.db").execute("CREATE TABLE xcom (key TEXT, task_id TEXT, value TEXT)")
    assert demo.print_links() is good
    printed = capsys.readouterr().out
    assert f"{5 if states == 'live' else 4} links live, {pages} pages published." in printed
    assert "2026-05-02 12:30" in printed
    assert "sha256:00000000…" in printed


def test_every_place_must_show_every_link(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    places = Places(CHANNEL, None, "it is not installed", {}, "")
    with requests_mock.Mocker() as mocker:
        mocker.get(CHANNEL, text=" ".join(f"token{number}" for number in range(5)))
        assert demo.print_places(places)
        mocker.get(CHANNEL, text=" ".join(f"token{number}" for number in range(4)))
        assert not demo.print_places(places)
    printed = capsys.readouterr().out
    assert "There is no WordPress here: it is not installed." in printed
    assert "The channel shows 5 of the 5 links." in printed
    assert "The channel shows 4 of the 5 links." in printed


def test_a_wordpress_page_must_show_every_link_too(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    class Site:
        def content(self, number: int) -> str:
            return "token0 token1" if number == 7 else ""

    places = Places(CHANNEL, "http://127.0.0.1:2/", "", {}, "", Site(), 7)  # type: ignore[arg-type]
    with requests_mock.Mocker() as mocker:
        mocker.get(CHANNEL, text=" ".join(f"token{number}" for number in range(5)))
        assert not demo.print_places(places)
    assert "The WordPress page shows 2 of the 5 links." in capsys.readouterr().out


REVOKED = {"flagged_at": "2026-05-01T12:00:00.500Z", "revoked_at": "2026-05-01T12:00:02Z"}


@pytest.mark.parametrize(
    ("found", "states", "healed", "status", "good"),
    [
        ([{"link_id": "link0", "path": "a/export.zip"}], "revoked", True, 0, True),
        ([], "revoked", True, 0, False),
        ([{"link_id": "link0", "path": "a/export.zip"}], "live", True, 0, False),
        ([{"link_id": "link0", "path": "a/export.zip"}], "revoked", False, 0, False),
        ([{"link_id": "link0", "path": "a/export.zip"}], "revoked", True, 1, False),
    ],
)
def test_a_leaked_link_must_be_found_revoked_and_replaced(
    demo: Demo, commands: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    found: list[dict[str, str]], states: str, healed: bool, status: int, good: bool,
) -> None:  # fmt: skip
    def keep(env: object, *arguments: str, check: bool) -> int:
        assert arguments == ("dags", "test", "pme_link_keeper")
        if healed:
            publish(demo, 0, "a new token")
        return status

    monkeypatch.setattr(demos, "airflow", keep)
    commands.outputs = {"scan": [json.dumps(found)], "ledger": [json.dumps([link(0, states, **REVOKED), link(1)])]}
    assert demo.leak() is good
    printed = capsys.readouterr().out
    assert ("1.50 s" in printed) is bool(found and states == "revoked")
    assert ("does NOT show a new link" in printed) is not healed
    with ZipFile(demo.home / "tickets" / "export.zip") as archive:
        assert b"m=model0&amp;auth=Bearer%20token0 " in archive.read("ticket-4711.txt")
    assert "--sweep" in commands.ran[0]
    assert commands.ran[0][-1] == str(demo.home / "tickets")


def test_one_item_of_xcom_is_shown_shortened(demo: Demo) -> None:
    item = {"model_id": "model0", "valid_until": "2026-05-02T12:30:00Z", "link": "pme-sealed:v1:" + "x" * 100}
    with sqlite3.connect(demo.home / "airflow.db") as database:
        database.execute("CREATE TABLE xcom (key TEXT, task_id TEXT, value TEXT)")
        assert demo.xcom_item() == "nothing"
        database.execute("INSERT INTO xcom VALUES ('other', 'mint_a', '[]'), ('return_value', 'publish', '[]')")
        value = json.dumps(json.dumps([item]))
        database.execute("INSERT INTO xcom VALUES ('return_value', 'mint_a', ?)", (value,))
    assert demo.xcom_item() == "model_id=model0…, valid_until=2026-05-02T12:30:00Z…, link=pme-sealed:v1:xxxxxxxxxx…"


@pytest.mark.parametrize(("good", "keep"), [(True, False), (False, True)])
def test_the_status_says_whether_all_steps_were_good(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], good: bool, keep: bool, tmp_path: Path
) -> None:
    homes: list[Path] = []
    monkeypatch.setattr(demos.tempfile, "mkdtemp", lambda prefix: str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(demos, "_run", lambda home, stack: homes.append(home) or good)
    assert run_demo(keep=keep) == (0 if good else 1)
    printed = capsys.readouterr().out
    assert ("A step failed." in printed) is not good
    assert homes[0].exists() is keep
    assert ("The files of the demo are in" in printed) is keep


def test_a_demo_that_breaks_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stopped: list[str] = []

    def run(home: Path, stack: Any) -> bool:
        stack.callback(stopped.append, "the emulator")
        raise PlaygroundError("Airflow did not start.")

    monkeypatch.setattr(demos.tempfile, "mkdtemp", lambda prefix: str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(demos, "_run", run)
    with pytest.raises(PlaygroundError):
        run_demo()
    assert stopped == ["the emulator"]
    assert not (tmp_path / "home").exists()
