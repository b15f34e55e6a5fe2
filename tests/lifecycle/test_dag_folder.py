"""A folder gets the shipped DAGs and an example of placements; what is in it already is left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.errors import PMEInputError
from pme_airflow.lifecycle.dag_folder import write_dag_folder

DAG = "pme_link_keeper.py"
NAMES = sorted([*(path.name for path in (ROOT / "dags").glob("*.py")), "placements.yaml"])


def test_an_empty_folder_gets_every_shipped_file(tmp_path: Path) -> None:
    made = write_dag_folder(tmp_path / "new" / "dags")
    assert sorted(made.written) == sorted(path.name for path in made.path.iterdir()) == NAMES
    for name in NAMES:
        assert (made.path / name).read_bytes() == (ROOT / "dags" / name).read_bytes()


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    write_dag_folder(tmp_path)
    again = write_dag_folder(tmp_path)
    assert (again.written, again.kept) == ((), ())
    assert sorted(again.unchanged) == NAMES


def test_a_dag_that_differs_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / DAG).write_text("# my own")
    with pytest.raises(PMEInputError, match=rf"{DAG} in .* differ.*--force"):
        write_dag_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [DAG]
    assert (tmp_path / DAG).read_text() == "# my own"


def test_force_replaces_dags_and_keeps_the_placements(tmp_path: Path) -> None:
    (tmp_path / DAG).write_text("# of an older version")
    (tmp_path / "placements.yaml").write_text("[]  # mine")
    made = write_dag_folder(tmp_path, force=True)
    assert DAG in made.written
    assert (tmp_path / DAG).read_bytes() == (ROOT / "dags" / DAG).read_bytes()
    assert made.kept == ("placements.yaml",)
    assert (tmp_path / "placements.yaml").read_text() == "[]  # mine"


def test_placements_of_ones_own_do_not_keep_the_dags_out(tmp_path: Path) -> None:
    (tmp_path / "placements.yaml").write_text("[]")
    made = write_dag_folder(tmp_path)
    assert made.kept == ("placements.yaml",)
    assert len(made.written) == len(NAMES) - 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PMEInputError, match=r"cannot be written \("):
        write_dag_folder(tmp_path / "file" / os.curdir / "dags")


def test_a_disk_that_fills_up_leaves_every_dag_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {name: f"# {name} of an older version" for name in NAMES}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    write, calls = Path.write_bytes, iter(range(9))

    def full(path: Path, content: bytes) -> int:
        if next(calls):
            path.touch()
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PMEInputError, match="No space left on device"):
        write_dag_folder(tmp_path, force=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == old
