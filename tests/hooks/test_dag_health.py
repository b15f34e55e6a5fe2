"""On Airflow's own tables, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session

from pme_airflow.hooks import dag_health as dag_health_module
from pme_airflow.hooks.airflow_state import SHIPPED_DAGS
from pme_airflow.hooks.dag_health import DagHealth, dag_health

NOW = datetime.now(timezone.utc)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    from airflow.jobs.job import Job
    from airflow.models import DagModel, DagRun
    from airflow.utils import session as sessions

    engine = create_engine("sqlite://")
    for model in (DagModel, DagRun, Job):
        model.__table__.create(engine)
    with Session(engine) as opened:

        @contextmanager
        def create_session() -> Iterator[Session]:
            yield opened

        monkeypatch.setattr(sessions, "create_session", create_session)
        monkeypatch.setattr(dag_health_module, "database_exists", lambda: True)
        yield opened
    engine.dispose()


def add(session: Session, model: Any, **values: Any) -> None:
    """Insert a row; what else must not be null is 0."""
    columns = [c for c in model.__table__.columns if not (c.nullable or c.primary_key or c.default or c.server_default)]
    session.execute(insert(model.__table__), {**{column.name: 0 for column in columns}, **values})


def add_dags(session: Session, **changed: Any) -> None:
    from airflow.jobs.job import Job
    from airflow.models import DagModel

    for dag_id in SHIPPED_DAGS:
        values: dict[str, Any] = {"is_paused": False, "is_stale": False, "has_import_errors": False, "bundle_name": "b"}
        add(session, DagModel, dag_id=dag_id, **(values | (changed if dag_id == "pme_link_keeper" else {})))
    add(session, Job, job_type="TriggererJob", state="running", latest_heartbeat=datetime.now(timezone.utc))


def add_run(session: Session, state: str, run_id: str = "r") -> None:
    from airflow.models import DagRun

    at = {"run_after": NOW, "start_date": NOW, "log_template_id": 0}
    add(session, DagRun, dag_id="pme_link_keeper", run_id=run_id, state=state, run_type="scheduled", **at)


def problems(health: DagHealth) -> list[str]:
    return [dag.problem for dag in health.dags if dag.problem]


def test_good_dags_have_no_problem(session: Session) -> None:
    add_dags(session)
    add_run(session, "failed", "first")
    add_run(session, "success", "second")
    health = dag_health()
    assert problems(health) == []
    assert (health.triggerer_problem, health.problem) == (None, None)
    (keeper,) = [dag for dag in health.dags if dag.dag_id == "pme_link_keeper"]
    assert (keeper.is_paused, keeper.last_run, keeper.last_run_id) == (False, "success", "second")


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"is_paused": True}, "is paused"), ({"is_stale": True}, "is missing"), ({"has_import_errors": True}, "imported")],
)
def test_a_dag_that_does_not_run_is_named(session: Session, changed: dict[str, Any], words: str) -> None:
    add_dags(session, **changed)
    (problem,) = problems(dag_health())
    assert "pme_link_keeper" in problem
    assert words in problem


def test_a_failed_run_is_named(session: Session) -> None:
    add_dags(session)
    add_run(session, "failed")
    assert problems(dag_health()) == ["The last run of pme_link_keeper failed."]


def test_missing_dags_and_a_missing_triggerer_are_named(session: Session) -> None:
    from airflow.jobs.job import Job

    add(session, Job, job_type="TriggererJob", state="running", latest_heartbeat=NOW - timedelta(minutes=2))
    health = dag_health()
    assert len(problems(health)) == len(SHIPPED_DAGS)
    assert "airflow triggerer" in str(health.triggerer_problem)


def test_a_database_that_cannot_be_read_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.utils import session as sessions

    def create_session() -> Any:
        raise RuntimeError("a password")

    monkeypatch.setattr(sessions, "create_session", create_session)
    monkeypatch.setattr(dag_health_module, "database_exists", lambda: True)
    health = dag_health()
    assert "cannot be read (RuntimeError)" in str(health.problem)
    assert "a password" not in str(health.problem)


def test_a_database_that_does_not_exist_is_a_sentence_and_is_not_created(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = tmp_path / "airflow.db"
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{missing}")
    assert "cannot be read (it does not exist)" in str(dag_health().problem)
    assert not missing.exists()
