"""`pme-airflow init`: what it says was written, and what to do next."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from pme_airflow.cli import main


def test_init_writes_the_files_and_says_what_to_do_next(tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    done = CliRunner().invoke(main, ["init", str(folder)])
    assert done.exit_code == 0, done.output
    assert f"wrote: {folder}/pme_nightly_rotation.py" in done.output
    assert f"\n     pme-airflow plan {folder}/placements.yaml\n" in done.output
    assert "AIRFLOW_CONN_PME_DEFAULT" in done.output
    assert "airflow dags unpause" in done.output
    again = CliRunner().invoke(main, ["init", str(folder)])
    assert again.exit_code == 0
    assert "wrote" not in again.output
    assert f"unchanged: {folder}/placements.yaml" in again.output


def test_init_refuses_a_dag_that_differs_until_it_is_forced(tmp_path: Path) -> None:
    (tmp_path / "pme_link_keeper.py").write_text("# my own")
    (tmp_path / "placements.yaml").write_text("[]")
    refused = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert refused.exit_code == 2
    assert "--force" in refused.output
    forced = CliRunner().invoke(main, ["init", "--force", str(tmp_path)])
    assert forced.exit_code == 0
    assert f"kept, since it is yours: {tmp_path}/placements.yaml" in forced.output
