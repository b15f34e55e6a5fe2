"""Placements: read as a whole, checked as a whole, and what their schedule survives."""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml

from pme_airflow.errors import PMEInputError
from pme_airflow.placements import check, plan

GOOD = """
audience: intranet
valid_for: 24h
models: [yyHDFKzPzvN, SxQL3iGyoDo]
targets:
  - {kind: object_storage, path: "file:///srv/embeds"}
  - {kind: slack, channel: "#tours", slack_conn_id: slack_api_default}
  - {kind: wordpress, wordpress_conn_id: wordpress_default, pages: {yyHDFKzPzvN: 42, SxQL3iGyoDo: 43}}
  - {kind: http, http_conn_id: cms, method: PATCH, endpoint: "items/spaces/{model_id}", json: {tour_url: "{link}"}}
"""


def changed(**keys: object) -> str:
    return yaml.safe_dump({**yaml.safe_load(GOOD), **keys})


def test_the_documented_mapping_is_read() -> None:
    (placement,) = check(GOOD)
    assert placement.audience == "intranet"
    assert placement.listed_models == ["yyHDFKzPzvN", "SxQL3iGyoDo"]
    assert [target.kind for target in placement.targets] == ["object_storage", "slack", "wordpress", "http"]
    assert len({target.task_id for target in placement.targets}) == 4


def test_a_list_of_audiences_is_read() -> None:
    second = yaml.safe_load(GOOD) | {"audience": "broker-portal", "models": {"query": "*"}}
    second["targets"] = [{"kind": "object_storage", "path": "file:///srv/brokers"}]
    placements = check(yaml.safe_dump([yaml.safe_load(GOOD), second]))
    assert [placement.audience for placement in placements] == ["intranet", "broker-portal"]
    assert placements[1].listed_models is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a: [", "no YAML"),
        ("[]", "is empty"),
        ("- 5", "expected a mapping"),
        (changed(audience="two words"), "audience:"),
        (changed(valid_for="25h"), "valid_for:"),
        (changed(valid_for="soon"), "valid_for:"),
        (changed(models=[]), "models:"),
        (changed(models=["yyHDFKzPzvN", "yyHDFKzPzvN", "SxQL3iGyoDo"]), r"models\[1\]: yyHDFKzPzvN is listed twice"),
        (changed(models={"filter": "*"}), "models:"),
        (changed(colour="red"), "colour: is unknown"),
        (changed(targets=[]), "targets:"),
        (changed(targets=[{"kind": "fax"}]), r"targets\[0\].kind"),
        (changed(targets=[{"kind": "slack"}]), r"targets\[0\].channel: is missing"),
        (changed(targets=[{"kind": "slack", "channel": "#a", "colour": 1}]), r"targets\[0\].colour"),
        (changed(targets=[{"kind": "wordpress", "pages": {"yyHDFKzPzvN": 1}}]), "SxQL3iGyoDo: is missing"),
        (
            changed(targets=[{"kind": "wordpress", "pages": {"yyHDFKzPzvN": 1, "SxQL3iGyoDo": 2, "NoSuchModel": 3}}]),
            "NoSuchModel: is a page for a model that is not listed",
        ),
        (changed(targets=[{"kind": "wordpress", "pages": {"yyHDFKzPzvN": 1, "SxQL3iGyoDo": "x"}}]), "page's number"),
        (changed(renew_before="24h"), "renew_before"),
        (changed(allow_gaps="maybe"), "allow_gaps"),
    ],
)  # fmt: skip
def test_each_wrong_key_has_a_line_of_its_own(text: str, said: str) -> None:
    with pytest.raises(PMEInputError, match=said):
        check(text)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(PMEInputError) as caught:
        check(changed(audience="", valid_for="25h", models=["x"], targets=[{"kind": "fax"}], colour=1))
    assert str(caught.value).count("\n  - ") >= 5


def test_two_audiences_that_would_overwrite_each_other_are_refused() -> None:
    second = yaml.safe_load(GOOD) | {"audience": "other"}
    with pytest.raises(PMEInputError, match="same place"):
        check(yaml.safe_dump([yaml.safe_load(GOOD), second]))


# ------------------------------------------------------------------- the plan


def test_the_shipped_schedule_survives_eleven_hours_with_clocks_off() -> None:
    outcome = plan(check(GOOD)[0])
    assert outcome.survives >= timedelta(hours=11, minutes=10)
    assert "11 h 44 min" in outcome.in_words()


def test_a_nightly_run_alone_is_refused_with_numbers_and_a_cure() -> None:
    with pytest.raises(PMEInputError, match=r"dark for up to 1 h 1 min.*allow_gaps"):
        check(changed(keep_every=False))
    (placement,) = check(changed(keep_every=False, allow_gaps=True))
    assert plan(placement).leaves_gap


def test_a_keeper_too_slow_for_the_links_is_refused() -> None:
    with pytest.raises(PMEInputError, match="keep_every"):
        check(changed(valid_for="10m"))
    (placement,) = check(changed(valid_for="10m", keep_every="1m"))
    assert plan(placement).survives == timedelta(minutes=3)
