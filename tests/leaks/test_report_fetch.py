"""Reports are read from paths, and from hosts that the environment allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pme_airflow.errors import PMEInputError, PMEReportError
from pme_airflow.leaks import report_fetch
from pme_airflow.leaks.report_fetch import fetch_report


def test_a_url_of_a_host_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(PMEInputError, match="PME_REPORT_HOSTS"):
        fetch_report("https://evil.test/report.json")


def test_a_report_is_read_from_a_path_a_file_url_and_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(b"[]")
    for place in (f"{tmp_path}/report.json", f"file://{tmp_path}/report.json", f"{tmp_path}/*.json"):
        assert fetch_report(place) == b"[]"


@pytest.mark.parametrize(("names", "count"), [([], 0), (["a.json", "b.json"], 2)])
def test_a_pattern_that_does_not_match_one_file_is_refused(tmp_path: Path, names: list[str], count: int) -> None:
    for name in names:
        (tmp_path / name).write_text("[]")
    with pytest.raises(PMEInputError, match=f"matches {count} files"):
        fetch_report(f"{tmp_path}/*.json")


def test_a_missing_file_and_another_scheme_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PMEInputError, match="there is no file"):
        fetch_report(str(tmp_path / "nowhere"))
    with pytest.raises(PMEInputError, match="ftp://"):
        fetch_report("ftp://host/report")


def test_a_file_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_fetch, "MAX_REPORT_BYTES", 10)
    (tmp_path / "exact").write_bytes(b"x" * 10)
    (tmp_path / "over").write_bytes(b"x" * 11)
    assert len(fetch_report(str(tmp_path / "exact"))) == 10
    with pytest.raises(PMEReportError, match="limit of 10 bytes"):
        fetch_report(str(tmp_path / "over"))
