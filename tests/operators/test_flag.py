"""The flag operator flags and revokes, fails where a promise was not kept, and shows no raw token."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, AssetAlias
from airflow.sdk import task as task_decorator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from sqlalchemy import update

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.leaks import report_fetch
from pme_airflow.ledger.audit import list_links
from pme_airflow.ledger.tables import links
from pme_airflow.operators import _masking, flag
from pme_airflow.operators.pme import PMEFlagTokensOperator
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.conftest import MODELS
from tests.support.tasks import FakeTask, listener

MANY = list(MODELS)
UNKNOWN = "sha256:" + "0" * 64


def named(token: str) -> str:
    return fingerprint(AccessToken(token))


@pytest.fixture
def tokens(world: World) -> list[str]:
    """Three live links' tokens, by model."""
    PMEHook().mint(MANY[:3], audience="intranet")
    return [issued.token for issued in sorted(world.alive(), key=lambda issued: issued.model_id)]


def operator(**arguments: Any) -> PMEFlagTokensOperator:
    return PMEFlagTokensOperator(task_id="flag", **arguments)


def flagged() -> set[str]:
    with PMEHook().database.read() as tx:
        return {row.fingerprint or "" for row in list_links(tx) if row.flagged_at is not None}


def alive(world: World) -> set[str]:
    return {issued.token for issued in world.alive()}


@pytest.mark.parametrize("form", ["{}", "Bearer+{}", "https://my.matterport.com/show?m=x&amp;auth=Bearer%2520{}"])
def test_raw_tokens_are_flagged_and_revoked(form: str, tokens: list[str], world: World, task: FakeTask) -> None:
    result = operator(tokens=[form.format(tokens[0])], sweep=True).execute(task.context())
    assert [token["state"] for token in result["tokens"]] == ["revoked"]
    assert result["promise_kept"] is True
    assert alive(world) == set(tokens[1:])
    assert not any(token in str(result) for token in tokens)


def test_without_sweep_they_are_flagged_alone(tokens: list[str], world: World, task: FakeTask) -> None:
    operator(tokens=[named(tokens[0])], reason="in a ticket").execute(task.context())
    assert flagged() == {named(tokens[0])}
    assert alive(world) == set(tokens)


@pytest.mark.parametrize(
    "arguments",
    [{"models": [MANY[0]]}, {"models": MANY[0]}, {"models": f'["{MANY[0]}"]'}, {"models": f"['{MANY[0]}']"}],
)
def test_models_are_read_as_templates_render_them(arguments: Any, tokens: list[str], task: FakeTask) -> None:
    operator(**arguments, audiences="None", findings="None", tokens="[]").execute(task.context())
    assert flagged() == {named(tokens[0])}


def test_an_audience_is_flagged(tokens: list[str], task: FakeTask) -> None:
    PMEHook().mint(MANY[:1], audience="broker")
    operator(audiences=["intranet"]).execute(task.context())
    assert flagged() == {named(token) for token in tokens}


def test_mixed_criteria_are_refused_unless_within(tokens: list[str], task: FakeTask) -> None:
    with pytest.raises(AirflowFailException, match="within"):
        operator(models=[MANY[0]], audiences=["intranet"]).execute(task.context())
    assert flagged() == set()
    for within in (True, "True"):
        operator(models=[MANY[0]], audiences=["intranet"], within=within).execute(task.context())
        assert flagged() == {named(tokens[0])}
    with pytest.raises(AirflowFailException, match="within: expected true or false"):
        operator(models=[MANY[0]], within="perhaps").execute(task.context())


def test_a_token_outside_of_the_criteria_fails_the_task(tokens: list[str], task: FakeTask) -> None:
    with pytest.raises(AirflowFailException, match="does not match the other criteria"):
        operator(tokens=[named(tokens[0])], audiences=["broker"], within=True).execute(task.context())
    assert task.xcoms["return_value"]["outside"] == [named(tokens[0])]


@pytest.mark.parametrize("names", [{"audiences": ["intranot"]}, {"models": ["AbCdEfGhIjK"]}])
def test_a_name_that_was_never_recorded_fails_the_task(names: Any, tokens: list[str], task: FakeTask) -> None:
    with pytest.raises(AirflowFailException, match=r"has no link of .* Check the spelling"):
        operator(**names, sweep=True).execute(task.context())
    (name,) = task.xcoms["return_value"]["never_recorded"]
    assert name.endswith(next(iter(names.values()))[0])


@pytest.mark.parametrize(
    ("conn_id", "audience", "failed"),
    [
        ("other", "intranet", False),
        ("other", "intranot", True),
        ("{{ params.conn_id }}", "intranot", False),
        ("absent", "intranot", False),
    ],
)
def test_a_name_may_be_one_of_another_connection_that_the_dag_answers_for(
    tokens: list[str], fields: dict[str, Any], task: FakeTask, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], conn_id: str, audience: str, failed: bool,
) -> None:  # fmt: skip
    of_tokens = {"conn_type": "pme", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(of_tokens))
    monkeypatch.setenv("AIRFLOW_CONN_PME_DEFAULT", json.dumps({**of_tokens, "extra": {"ledger_conn_id": "empty"}}))
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", json.dumps({"conn_type": "sqlite", "host": "empty.db"}))
    PMEHook().database.migrate()
    with DAG("dag", schedule=None):
        flag_task = operator(audiences=[audience], sweep=True)
        PMEFlagTokensOperator(task_id="respond_other", pme_conn_id=conn_id)
    if failed:
        with pytest.raises(AirflowFailException, match=r"audience intranot.*Check the spelling"):
            flag_task.execute(task.context())
    else:
        assert flag_task.execute(task.context())["never_recorded"] == [f"audience {audience}"]
        told = "respond_other may have links of audience intranot" in capsys.readouterr().out
        assert told is (conn_id != "other")


def test_nothing_to_flag_is_refused(task: FakeTask) -> None:
    with pytest.raises(AirflowFailException, match="nothing in it"):
        operator().execute(task.context())


def test_one_bad_report_costs_that_report_alone(
    tokens: list[str], world: World, task: FakeTask, tmp_path: Path
) -> None:
    (tmp_path / "good.txt").write_text(f"auth=Bearer+{tokens[1]}")
    findings = [str(tmp_path / "missing.txt"), str(tmp_path / "good.txt")]
    with pytest.raises(AirflowFailException, match=r"missing\.txt"):
        operator(tokens=[named(tokens[0])], findings=findings, sweep=True).execute(task.context())
    assert alive(world) == {tokens[2]}
    assert task.xcoms["return_value"]["promise_kept"] is False


def test_a_wrong_part_fails_the_task_and_the_rest_is_revoked(tokens: list[str], world: World, task: FakeTask) -> None:
    with pytest.raises(AirflowFailException, match="model"):
        operator(tokens=[named(tokens[0])], models=["short"], sweep=True).execute(task.context())
    assert alive(world) == set(tokens[1:])
    assert len(task.xcoms["return_value"]["tokens"]) == 1


def test_an_api_that_is_away_fails_the_task_for_a_retry_after_its_result_is_pushed(
    tokens: list[str], task: FakeTask, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flag, "_DEADLINE", timedelta(seconds=3))
    connect(host="http://127.0.0.1:1")
    listen = listener()
    with pytest.raises(AirflowException, match=r"NOT revoked.*was not reached.*may live until") as caught:
        operator(tokens=[named(tokens[0])], sweep=True, on_alarm=listen).execute(task.context())
    assert not isinstance(caught.value, AirflowFailException)
    (token,) = task.xcoms["return_value"]["tokens"]
    assert token["state"] == "live"
    assert "was not reached" in token["not_revoked"]
    assert [len(alarms) for alarms in listen.heard] == [1]
    assert listen.heard[0][0].startswith("NOT revoked")


def test_a_leak_of_another_client_is_alarmed_with_the_connection_that_can_revoke_it(
    tokens: list[str], task: FakeTask, fields: dict[str, Any], connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import json

    monkeypatch.setenv("AIRFLOW_CONN_TEAM_A", json.dumps({"conn_type": "pme", **fields}))
    connect(login="another-client")
    listen = listener()
    with pytest.raises(AirflowException, match="emulator-client"):
        operator(tokens=[named(tokens[0])], sweep=True, on_alarm=listen).execute(task.context())
    assert "The connection team_a can revoke them" in " ".join(listen.heard[0])


def test_revoked_audiences_are_posted_and_counted(tokens: list[str], task: FakeTask, metrics: dict[str, float]) -> None:
    alias = AssetAlias("pme-revoked")
    operator(audiences=["intranet"], sweep=True, outlets=[alias]).execute(task.context())
    assert task.posted_to(alias) == [("pme://revoked/intranet", {"audience": "intranet"})]
    assert metrics["pme.revoked"] == 3
    assert metrics["pme.exposure"] > 0


def test_a_bad_max_exposure_fails_the_task_after_the_revocation(
    tokens: list[str], world: World, task: FakeTask
) -> None:
    with pytest.raises(AirflowFailException, match="max_exposure"):
        operator(tokens=[named(tokens[0])], sweep=True, max_exposure="soon").execute(task.context())
    assert alive(world) == set(tokens[1:])
    assert task.xcoms["return_value"]["promise_kept"] is True


def events(*extras: Any) -> dict[str, Any]:
    return {"triggering_asset_events": {"pme://leaks": [SimpleNamespace(extra=extra) for extra in extras]}}


def test_events_are_flagged(tokens: list[str], task: FakeTask) -> None:
    context = task.context(
        **events({"fingerprints": [named(tokens[0])]}, {"payload": {"tokens": tokens[1]}}, {}, None, "x")
    )
    operator().execute(context)
    assert flagged() == {named(token) for token in tokens[:2]}


def test_reports_of_a_trigger_are_flagged_and_a_bad_one_fails_the_task(tokens: list[str], task: FakeTask) -> None:
    good = {"path": "a.json", "form": "plain text", "total": 1, "fingerprints": [named(tokens[0])], "sha1": []}
    bad = {"path": "b.json", "problem": "is no known report"}
    broken = {"path": "c.json", "total": "many"}
    context = task.context(**events({"payload": {"report": good}}, {"report": bad}, {"report": broken}))
    with pytest.raises(AirflowFailException, match=r"b\.json: is no known report.*the event's report"):
        operator().execute(context)
    assert flagged() == {named(tokens[0])}


def test_events_that_started_no_run_are_flagged_and_a_failure_to_read_them_is_tried_again(
    tokens: list[str], task: FakeTask
) -> None:
    now = datetime.now(timezone.utc)
    late = SimpleNamespace(timestamp=now, extra={"fingerprints": [named(tokens[1])]}, created_dagruns=[])
    run = SimpleNamespace(dag_id="d", run_type="asset_triggered", run_after=now, start_date=now)
    started_by = events({"fingerprints": [named(tokens[0])]})
    operator().execute(task.context(**started_by, dag_run=run, inlet_events={"pme://leaks": [late]}))
    assert flagged() == {named(token) for token in tokens[:2]}
    with pytest.raises(AirflowException, match="started no run") as raised:
        operator().execute(task.context(**started_by, dag_run=run, inlet_events={"pme://leaks": [None]}))
    assert not isinstance(raised.value, AirflowFailException)


def test_tokens_are_rendered_when_the_task_runs_and_are_no_template_field(tokens: list[str], task: FakeTask) -> None:
    assert "tokens" not in PMEFlagTokensOperator.template_fields
    made = operator(tokens="{{ params.tokens }}")
    made.execute(task.context(params={"tokens": f"['{tokens[0]}']"}))
    assert flagged() == {named(tokens[0])}
    assert made.tokens == "{{ params.tokens }}"


def test_rendered_fields_show_no_token(tokens: list[str]) -> None:
    link = f"https://my.matterport.com/show?m={MANY[0]}&auth=Bearer+{tokens[0]}"
    made = operator(models="{{ params.models }}", audiences=[tokens[1]], reason="{{ params.reason }}", findings=None)
    made.render_template_fields({"params": {"models": [link], "reason": f"seen as {tokens[2]}"}})
    stored = {name: getattr(made, name) for name in made.template_fields}
    assert not any(token in str(stored) for token in tokens)
    assert MANY[0] in str(stored["models"])
    assert stored["reason"].startswith("seen as ")


def test_a_redacted_share_url_still_names_its_model(tokens: list[str], task: FakeTask) -> None:
    made = operator(models=[f"https://my.matterport.com/show?m={MANY[0]}&auth=Bearer+{tokens[0]}"])
    made.render_template_fields({})
    made.execute(task.context())
    assert flagged() == {named(tokens[0])}


VIEW = "k3f9s8d7q2m4x6z1b5n0c8v7y"


def test_a_view_is_flagged_by_its_id_and_is_stored_masked(tokens: list[str], task: FakeTask) -> None:
    with PMEHook().database.engine.begin() as connection:
        connection.execute(update(links).where(links.c.model_id == MANY[0]).values(model_id=VIEW))
    made = operator(models="{{ params.models }}")
    made.render_template_fields({"params": {"models": [VIEW]}})
    assert made.models == "['***']"
    made.execute(task.context())
    assert flagged() == {named(tokens[0])}


def test_a_report_is_read_where_its_address_or_path_has_a_token_in_it(
    tokens: list[str], task: FakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / VIEW
    folder.mkdir()
    (folder / "report.txt").write_text(f"auth=Bearer+{tokens[0]}")
    asked: list[str] = []
    monkeypatch.setattr(report_fetch, "_fetch", lambda place: asked.append(place) or tokens[1].encode())
    url = "https://ci/report.json?access_token=abcdefgh1"
    made = operator(findings=[str(folder / "report.txt"), url])
    made.render_template_fields({})
    assert made.findings == [str(tmp_path / "***" / "report.txt"), "https://ci/report.json?access_token=***"]
    made.execute(task.context())
    assert asked == [url]
    assert flagged() == {named(token) for token in tokens[:2]}


def test_a_report_that_is_missing_is_named_without_a_token(task: FakeTask, tmp_path: Path) -> None:
    (tmp_path / VIEW).mkdir()
    made = operator(findings=[str(tmp_path / VIEW / "none.json"), str(tmp_path / VIEW / ("x" * 300))])
    made.render_template_fields({})
    with pytest.raises(AirflowFailException, match=r"no file .*/\*\*\*/none.json.*cannot be read") as caught:
        made.execute(task.context())
    assert VIEW not in str(caught.value) + str(task.xcoms)


def test_the_fields_of_a_mapped_task_show_no_token(tokens: list[str]) -> None:
    with DAG("leaks", schedule=None):
        mapped = PMEFlagTokensOperator.partial(task_id="flag").expand(models=[[VIEW]])
    made = mapped.unmap({"models": [VIEW]})
    made._do_render_template_fields(
        parent=made,
        template_fields=made.template_fields,
        context={},
        jinja_env=made.get_template_env(),
        seen_oids=set(),
    )
    assert made.models == ["***"]


@task_decorator
def find_leaks() -> list[str]:
    return [UNKNOWN]


@pytest.mark.parametrize("wrap", [lambda found: found, lambda found: [found["first"], UNKNOWN]])
def test_the_task_runs_after_the_task_whose_result_it_takes_as_tokens(wrap: Callable[[Any], Any]) -> None:
    with DAG("leaks", schedule=None):
        found = find_leaks()
        made = operator(tokens=wrap(found), sweep=True)
    assert made.upstream_task_ids == {"find_leaks"}


def test_the_tokens_of_a_mapped_task_may_be_the_result_of_another() -> None:
    with DAG("leaks", schedule=None):
        found = find_leaks()
        mapped = PMEFlagTokensOperator.partial(task_id="flag", tokens=found).expand(reason=["a", "b"])
        found >> mapped
    made = mapped.unmap({"reason": "a"})
    assert made.upstream_task_ids == {"find_leaks"}
    assert made.tokens is found


def test_raw_tokens_are_masked_in_the_logs(tokens: list[str], task: FakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(_masking, "mask_secret", masked.append)
    operator(tokens=[f"auth=Bearer+{tokens[0]}", named(tokens[1])]).execute(task.context())
    assert masked == [tokens[0]]
    _masking.mask_tokens([f"{n:025d}x" for n in range(60)])
    assert len(masked) == 51


@pytest.mark.parametrize("value", [None, 5, ("a",), {"k": ["v"]}, {"x"}])
def test_other_rendered_values_stay_as_they_are(value: Any) -> None:
    assert _masking.redacted(value) == value


def test_an_unknown_fingerprint_is_kept_and_logged(task: FakeTask, caplog: pytest.LogCaptureFixture) -> None:
    result = operator(tokens=[UNKNOWN], sweep=True).execute(task.context())
    assert result["tombstones"] == [UNKNOWN]
    assert UNKNOWN in caplog.text
