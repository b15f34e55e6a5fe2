"""The scan finds live links of the ledger, and flags and revokes them where it is asked to."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMEInputError
from pme_airflow.leaks.files import Source, Unread, files_under
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.scan import ScanRequest, scan
from pme_airflow.lifecycle.services import Services
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


def test_links_that_no_key_opens_are_logged(
    services: Services, token: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from dataclasses import replace

    from pme_airflow.sealing import Sealer
    from pme_airflow.secrets import SecretStr

    (tmp_path / "note").write_text(token)
    other_key = replace(services, sealer=Sealer.of_connection(SecretStr("another secret of some length")))
    assert scan(other_key, request(str(tmp_path))).findings == ()
    assert "1 live links cannot be searched for" in caplog.text
