"""Reports are read from paths, and from hosts that the environment allows, within bounds of size and time."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from pme_airflow.errors import PMEError, PMEInputError, PMEReportError
from pme_airflow.leaks import report_fetch
from pme_airflow.leaks.report_fetch import fetch_report, read_findings
from tests.support.leaked import FINGERPRINT, TOKEN, link
from tests.support.unprivileged import public_folder, unprivileged

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server on this machine: its host and port, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def body(content: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture(autouse=True)
def no_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PME_REPORT_HOSTS", raising=False)


# ---------------------------------------------------------------- files


def test_a_report_is_read_from_a_path_a_file_url_and_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "my report.json").write_bytes(b"[]")
    for place in (
        f"{tmp_path}/my report.json",
        f"file://{tmp_path}/my report.json",
        f"file://{tmp_path}/my%20report.json",
        f"FILE://localhost{tmp_path}/my%20report.json",
        f"{tmp_path}/*.json",
    ):
        assert fetch_report(place) == b"[]"


def test_a_file_whose_name_looks_like_a_pattern_is_read(tmp_path: Path) -> None:
    (tmp_path / "report[1].json").write_bytes(b"[]")
    assert fetch_report(f"{tmp_path}/report[1].json") == b"[]"


@pytest.mark.parametrize(("names", "count"), [([], 0), (["a.json", "b.json"], 2)])
def test_a_pattern_that_does_not_match_one_file_is_refused(tmp_path: Path, names: list[str], count: int) -> None:
    for name in names:
        (tmp_path / name).write_text("[]")
    with pytest.raises(PMEInputError, match=f"matches {count} files"):
        fetch_report(f"{tmp_path}/*.json")


@pytest.mark.parametrize("place", ["nowhere", "", "folder", "pipe", "ftp://host/report", "s3://bucket/report", "a\0b"])
def test_what_is_no_file_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((PMEInputError, PMEReportError), match="findings: "):
        fetch_report(place if "://" in place else f"{tmp_path}/{place}")


def test_a_file_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_fetch, "MAX_REPORT_BYTES", 10)
    (tmp_path / "exact").write_bytes(b"x" * 10)
    (tmp_path / "over").write_bytes(b"x" * 11)
    assert len(fetch_report(str(tmp_path / "exact"))) == 10
    with pytest.raises(PMEReportError, match="limit of 10 bytes"):
        fetch_report(str(tmp_path / "over"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").write_text("[]")
    (tmp_path / "locked").chmod(0)
    with pytest.raises(PMEReportError, match="Permission denied"):
        fetch_report(str(tmp_path / "locked"))


def test_a_path_is_printed_as_one_line(tmp_path: Path) -> None:
    with pytest.raises(PMEInputError) as refused:
        fetch_report(f"{tmp_path}/a\nb\x1b[31m")
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_a_path_that_is_no_pattern_and_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PMEInputError, match=f"there is no file {tmp_path}/report.json"):
        fetch_report(f"{tmp_path}/report.json")


# ---------------------------------------------------------------- https


@pytest.mark.parametrize("url", ["https://127.0.0.1:{port}", "HTTP://127.0.0.1:{port}"])
def test_both_schemes_of_the_web_are_fetched(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with serving(body(b"[]")) as (host, _):
        pass
    monkeypatch.setenv("PME_REPORT_HOSTS", host)
    with pytest.raises(PMEReportError, match="was not reached"):
        fetch_report(url.format(port=host.rpartition(":")[2]))


@pytest.mark.parametrize("path", ["", "/a?b=c", "?b=c", "/a/b"])
def test_an_error_names_the_host_alone(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    with serving(body(b"", 404)) as (host, _):
        monkeypatch.setenv("PME_REPORT_HOSTS", host)
        with pytest.raises(PMEReportError, match=f"the report at {host} answered HTTP 404"):
            fetch_report(f"http://{host}{path}")


def test_a_report_is_fetched_within_the_limits_that_the_docs_name(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[dict[str, object]] = []
    bounds: list[tuple[float, int]] = []
    get, bound = requests.Session.get, report_fetch.bound_response
    monkeypatch.setattr(
        requests.Session, "get", lambda self, url, **named: (options.append(named), get(self, url, **named))[1]
    )
    monkeypatch.setattr(report_fetch, "bound_response", lambda *given: (bounds.append(given), bound(*given))[1])
    with serving(body(b"[]")) as (host, _):
        monkeypatch.setenv("PME_REPORT_HOSTS", host)
        fetch_report(f"http://{host}/report")
    assert options == [{"timeout": 15.0, "stream": True, "allow_redirects": False}]
    assert bounds == [(120.0, 64 << 20)]


def test_a_report_is_fetched_from_an_allowed_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(body(b'[{"RuleID": "x"}]')) as (host, asked):
        for allowed in (host, "127.0.0.1", f"reports.example, {host.upper()} ,"):
            monkeypatch.setenv("PME_REPORT_HOSTS", allowed)
            assert fetch_report(f"http://{host}/a?b=c") == b'[{"RuleID": "x"}]'
    assert asked == ["/a?b=c"] * 3


@pytest.mark.parametrize("allowed", ["", "other.example", "127.0.0.1:1", "*", "27.0.0.1", "0.0.1"])
def test_a_host_that_is_not_allowed_is_not_asked(monkeypatch: pytest.MonkeyPatch, allowed: str) -> None:
    monkeypatch.setenv("PME_REPORT_HOSTS", allowed)
    with serving(body(b"[]")) as (host, asked), pytest.raises(PMEInputError, match="PME_REPORT_HOSTS"):
        fetch_report(f"http://{host}/report")
    assert asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://{host}\\@reports.example/x",
        "http://reports.example@{host}/x",
        "http://reports.example:443@{host}/x",
        "http://{host}#@reports.example/x",
        "http://{host}?@reports.example/x",
        "http://{host}\t.reports.example/x",
        "http://user:secret@reports.example/x",
        "http://reports.example/x",
        "http:///x",
        "http://[::ffff:127.0.0.1]:{port}/x",
        "http://2130706433:{port}/x",
        "http://127.1:{port}/x",
        "HTTP://{host}/x",
        "https://{host}/x\r\nHost: other",
    ],
)
def test_no_url_reaches_a_host_that_is_not_listed(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PME_REPORT_HOSTS", "reports.example")
    with serving(body(b"[]")) as (host, asked), pytest.raises(PMEInputError) as refused:
        fetch_report(url.format(host=host, port=host.rpartition(":")[2]))
    assert asked == []
    assert "secret" not in str(refused.value)


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(body(b"[]")) as (second, asked):
        monkeypatch.setenv("PME_REPORT_HOSTS", "127.0.0.1")
        redirect = body(b"", 302, Location=f"http://{second}/")
        with serving(redirect) as (first, _), pytest.raises(PMEReportError, match="HTTP 302"):
            fetch_report(f"http://{first}/report")
    assert asked == []


@pytest.mark.parametrize("status", [204, 404, 500])
def test_another_status_than_200_is_no_report(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with serving(body(b"", status)) as (host, _):
        monkeypatch.setenv("PME_REPORT_HOSTS", host)
        with pytest.raises(PMEReportError, match=f"HTTP {status}"):
            fetch_report(f"http://{host}/report")


def test_a_report_over_the_limit_is_not_read_also_where_it_is_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_fetch, "MAX_REPORT_BYTES", 1000)
    for answer in (body(b"x" * 1001), body(gzip.compress(b"x" * 1001), Content_Encoding="gzip")):
        with serving(answer) as (host, _):
            monkeypatch.setenv("PME_REPORT_HOSTS", host)
            with pytest.raises(PMEReportError, match="limit of 1000 bytes"):
                fetch_report(f"http://{host}/report")


def test_a_report_that_breaks_off_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(body(b"[]", Content_Length="1000")) as (host, _):
        monkeypatch.setenv("PME_REPORT_HOSTS", host)
        monkeypatch.setattr(report_fetch, "_WAIT_SECONDS", 0.2)
        with pytest.raises(PMEReportError, match=r"broke off|not reached"):
            fetch_report(f"http://{host}/report")


@pytest.mark.timeout(60)  # without the limit it takes 2,000 s
def test_a_report_that_arrives_byte_by_byte_ends_with_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()

    def dribble(handler: BaseHTTPRequestHandler) -> None:
        body(b"", Content_Length="100000")(handler)
        with suppress(OSError):
            while not stop.wait(0.02):
                handler.wfile.write(b"x")

    with serving(dribble) as (host, _):
        monkeypatch.setenv("PME_REPORT_HOSTS", host)
        monkeypatch.setattr(report_fetch, "MAX_FETCH_SECONDS", 0.3)
        with pytest.raises(PMEReportError, match="did not arrive whole within"):
            fetch_report(f"http://{host}/report")
        stop.set()


def test_a_host_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(body(b"[]")) as (host, _):
        pass
    monkeypatch.setenv("PME_REPORT_HOSTS", host)
    with pytest.raises(PMEReportError, match="was not reached"):
        fetch_report(f"http://{host}/report")


# ---------------------------------------------------------------- both


def test_what_could_not_be_read_of_a_report_is_a_problem_and_the_rest_is_returned(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(
        f'[{{"RuleID": "a", "Secret": "{TOKEN}"}}, {{"RuleID": "b", "Secret": "REDACTED"}}]'
    )
    problems: list[PMEError] = []
    found = read_findings(str(tmp_path / "report.json"), problems)
    assert found is not None
    assert FINGERPRINT in found.fingerprints
    assert len(problems) == 1
    assert "1 of 2 gitleaks findings" in str(problems[0])


def test_a_report_that_cannot_be_read_at_all_is_a_problem(tmp_path: Path) -> None:
    problems: list[PMEError] = []
    assert read_findings(str(tmp_path / "nowhere"), problems) is None
    assert len(problems) == 1


def test_a_report_that_is_read_whole_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text(link())
    problems: list[PMEError] = []
    found = read_findings(str(tmp_path / "report.txt"), problems)
    assert found is not None
    assert (found.fingerprints, problems) == ((FINGERPRINT,), [])


@pytest.mark.parametrize(
    ("error", "words"), [(OSError(5, "Input/output error"), "Input/output error"), (ValueError("x"), "ValueError")]
)
def test_a_file_that_breaks_while_it_is_read_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    (tmp_path / "report.json").write_text("{}")

    def broken(*_: object) -> object:
        raise error

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(PMEReportError, match=f"report.json cannot be read .{words}."):
        fetch_report(str(tmp_path / "report.json"))


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("name", ["closed/report.json", "closed/*.json", "x" * 300, "x" * 300 + "*", "a\0b", "**.json"])
def test_a_path_that_cannot_be_looked_up_is_a_problem_of_its_report(scheme: str, name: str) -> None:
    problems: list[PMEError] = []
    with public_folder() as folder:
        (folder / "closed").mkdir(mode=0o700)
        (folder / "closed" / "report.json").write_text("[]")
        (folder / "closed").chmod(0)
        with unprivileged():
            assert read_findings(f"{scheme}{folder}/{name}", problems) is None
    (problem,) = problems
    assert isinstance(problem, PMEReportError | PMEInputError)
    assert str(problem).startswith("findings: ")
