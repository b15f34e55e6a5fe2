"""`make up`: what it starts, in which order, and that a signal ends all of it; a real one runs in tests/airflow."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.playground import up as ups
from pme_airflow.dev.playground.home import PlaygroundError
from pme_airflow.dev.playground.places import Places
from pme_airflow.dev.playground.up import run_up

ADDRESS = "http://127.0.0.1:8799"
SLACK = '{"conn_type": "slack", "extra": {"base_url": "x"}}'


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What happened, in order, with stand-ins for every program."""
    events: list[str] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    @contextmanager
    def serving(name: str, given: Any) -> Iterator[Any]:
        events.append(f"{name} starts")
        yield given
        events.append(f"{name} stops")

    class Live:
        address = "http://127.0.0.1:8080"
        password = "a-new-one"

        def __init__(self, home: Path, env: dict[str, str], port: int) -> None:
            assert (env["PME_PLACEMENTS"], env["MORE"]) == (str(home / "placements.yaml"), "1")
            assert env["AIRFLOW__LOGGING__LOGGING_LEVEL"] == "INFO"
            assert not [name for name in env if name.startswith("AIRFLOW_CONN_")]
            text = (home / "placements.yaml").read_text()
            assert "kind: extra" in text
            assert "public_url: 'http://127.0.0.1:4/gallery'" in text
            self.port = port
            self.run_state = iter(["queued", "running", "success"])

        def __enter__(self) -> Live:
            events.append(f"Airflow starts on {self.port}")
            return self

        def __exit__(self, *_: object) -> None:
            events.append("Airflow stops")

        def wait_until_parsed(self, *dag_ids: str) -> None:
            events.append(f"parsed {' '.join(sorted(dag_ids))}")

        def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
            if path == "connections":
                (action,) = body["actions"]
                stored = {entity["connection_id"]: entity for entity in action["entities"]}
                events.append(f"stored {' '.join(stored)}")
                assert action["action_on_existence"] == "overwrite"
                assert (stored["pme_default"]["host"], stored["pme_default"]["port"]) == ("http://127.0.0.1", 8799)
                assert json.loads(stored["slack_api_default"]["extra"]) == {"base_url": "x"}
                return None
            state = next(self.run_state)
            return {"dag_runs": [{"dag_run_id": "scheduled", "state": state}], "state": state}

        def trigger(self, dag_id: str) -> str:
            raise AssertionError("the scheduler has created a run of its own")

    def start(home: Path, *options: str) -> tuple[Any, str]:
        events.append(f"emulator starts {' '.join(options)}")
        return "process", ADDRESS

    places = Places("http://127.0.0.1:3/", None, "no WordPress", {"MORE": "1", "AIRFLOW_CONN_SLACK_API_DEFAULT": SLACK},
                    "  - {kind: extra}\n")  # fmt: skip

    def live_link(address: str) -> str:
        signal.raise_signal(signal.SIGTERM)
        return f"a link of {address}"

    monkeypatch.setattr(ups, "_a_live_link", live_link)
    monkeypatch.setattr(ups, "start_emulator", start)
    monkeypatch.setattr(ups, "stop", lambda process: events.append(f"emulator {process} stops"))
    monkeypatch.setattr(ups, "serving_places", lambda models: serving(f"places of {len(models)}", places))
    monkeypatch.setattr(ups, "serving_showroom", lambda published, found: serving("showroom", "http://127.0.0.1:4/"))
    monkeypatch.setattr(ups, "LiveAirflow", Live)
    yield events
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_ends_everything_in_reverse_order(
    events: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_up(tmp_path / "home", 8080, 8799) == 0
    assert events == [
        "emulator starts --port 8799 --models 5", "places of 5 starts", "showroom starts", "Airflow starts on 8080",
        "stored pme_default slack_api_default",
        "parsed pme_leak_response pme_link_keeper pme_nightly_rotation pme_revocation_sweep",
        "Airflow stops", "showroom stops", "places of 5 stops", "emulator process stops",
    ]  # fmt: skip
    printed = capsys.readouterr().out
    for part in (
        "http://127.0.0.1:8080   login admin, password a-new-one",
        ADDRESS,
        "http://127.0.0.1:4/",
        "no WordPress",
        "A leak    a link of http://127.0.0.1:8799",
    ):
        assert part in printed
    assert printed.endswith("Everything has stopped.\n")


def test_what_has_started_is_stopped_when_airflow_does_not_start(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PlaygroundError("airflow scheduler ended")

    monkeypatch.setattr(ups.LiveAirflow, "__enter__", fail)
    with pytest.raises(PlaygroundError):
        run_up(tmp_path / "home", 8080, 8799)
    assert events[-1] == "emulator process stops"


def test_a_nightly_run_is_triggered_where_the_scheduler_creates_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ups, "_SCHEDULER_SECONDS", 0)

    class Quiet:
        def trigger(self, dag_id: str) -> str:
            return f"triggered {dag_id}"

    assert ups._nightly_run(Quiet()) == "triggered pme_nightly_rotation"  # type: ignore[arg-type]


def test_the_leak_to_try_is_a_link_that_lives() -> None:
    world = World(Settings(models={"Model000000": "Hall"}))
    dead, alive = (world.issue("Model000000", 600) for _ in range(2))
    world.revoke(dead.token)
    with serving(world) as address:
        assert ups._a_live_link(address).endswith(f"m=Model000000&auth=Bearer%20{alive.token}")
