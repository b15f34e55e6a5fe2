"""Each kind of target has its options; what is missing, unknown or wrong is named by its place in the file."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.placements import target_specs
from pme_airflow.placements.placement import TargetSpec
from pme_airflow.placements.problems import ProblemCollector
from pme_airflow.placements.target_specs import read_targets

GOOD: dict[str, dict[str, Any]] = {
    "object_storage": {"path": "file:///srv"},
    "slack": {"channel": "#tours"},
    "wordpress": {"pages": {"M1": 42}},
    "http": {"endpoint": "x", "json": {"url": "{link}"}},
    "custom": {"class": "a.B"},
}


def read(
    raw: Any, models: Collection[str] | None = ("M1",), exclude: Collection[str] = ()
) -> tuple[tuple[TargetSpec, ...], list[str]]:
    problems = ProblemCollector()
    return read_targets(raw, "intranet", models, exclude, problems), problems.problems


def test_each_kind_is_read_with_its_options_and_a_task_of_its_own() -> None:
    specs, problems = read([{"kind": kind, **options} for kind, options in GOOD.items()])
    assert problems == []
    assert [(spec.kind, spec.options) for spec in specs] == list(GOOD.items())
    assert [spec.task_id for spec in specs] == [f"publish_intranet_{n}_{kind}" for n, kind in enumerate(GOOD)]


@pytest.mark.parametrize("raw", [None, [], {}, "slack", {"kind": "slack"}])
def test_no_target_is_a_problem(raw: Any) -> None:
    assert read(raw) == ((), ["targets: give a list of at least one target, each with its kind"])


@pytest.mark.parametrize("entry", [{}, {"kind": "ftp"}, {"kind": ["slack"]}, {"kind": None}, "slack", None, 5])
def test_an_unknown_kind_is_named_and_the_others_are_read(entry: Any) -> None:
    specs, (problem,) = read([entry, {"kind": "slack", "channel": "#tours"}])
    assert problem.startswith("targets[0].kind: ")
    assert problem.endswith("the kinds are custom, http, object_storage, slack, wordpress")
    assert [spec.task_id for spec in specs] == ["publish_intranet_1_slack"]


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, options in GOOD.items() for key in options])
def test_a_missing_option_is_named(kind: str, key: str) -> None:
    _, problems = read([{"kind": kind, **{name: value for name, value in GOOD[kind].items() if name != key}}])
    assert f"targets[0].{key}: is missing; a target of kind {kind} needs it" in problems


@pytest.mark.parametrize("kind", GOOD)
def test_an_unknown_option_is_named_with_those_that_there_are(kind: str) -> None:
    _, (problem,) = read([{"kind": kind, **GOOD[kind], "chanel": "x"}])
    assert problem.startswith(f"targets[0].chanel: is unknown for {kind}; it takes ")
    assert all(key in problem for key in GOOD[kind])


@pytest.mark.parametrize(
    ("pages", "models", "exclude", "expected"),
    [
        ({"M1": 42}, ["M1"], [], []),
        ({"M1": 42}, None, [], []),
        ({"M1": 42, "M2": 1}, ["M1"], ["M2"], []),
        ({"M1": 42, "M2": 1}, ["M1"], [], ["M2: is a page for a model that is not listed in models"]),
        ({"M1": 42}, ["M1", "M2"], [], ["M2: is missing: every listed model needs a page"]),
        ({"M1": 0}, ["M1"], [], ["M1: give the page's number"]),
        ({"M1": -1}, ["M1"], [], ["M1: give the page's number"]),
        ({"M1": True}, ["M1"], [], ["M1: give the page's number"]),
        ({"M1": "42"}, ["M1"], [], ["M1: give the page's number"]),
    ],
)
def test_every_listed_model_has_a_page_and_no_other(
    pages: dict[str, Any], models: list[str] | None, exclude: list[str], expected: list[str]
) -> None:
    _, problems = read([{"kind": "wordpress", "pages": pages}], models, exclude)
    assert problems == [f"targets[0].pages.{problem}" for problem in expected]


@pytest.mark.parametrize("pages", [[42], "42", 42])
def test_pages_are_a_mapping(pages: Any) -> None:
    assert read([{"kind": "wordpress", "pages": pages}])[1] == [
        "targets[0].pages: give a mapping of model id to page number"
    ]


def test_what_a_target_needs_and_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: object, field: str = "") -> None:
        raise PMEInputError(f"install {name}", field)

    monkeypatch.setattr(target_specs, "require_extra", missing)
    monkeypatch.setattr(target_specs, "require_store", missing)
    _, problems = read([{"kind": kind, **options} for kind, options in GOOD.items()])
    assert problems == ["targets[0].path: install file:///srv", "targets[1]: install slack"]


STEPS: dict[str, Any] = {
    "steps": [
        {"name": "read", "endpoint": "e/{{ model_id }}", "keep": "sys.version"},
        {"method": "PUT", "endpoint": "e/{{ model_id }}", "json": {"u": "{{ link }}", "v": "{{ read.sys.version }}"}},
    ]
}


def test_steps_stand_in_place_of_one_request() -> None:
    (spec,), problems = read([{"kind": "http", **STEPS}])
    assert problems == []
    assert spec.options == STEPS
    assert spec.location == 'http {"endpoint": "e/{{ model_id }}", "http_conn_id": "http_default"}'


def test_what_is_wrong_with_steps_is_named_by_its_place() -> None:
    wrong = {**STEPS, "take_away": [{"method": "PUT", "endpoint": "e/{{ model }}"}], "endpoint": "x"}
    _, problems = read([{"kind": "slack", "channel": "x"}, {"kind": "http", **wrong}])
    assert [problem.partition(";")[0] for problem in problems] == [
        "targets[1].endpoint: is unknown for http",
        "targets[1].take_away[0]: model is unknown",
    ]


def test_signer_of_one_request_is_known() -> None:
    request = {"kind": "http", **GOOD["http"]}
    assert read([{**request, "signer": "ghost"}])[1] == []
    assert read([{**request, "signer": ["aws"]}])[1] == ["targets[0].signer: is unknown; the signers are ghost"]


@pytest.mark.parametrize("kind", ["object_storage", "http", "wordpress"])
@pytest.mark.parametrize("value", [0, 33, "4", True, None])
def test_at_once_is_a_number_from_1_to_32(kind: str, value: Any) -> None:
    assert read([{"kind": kind, **GOOD[kind], "at_once": 32}])[1] == []
    (_, problems) = read([{"kind": kind, **GOOD[kind], "at_once": value}])
    assert problems == ["targets[0].at_once: give a whole number from 1 to 32"]


def test_a_slack_channel_has_a_layout() -> None:
    for layout in ("message", "list"):
        assert read([{"kind": "slack", "channel": "#tours", "layout": layout}])[1] == []
    (_, problems) = read([{"kind": "slack", "channel": "#tours", "layout": ["list"]}])
    assert problems == ["targets[0].layout: give message or list"]


def test_a_request_for_all_models_names_no_single_one() -> None:
    good = {
        "kind": "http",
        "endpoint": "pages/{audience}",
        "json": {"all": "{spaces}"},
        "group": True,
        "each": ["{link}"],
    }
    assert read([good])[1] == []
    bad = {**good, "endpoint": "pages/{model_id}", "read_endpoint": "x/{link_id}", "clear_json": {}, "at_once": 2}
    named = [problem.partition(":")[0] for problem in read([bad])[1]]
    assert named == [f"targets[0].{key}" for key in ("endpoint", "read_endpoint", "clear_json", "at_once")]
    assert read([{**good, "group": "yes"}])[1] == ["targets[0].group: give true or false"]
    assert read([{**good, "group": False}])[1] == ["targets[0].each: needs group: true"]


def test_a_single_request_is_checked_and_so_is_the_timeout_of_steps() -> None:
    bad = {"kind": "http", "endpoint": "x", "json": {"url": "{{ link }}"}, "timeout": "30s", "http_conn_id": 5}
    assert read([bad])[1] == [
        "targets[0].timeout: give seconds as a number, over 0 and at most 3600",
        "targets[0].json.url: {{ link }} is not filled in without steps; write {link}",
        "targets[0].http_conn_id: give the id of a connection",
    ]
    assert read([{"kind": "http", **STEPS, "timeout": "30s"}])[1] == [
        "targets[0].timeout: give seconds as a number, over 0 and at most 3600"
    ]
