"""Airflow's state is judged: good, or what is missing with the command that mends it."""

from __future__ import annotations

from pme_airflow.doctor import Verdict
from pme_airflow.doctor.airflow import AirflowState, DagState, check_airflow

RUNNING = {"scheduler": True, "dag processor": True, "triggerer": True}


def test_good_state_is_good() -> None:
    found = list(check_airflow(AirflowState({"a": DagState(), "b": DagState()}, {}, RUNNING), ["a", "b"]))
    assert {result.verdict for result in found} == {Verdict.GOOD}
    assert "a, b" in found[0].finding


def test_each_paused_dag_has_its_command() -> None:
    paused = AirflowState({"a": DagState(paused=True), "b": DagState(paused=True)}, {}, RUNNING)
    (bad,) = (result for result in check_airflow(paused, ["a", "b"]) if result.verdict is Verdict.BAD)
    assert "a, b are paused" in bad.finding
    assert "`airflow dags unpause a`" in bad.cure
    assert "`airflow dags unpause b`" in bad.cure


def test_broken_dag_is_named() -> None:
    broken = AirflowState({"a": DagState(broken=True)}, {}, RUNNING)
    (bad,) = (result for result in check_airflow(broken, ["a"]) if result.verdict is Verdict.BAD)
    assert "cannot be imported any more" in bad.finding
