"""The scan finds live links of the ledger, and flags and revokes them where it is asked to."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pme_airflow.api.client import PMEClient
from pme_airflow.dev.emulator import World
from pme_airflow.errors import LedgerUnavailableError, PMEInputError, PMEUnavailableError
from pme_airflow.leaks.files import Source, Unread, files_under
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle import scan as scan_module
from pme_airflow.lifecycle.leak_response import LeakResponse
from pme_airflow.lifecycle.scan import ScanFinding, ScanRequest, ScanResult, scan
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from tests.conftest import MODELS
from tests.support.rooms import mint, rows

RUN = RunContext("cli/scan")


@pytest.fixture
def token(services: Services, world: World) -> str:
    """The token of the one live link."""
    mint(services, "one", [next(iter(MODELS))])
    (issued,) = world.alive()
    return issued.token


def request(*places: str, **options: object) -> ScanRequest:
    return ScanRequest(places, files_under, RUN, **options)  # type: ignore[arg-type]


def test_a_live_link_is_found_with_its_model_and_place(services: Services, token: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_text(f"see {token}")
    result = scan(services, request(str(tmp_path)))
    (finding,) = result.findings
    (row,) = rows(services)
    assert finding.as_json() == {
        "fingerprint": row.fingerprint,
        "link_id": row.link_id,
        "model_id": row.model_id,
        "audience": "intranet",
        "path": str(tmp_path / "note"),
        "offset": 4,
    }
    assert result.fingerprints == (row.fingerprint,)
    assert row.flagged_at is None
    assert token not in repr(result)


def test_a_link_in_a_name_is_found_and_not_shown(services: Services, token: str, tmp_path: Path) -> None:
    (tmp_path / f"{token}.html").write_text("a page")
    result = scan(services, request(str(tmp_path)))
    (finding,) = result.findings
    assert finding.fingerprint == rows(services)[0].fingerprint
    assert finding.path.startswith(str(tmp_path))
    assert token not in finding.path


@pytest.mark.parametrize("written", ["tour{}.html", "tour{}x", "a\udcff{}é{}b"])
def test_a_token_inside_a_word_of_a_name_is_not_shown(
    services: Services, token: str, tmp_path: Path, written: str
) -> None:
    folder = tmp_path / written.format(token, token)
    folder.mkdir()
    (folder / "note").write_text(token)
    os.mkfifo(folder / "pipe")
    result = scan(services, request(str(tmp_path)))
    shown = f"{tmp_path}/{written.format('***', '***')}"
    assert {finding.path for finding in result.findings} == {f"{shown}/note", f"{shown}/note (its name)"}
    assert [unread.path for unread in result.unread] == [f"{shown}/pipe"]
    assert token not in f"{result}{result.as_json()}"


def test_the_first_places_of_a_link_in_a_file_are_listed_and_the_others_counted(
    services: Services, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "MAX_LISTED_PLACES", 3)
    (tmp_path / "few").write_text(f"{token}\n" * 3)
    (tmp_path / "many").write_text(f"{token}\n" * 10)
    findings = scan(services, request(str(tmp_path))).findings
    assert [(finding.offset, finding.more) for finding in findings[:3]] == [(0, 0), (26, 0), (52, 0)]
    assert [(finding.offset, finding.more) for finding in findings[3:]] == [(0, 0), (26, 0), (52, 7)]
    assert findings[-1].as_json()["more"] == 7
    assert "more" not in findings[0].as_json()


def test_a_link_behind_many_places_of_another_is_found(services: Services, world: World, tmp_path: Path) -> None:
    mint(services, "one", list(MODELS)[:2])
    tokens = [issued.token for issued in world.alive()]
    (tmp_path / "log").write_text(f"{tokens[0]}\n" * 500 + tokens[1])
    result = scan(services, request(str(tmp_path), flag=True))
    assert len(result.findings) == 101
    assert len(result.fingerprints) == 2
    assert all(row.flagged_at for row in rows(services))


def test_a_flag_is_recorded_with_its_reason_and_nothing_is_revoked(
    services: Services, token: str, tmp_path: Path, world: World
) -> None:
    (tmp_path / "note").write_text(token)
    scan(services, request(str(tmp_path), flag=True, reason="in the wiki"))
    (row,) = rows(services)
    assert row.flag_reason == "in the wiki"
    assert len(world.alive()) == 1


def test_a_sweep_flags_and_revokes_what_was_found(services: Services, token: str, tmp_path: Path, world: World) -> None:
    (tmp_path / "note").write_text(token)
    scan(services, request(str(tmp_path), sweep=True))
    (row,) = rows(services)
    assert row.state == "revoked"
    assert row.flag_reason == "found by a scan"
    assert world.alive() == []


def test_nothing_is_flagged_where_nothing_was_found(services: Services, token: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("nothing")
    result = scan(services, request(str(tmp_path), sweep=True))
    assert (result.findings, result.unread, result.exit_status) == ((), (), 0)
    assert rows(services)[0].flagged_at is None


def test_what_could_not_be_read_is_in_the_result(services: Services, token: str) -> None:
    def open_place(place: str) -> Iterator[Source | Unread]:
        yield Unread(f"{place}/locked", "permission denied")
        yield Source(f"{place}/open", lambda: nullcontext(io.BytesIO(token.encode())))

    result = scan(services, ScanRequest(["a", "b"], open_place, RUN))
    assert [finding.path for finding in result.findings] == ["a/open", "b/open"]
    assert result.as_json()["problems"] == ["a/locked: permission denied", "b/locked: permission denied"]
    assert result.exit_status == 1


def test_only_unread_parts_end_with_two(services: Services) -> None:
    result = scan(services, ScanRequest(["a"], lambda place: iter([Unread(place, "gone")]), RUN))
    assert result.exit_status == 2


def test_no_place_is_refused(services: Services) -> None:
    with pytest.raises(PMEInputError, match="paths: is empty"):
        scan(services, request())


def test_progress_is_reported_in_bytes(services: Services, tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"x" * 1234)
    counted: list[int] = []
    scan(services, request(str(tmp_path), on_read=counted.append))
    assert counted == [1234]


def test_a_link_that_no_key_opens_is_not_searched_for(services: Services, token: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_text(token)
    other_key = replace(services, sealer=Sealer.of_connection(SecretStr("another secret of some length")))
    result = scan(other_key, request(str(tmp_path)))
    (row,) = rows(services)
    assert result.findings == ()
    assert result.unread[0].path == f"link {row.link_id} of model {row.model_id}"
    assert result.exit_status == 2


def test_one_bad_place_costs_that_place_alone(services: Services, token: str, tmp_path: Path, world: World) -> None:
    def open_place(place: str) -> Iterator[Source | Unread]:
        if place == "store":
            raise ConnectionError("with a key: hidden")
        yield from files_under(place)

    (tmp_path / "note").write_text(token)
    places = [str(tmp_path / "nowhere"), "store", str(tmp_path), "store"]
    result = scan(services, ScanRequest(places, open_place, RUN, sweep=True))
    assert len(result.findings) == 1
    assert [unread.path for unread in result.unread] == [places[0], "store", "store"]
    assert "hidden" not in str(result.problems)
    assert result.exit_status == 1
    assert world.alive() == []


def test_one_source_that_breaks_costs_that_source_alone(services: Services, token: str) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise RuntimeError("with a key: hidden")

    def refused() -> nullcontext[io.BytesIO]:
        raise ValueError("with a key: hidden")

    def open_place(place: str) -> Iterator[Source | Unread]:
        yield Source("breaks", lambda: nullcontext(Breaking(b"xx")))
        yield Source("refuses", refused)
        yield Source("whole", lambda: nullcontext(io.BytesIO(token.encode())))

    result = scan(services, ScanRequest(["x"], open_place, RUN))
    assert [finding.path for finding in result.findings] == ["whole"]
    assert [str(unread) for unread in result.unread] == [
        "breaks: cannot be read (RuntimeError)", "refuses: cannot be read (ValueError)",
    ]  # fmt: skip


def test_what_was_found_is_kept_where_it_cannot_be_flagged(
    services: Services, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> None:
        raise LedgerUnavailableError("the ledger is full")

    monkeypatch.setattr(scan_module, "respond", unavailable)
    (tmp_path / "note").write_text(token)
    result = scan(services, request(str(tmp_path), sweep=True))
    assert len(result.findings) == 1
    assert result.problems == ["Nothing was flagged: the ledger is full"]
    assert not result.permanent


def test_a_link_that_was_not_revoked_is_named(services: Services, token: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_text(token)
    with PMEClient("emulator-client", SecretStr("x"), "http://127.0.0.1:9") as client:
        result = scan(
            replace(services, client=client), request(str(tmp_path), sweep=True, deadline=timedelta(seconds=1))
        )
    assert len(result.findings) == 1
    assert result.response is not None
    assert not result.response.promise_kept
    assert "NOT revoked" in result.problems[0]


@pytest.mark.parametrize(
    ("unread", "permanent"),
    [
        ((), True),
        ((Unread("a", "x", permanent=True),), True),
        ((Unread("a", "x", permanent=True), Unread("b", "y")), False),
    ],
)
def test_a_result_is_permanent_where_all_its_problems_are(unread: tuple[Unread, ...], permanent: bool) -> None:
    assert ScanResult((), unread).permanent is permanent


def test_a_path_that_is_no_text_is_valid_json() -> None:
    finding = ScanFinding("sha256:x", "l", "m", "a", "name-\udcff", 1)
    assert finding.as_json()["path"] == "name-\\udcff"


def test_a_scan_flags_and_revokes_nothing_unless_it_is_asked_to() -> None:
    plain = request("folder")
    assert (plain.flag, plain.sweep, plain.deadline) == (False, False, None)


@pytest.mark.parametrize(
    ("result", "permanent"),
    [
        (ScanResult((), (), LeakResponse(sweep_error=PMEUnavailableError("away"))), False),
        (ScanResult((), (), LeakResponse(problems=(PMEInputError("x"),))), True),
        (ScanResult((), (), LeakResponse()), True),
        (ScanResult((), (), None, PMEUnavailableError("away")), False),
        (ScanResult((), (), None, PMEInputError("x")), True),
    ],
)
def test_a_response_is_permanent_as_its_errors_are(result: ScanResult, permanent: bool) -> None:
    assert result.permanent is permanent


def test_a_token_of_several_models_names_all_of_them() -> None:
    finding = ScanFinding("sha256:x", "l", "a", "intranet", "note", 1, ("a", "b"))
    assert (finding.named_models, finding.as_json()["models"]) == ("models a and b", ("a", "b"))
    assert "models" not in replace(finding, models=("a",)).as_json()
    assert ScanResult((finding, replace(finding, fingerprint="sha256:a")), ()).fingerprints == ("sha256:a", "sha256:x")


def test_repositories_alone_are_enough_and_are_opened_in_their_own_way(shared_services: Services) -> None:
    asked: list[str] = []

    def open_repository(place: str) -> Iterator[Source | Unread]:
        asked.append(place)
        yield Unread(place, "is no repository")

    wanted = request(repositories=("repo",), open_repository=open_repository)
    assert [str(unread) for unread in scan(shared_services, wanted).unread] == ["repo: is no repository"]
    assert asked == ["repo"]
    assert list(request("place", repositories=("repo",)).opened) == [("place", files_under)]
