"""The matrix: which interpreters it takes, and that every supported Python and Airflow is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pme_airflow.dev.playground.home import ROOT
from tests.support.matrix import CELLS, FEW, interpreter, main

PROJECT = (ROOT / "pyproject.toml").read_text()


def test_every_supported_python_has_a_cell() -> None:
    classified = set(re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT))
    assert {cell.python for cell in CELLS} == classified


def test_every_minor_of_airflow_and_the_lowest_bounds_have_a_cell() -> None:
    assert {"3.1", "3.2", "3.3"} <= {cell.airflow[2:5] for cell in CELLS}
    assert any(cell.lowest for cell in CELLS)
    assert any(not cell.airflow for cell in CELLS)
    assert set(FEW) < {cell.name for cell in CELLS}


def test_every_direct_dependency_has_a_lower_bound() -> None:
    listed = re.findall(r"^(?:dependencies|slack|s3|postgres|mysql|scan) = \[(.*?)\]$", PROJECT, re.M | re.S)
    requirements = [found for part in listed for found in re.findall(r'"([^"]+)"', part)]
    assert len(requirements) > 20
    assert [requirement for requirement in requirements if ">=" not in requirement] == []


def test_the_newest_interpreter_of_a_version_is_taken() -> None:
    paths = [Path(f"/pyenv/versions/{version}/bin/python") for version in ("3.1.9", "3.10.2", "3.10.13", "3.11.7")]
    assert interpreter("3.10", paths) == paths[2]


def test_an_interpreter_that_is_not_here_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/none")
    assert interpreter("3.99", []) is None


def test_an_unknown_cell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["airflow-9"])
    assert "airflow-9: the cells are airflow-3.1-python-3.10" in capsys.readouterr().err
