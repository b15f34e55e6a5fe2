"""A running Airflow's client and components, against a stand-in of its REST API; the real one runs in tests/airflow."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.playground import live as lives
from pme_airflow.dev.playground.home import PlaygroundError
from pme_airflow.dev.playground.live import LiveAirflow, free_port
from tests.support.handlers import serving_handler

HEALTHY = {part: {"status": "healthy"} for part in ("scheduler", "dag_processor", "triggerer", "metadatabase")}


def test_the_password_and_the_key_of_logins_are_new_each_time(tmp_path: Path) -> None:
    one, other = LiveAirflow(tmp_path, {}), LiveAirflow(tmp_path, {})
    key = "AIRFLOW__API_AUTH__JWT_SECRET"
    assert one.password != other.password
    assert one.env[key] != other.env[key]
    passwords = tmp_path / "passwords.json"
    assert json.loads(passwords.read_text()) == {"admin": other.password}
    assert passwords.stat().st_mode & 0o077 == 0


class Stand:
    """What the stand-in answers, by method and path, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, Any, str]] = []
        self.logins = 0

    def answer(self, call: str, body: Any, authorization: str) -> tuple[int, Any]:
        if call == "POST /auth/token":
            self.logins += 1
            return 201, {"access_token": f"token{self.logins}"}
        self.asked.append((call, body, authorization))
        answers = self.answers[call]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def stand() -> Stand:
    return Stand()


@pytest.fixture
def airflow(stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveAirflow]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = f"{self.command} {self.path}"
            status, answer = stand.answer(call, json.loads(body or "null"), self.headers.get("Authorization", ""))
            raw = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    monkeypatch.setattr(lives.time, "sleep", lambda seconds: None)
    with serving_handler(Handler) as address:
        yield LiveAirflow(tmp_path, {}, int(address.rpartition(":")[2]))


def test_a_free_port_is_free_and_not_one_of_outgoing_connections() -> None:
    ports = {free_port() for _ in range(20)}
    assert len(ports) > 15
    assert all(20000 <= port < 32000 for port in ports)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports.pop()))


def test_a_taken_port_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        port = taken.getsockname()[1]
        monkeypatch.setattr(lives.random.SystemRandom, "sample", lambda self, ports, count: [port, port])
        with pytest.raises(PlaygroundError, match="No port"):
            free_port()


def test_a_call_logs_in_once_and_sends_query_and_body(airflow: LiveAirflow, stand: Stand) -> None:
    stand.answers = {"GET /api/v2/dags?limit=1": [(200, {"dags": []})], "DELETE /api/v2/dags/x": [(204, None)]}
    assert airflow.call("GET", "dags", limit=1) == {"dags": []}
    assert airflow.call("DELETE", "dags/x", {"a": 1}) is None
    assert stand.asked == [
        ("GET /api/v2/dags?limit=1", None, "Bearer token1"),
        ("DELETE /api/v2/dags/x", {"a": 1}, "Bearer token1"),
    ]


def test_a_call_logs_in_anew_when_its_login_has_expired(airflow: LiveAirflow, stand: Stand) -> None:
    stand.answers = {"GET /api/v2/dags": [(401, {}), (200, 1)]}
    assert airflow.call("GET", "dags") == 1
    assert [authorization for *_, authorization in stand.asked] == ["Bearer token1", "Bearer token2"]


def test_a_locked_database_is_tried_again_but_not_for_ever(airflow: LiveAirflow, stand: Stand) -> None:
    stand.answers = {"GET /api/v2/dags": [(500, {}), (503, {}), (200, 1)]}
    assert airflow.call("GET", "dags") == 1
    stand.answers, stand.asked = {"GET /api/v2/dags": [(500, "locked")]}, []
    with pytest.raises(PlaygroundError, match='GET dags: HTTP 500 "locked"'):
        airflow.call("GET", "dags")
    assert len(stand.asked) == 5


def test_a_refused_call_is_not_tried_again(airflow: LiveAirflow, stand: Stand) -> None:
    stand.answers = {"POST /api/v2/dags/x/dagRuns": [(404, "no such DAG")]}
    with pytest.raises(PlaygroundError, match=r"HTTP 404.*no such DAG"):
        airflow.trigger("x", {"a": 1})
    assert [body for _, body, _ in stand.asked] == [{"logical_date": None, "conf": {"a": 1}}]


def test_a_triggered_run_has_an_id(airflow: LiveAirflow, stand: Stand) -> None:
    stand.answers = {"POST /api/v2/dags/x/dagRuns": [(200, {"dag_run_id": "manual__1"})]}
    assert airflow.trigger("x") == "manual__1"


def test_all_dags_are_waited_for(airflow: LiveAirflow, stand: Stand) -> None:
    pages = [[], ["a"], ["a", "b", "c"]]
    stand.answers = {
        "GET /api/v2/dags?limit=100": [(200, {"dags": [{"dag_id": name} for name in page]}) for page in pages]
    }
    airflow.wait_until_parsed("a", "b")
    assert len(stand.asked) == 3


def test_a_dag_that_is_never_parsed_is_named_with_the_import_errors(airflow: LiveAirflow, stand: Stand) -> None:
    stand.answers = {
        "GET /api/v2/dags?limit=100": [(200, {"dags": [{"dag_id": "a"}]})],
        "GET /api/v2/importErrors": [(200, {"import_errors": ["no module x"]})],
    }
    with pytest.raises(PlaygroundError, match=r"did not parse b within 0.05 s.*no module x"):
        airflow.wait_until_parsed("a", "b", seconds=0.05)


@pytest.mark.parametrize("silent", ["scheduler", "dag_processor", "triggerer"])
def test_airflow_is_healthy_when_every_component_beats(airflow: LiveAirflow, stand: Stand, silent: str) -> None:
    path = "GET /api/v2/monitor/health"
    stand.answers = {path: [(200, HEALTHY)]}
    assert airflow.healthy()
    stand.answers = {path: [(200, {**HEALTHY, silent: {"status": "unhealthy"}})]}
    assert not airflow.healthy()


def test_airflow_that_does_not_answer_is_not_healthy(tmp_path: Path) -> None:
    assert not LiveAirflow(tmp_path, {}).healthy()


def test_the_settings_of_the_server_win_and_those_of_the_caller_replace_the_defaults(tmp_path: Path) -> None:
    given = {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW__API__PORT": "1"}
    env = LiveAirflow(tmp_path, given, 4711).env
    assert (env["AIRFLOW__CORE__EXECUTOR"], env["AIRFLOW__API__PORT"]) == ("CeleryExecutor", "4711")
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that runs in the place of each component."""
    script = tmp_path / "component"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o700)
    monkeypatch.setattr(lives, "airflow", lambda env, *arguments: 0)
    monkeypatch.setattr(lives.sys, "executable", str(script))
    return script


@pytest.mark.usefixtures("program")
def test_every_component_is_started_and_stopped(airflow: LiveAirflow, stand: Stand) -> None:
    starting = {**HEALTHY, "triggerer": {"status": None}}
    stand.answers = {"GET /api/v2/monitor/health": [(200, starting), (200, HEALTHY)]}
    with airflow:
        processes = [airflow.start_part("triggerer"), *airflow._processes.values()]
        assert {process.args[3] for process in processes} == {"dag-processor", "scheduler", "triggerer", "api-server"}
        assert len({process.pid for process in processes}) == 5
        assert all(process.poll() is None for process in processes)
    assert all(process.poll() is not None for process in processes)
    assert len(stand.asked) == 2


def test_a_component_that_ends_is_shown_with_its_log_and_the_others_are_stopped(
    airflow: LiveAirflow, stand: Stand, program: Path
) -> None:
    program.write_text('#!/bin/sh\n[ "$3" = scheduler ] && { echo the reason; exit 3; }\nexec sleep 600\n')
    stand.answers = {"GET /api/v2/monitor/health": [(503, {})]}
    started: list[subprocess.Popen[bytes]] = []
    start = airflow.start_part
    airflow.start_part = lambda component: started.append(start(component)) or started[-1]  # type: ignore[method-assign]
    stand.answers = {"GET /api/v2/monitor/health": [(200, {**HEALTHY, "scheduler": {"status": None}})]}
    with pytest.raises(PlaygroundError, match=r"(?s)airflow scheduler ended with status 3:.*the reason"), airflow:
        pytest.fail("it was not healthy")
    assert len(started) == 4
    assert all(process.poll() is not None for process in started)


@pytest.mark.usefixtures("program")
def test_an_airflow_that_never_becomes_healthy_is_given_up(
    airflow: LiveAirflow, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lives, "_START_SECONDS", 0.2)
    stand.answers = {"GET /api/v2/monitor/health": [(200, {**HEALTHY, "scheduler": {"status": None}})]}
    with pytest.raises(PlaygroundError, match=r"not healthy after 0.2 s. Its logs are in"):
        airflow.__enter__()
    assert not airflow._processes
