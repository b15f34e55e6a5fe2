"""Placements are read and checked as a whole, and everything that is wrong is reported at once."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.errors import PMEInputError
from pme_airflow.placements import check, load

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
    ("text", "message"),
    [
        ("a: [", "no YAML"),
        ("- 5", "expected a mapping"),
        (changed(audience="two words"), "audience:"),
        (changed(valid_for="25h"), "valid_for:"),
        (changed(valid_for="soon"), "valid_for:"),
        ("{}", "targets:"),
        ("''",  "expected a mapping"),
        ("0", "expected a mapping"),
        ("when: 2026-13-45", "no YAML"),
        ("[" * 5000, "no YAML"),
        (changed(models=None), "models:"),
        (changed(models="*"), "models:"),
        (changed(exclude="yyHDFKzPzvN"), "exclude: give a list"),
        (changed(exclude=["yyHDFKzPzvN", "x"]), r"exclude\[1\]: 'x' is not a model id"),
        (changed(exclude=["yyHDFKzPzvN", "yyHDFKzPzvN"]), r"exclude\[1\]: yyHDFKzPzvN is listed twice"),
        (changed(timezone="Mars/Olympus"), "timezone: 'Mars/Olympus' is unknown"),
        (changed(timezone="Europe"), "timezone:"),
        (changed(timezone="../../etc/passwd"), "timezone:"),
        (changed(timezone=""), "timezone:"),
        (changed(timezone=2), "timezone:"),
        (changed(timezone=None), "timezone:"),
        (changed(allow_clearing="yes"), "allow_clearing"),
        (changed(pme_conn_id=None), "pme_conn_id"),
        (changed(renew_before="soon"), "renew_before: 'soon' is not a duration"),
        (changed(keep_every="0s"), "keep_every: must be longer than zero"),
        (changed(targets=[{"kind": ["slack"], "channel": "#a"}]), r"targets\[0\].kind"),
        (changed(targets=["slack"]), r"targets\[0\].kind"),
        (changed(targets=[{"kind": "wordpress", "pages": [42]}]), r"targets\[0\].pages: give a mapping"),
        (changed(targets=[{"kind": "wordpress", "pages": {"yyHDFKzPzvN": True, "SxQL3iGyoDo": 0}}]), "yyHDFKzPzvN: give"),
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
def test_each_wrong_key_has_a_line_of_its_own(text: str, message: str) -> None:
    with pytest.raises(PMEInputError, match=message):
        check(text)


def test_everything_that_is_wrong_is_reported_at_once() -> None:
    with pytest.raises(PMEInputError) as caught:
        check(changed(audience="", valid_for="25h", models=["x"], targets=[{"kind": "fax"}], colour=1))
    problems = [line.partition(":")[0] for line in str(caught.value).split("\n  - ")[1:]]
    assert problems == ["colour", "audience", "valid_for", "models[0]", "targets[0].kind"]


def test_a_line_names_its_key_once() -> None:
    with pytest.raises(PMEInputError) as caught:
        check(changed(valid_for="25h", models=["x"], keep_every="never"))
    lines = str(caught.value).split("\n  - ")[1:]
    assert [line.count("valid_for") for line in lines if line.startswith("valid_for")] == [1]
    assert not any("models: " in line or "keep_every: keep_every" in line for line in lines)


def test_two_audiences_that_would_overwrite_each_other_are_refused() -> None:
    second = yaml.safe_load(GOOD) | {"audience": "other"}
    with pytest.raises(PMEInputError, match="same place"):
        check(yaml.safe_dump([yaml.safe_load(GOOD), second]))


def test_a_part_of_a_list_is_named_by_its_number() -> None:
    second = yaml.safe_load(GOOD) | {"audience": "other", "valid_for": "soon", "targets": []}
    with pytest.raises(PMEInputError, match=r"\[1\]\.valid_for: .*\n.*\[1\]\.targets"):
        check(yaml.safe_dump([yaml.safe_load(GOOD), second]))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "[]", "null"])
def test_a_file_without_placements_publishes_nothing(text: str) -> None:
    assert check(text) == []


def test_the_shipped_file_publishes_nothing_and_its_example_is_right() -> None:
    shipped = (ROOT / "dags" / "placements.yaml").read_text()
    assert check(shipped) == []
    assert "/tmp" not in shipped
    example = "\n".join(line[2:] for line in shipped.splitlines() if line.startswith(("# - ", "#   ")))
    (placement,) = check(example)
    assert (placement.timezone, placement.exclude) == ("Europe/Berlin", ("SxQL3iGyoDo",))
    assert [target.kind for target in placement.targets] == ["object_storage", "slack", "wordpress", "http"]


def test_no_models_at_all_is_a_placement_that_shows_nothing() -> None:
    (placement,) = check(changed(models=[], targets=[{"kind": "object_storage", "path": "/srv/embeds"}]))
    assert placement.listed_models == []
    assert not placement.models


def test_excluded_models_are_left_out_of_a_list() -> None:
    (placement,) = check(changed(exclude=["yyHDFKzPzvN"]))
    assert placement.listed_models == ["SxQL3iGyoDo"]
    assert placement.exclude == ("yyHDFKzPzvN",)


def test_excluded_models_need_no_page() -> None:
    pages = {"kind": "wordpress", "pages": {"SxQL3iGyoDo": 43}}
    (placement,) = check(changed(exclude=["yyHDFKzPzvN"], targets=[pages]))
    assert placement.listed_models == ["SxQL3iGyoDo"]


def test_excluded_models_are_handed_on_with_a_query() -> None:
    targets = [{"kind": "object_storage", "path": "/srv/embeds"}]
    (placement,) = check(changed(models={"query": "Mill"}, exclude=["yyHDFKzPzvN"], targets=targets))
    assert placement.models == {"query": "Mill", "exclude": ["yyHDFKzPzvN"]}
    assert placement.listed_models is None
    (plain,) = check(changed(models={"query": "*"}, targets=targets, allow_clearing=True))
    assert plain.models == {"query": "*", "allow_clearing": True}
    assert plain.allow_clearing


def test_the_defaults_are_those_documented() -> None:
    (placement,) = check(yaml.safe_dump({"models": [], "targets": [{"kind": "object_storage", "path": "/srv"}]}))
    assert (placement.audience, placement.pme_conn_id, placement.timezone) == ("default", "pme_default", "UTC")
    assert str(placement.valid_for) == "24h"
    assert placement.renew_before == timedelta(hours=12)
    assert placement.keep_every == timedelta(minutes=30)
    assert (placement.allow_gaps, placement.allow_clearing, placement.exclude) == (False, False, ())


def test_the_keeper_can_be_switched_off() -> None:
    (placement,) = check(changed(keep_every=False, allow_gaps=True))
    assert placement.keep_every is None
    with pytest.raises(PMEInputError, match=r"dark for up to 1 min.*allow_gaps"):
        check(changed(keep_every=False))


def test_two_audiences_never_share_a_task_id() -> None:
    first = yaml.safe_load(GOOD) | {"audience": "a.b"}
    second = yaml.safe_load(GOOD) | {"audience": "a_b"}
    for number, entry in enumerate((first, second)):
        entry["targets"] = [{"kind": "object_storage", "path": f"/srv/{number}"}]
    placements = check(yaml.safe_dump([first, second]))
    assert len({placement.group for placement in placements}) == 2
    assert len({target.task_id for placement in placements for target in placement.targets}) == 2


def test_one_audience_twice_is_refused() -> None:
    with pytest.raises(PMEInputError, match="intranet stands twice"):
        check(yaml.safe_dump([yaml.safe_load(GOOD), yaml.safe_load(GOOD)]))


def test_one_place_twice_is_refused() -> None:
    targets = [
        {"kind": "object_storage", "path": "file:///srv/embeds"},
        {"kind": "object_storage", "path": "/srv/embeds/"},
    ]
    with pytest.raises(PMEInputError, match="object_storage stands twice") as caught:
        check(changed(targets=targets))
    assert str(caught.value).count("\n  - ") == 1


def test_two_audiences_may_not_share_a_space_on_a_page() -> None:
    pages = {"yyHDFKzPzvN": 42, "SxQL3iGyoDo": 43}
    entries = [
        {"audience": name, "models": list(pages), "targets": [{"kind": "wordpress", "pages": pages}]}
        for name in ("one", "two")
    ]
    with pytest.raises(PMEInputError, match="wordpress shows both one and two") as caught:
        check(yaml.safe_dump(entries))
    assert str(caught.value).count("\n  - ") == 1
    entries[1]["targets"] = [{"kind": "wordpress", "pages": {"yyHDFKzPzvN": 44, "SxQL3iGyoDo": 42}}]
    assert len(check(yaml.safe_dump(entries))) == 2


@pytest.mark.parametrize("kind", [{"kind": "slack", "channel": "#tours"}, {"kind": "wordpress", "pages": {}}])
def test_two_audiences_may_share_a_channel_or_a_site(kind: dict[str, object]) -> None:
    entries = [{"audience": name, "models": [], "targets": [kind]} for name in ("one", "two")]
    assert len(check(yaml.safe_dump(entries))) == 2


def test_all_placements_of_a_file_have_one_time_zone() -> None:
    entries = [
        {"audience": zone[-5:], "models": [], "timezone": zone, "targets": [{"kind": "slack", "channel": "#a"}]}
        for zone in ("Europe/Berlin", "Asia/Tokyo")
    ]
    with pytest.raises(PMEInputError, match="timezone: Asia/Tokyo and Europe/Berlin"):
        check(yaml.safe_dump(entries))


def test_the_file_of_the_environment_is_read_before_the_one_beside_the_dag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "placements.yaml").write_text(GOOD)
    (tmp_path / "other.yaml").write_text("[]")
    monkeypatch.delenv("PME_PLACEMENTS", raising=False)
    assert len(load(tmp_path / "dag.py")) == 1
    monkeypatch.setenv("PME_PLACEMENTS", str(tmp_path / "other.yaml"))
    assert load(tmp_path / "dag.py") == []


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "there.yaml"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("PME_PLACEMENTS", str(path))
    with pytest.raises(PMEInputError, match=r"there\.yaml cannot be read"):
        load(tmp_path / "dag.py")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise("abcdefghij")
)


@pytest.mark.parametrize(
    "key", ["audience", "exclude", "models", "pme_conn_id", "renew_before", "targets", "timezone", "valid_for"]
)
def test_aliases_that_make_a_billion_entries_are_refused_at_once(key: str) -> None:
    with pytest.raises(PMEInputError, match=rf"{key}(\[0\]|\[0\]\.kind)?:"):
        check(f"{BOMB}{key}: *j\n")


@pytest.mark.parametrize("zone", ["." * 9000, "Europe/../Europe/Berlin", "/etc/localtime", ""])
def test_what_is_no_name_of_a_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(PMEInputError, match="timezone: "):
        check(json.dumps({"models": [], "targets": [{"kind": "slack", "channel": "x"}], "timezone": zone}))


def test_a_token_among_the_keys_and_values_is_not_repeated() -> None:
    token = "k3f9s8d7q2m4x6z1b5n0c8v7y"
    link = f"https://my.matterport.com/show?m=SxQL3iGyoDo&auth=Bearer+{token}"
    with pytest.raises(PMEInputError) as refused:
        check(
            json.dumps({token: 1, link: 2, "timezone": link, "targets": [{"kind": link}, {"kind": "slack", token: 1}]})
        )
    assert token not in str(refused.value)
    assert str(refused.value).count("is unknown") >= 4


def test_half_of_a_character_in_an_audience_is_refused() -> None:
    with pytest.raises(PMEInputError, match=r"audience: |is no YAML"):
        check(json.dumps({"audience": "\udcfd", "models": [], "targets": [{"kind": "slack", "channel": "x"}]}))


PARAMS = "models: [yyHDFKzPzvN, SxQL3iGyoDo]\ntargets: [{kind: slack, channel: '#tours'}]\nparams: "


def test_parameters_of_links_are_read_for_all_models_and_for_single_ones() -> None:
    (placement,) = check(PARAMS + "{play: 1, yyHDFKzPzvN: 'ss=3&play=0'}")
    assert placement.params.of("yyHDFKzPzvN") == "play=0&ss=3"
    assert placement.params.of("SxQL3iGyoDo") == "play=1"
    (placement,) = check(PARAMS + "play=1&qs=1&brand=0")
    assert placement.params.of("yyHDFKzPzvN") == "play=1&qs=1&brand=0"


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ("play=1&auth=x", "params.auth: is a part of every link"),
        ("{yyHDFKzPzvN: m=1}", "params.yyHDFKzPzvN.m: is a part of every link"),
        ('{lang: "\'"}', "params.lang: the value is none"),
        ("'u=javascript:x'", "params.u: the value is none"),
        ("{other000000: play=1}", "params.other000000: is for a model that is not listed in models"),
        ("[1]", "params: a list is no query"),
    ],
)
def test_parameters_that_could_change_a_link_are_refused_by_name(params: str, line: str) -> None:
    with pytest.raises(PMEInputError) as caught:
        check(PARAMS + params)
    assert f"- {line}" in str(caught.value)


def test_a_view_stands_for_a_model() -> None:
    view = "3k5wz1a8f0q2x7c9v6b4n1m8p"
    address = f"https://my.matterport.com/show/?m={view}"
    (placement,) = check(f"models: ['{address}']\ntargets: [{{kind: slack, channel: '#tours'}}]")
    assert placement.listed_models == [view]


def test_a_path_that_is_no_address_is_read_as_it_is() -> None:
    (placement,) = check('models: {query: "*"}\ntargets: [{kind: object_storage, path: "file://b]/p"}]\n')
    assert placement.targets[0].options["path"] == "file://b]/p"


def test_the_id_of_a_view_is_taken_for_a_model_although_a_token_may_look_like_it() -> None:
    view = "k3f9x0a8q7w6e5r4t3y2u1i0p"
    (placement,) = check(f"models: [yyHDFKzPzvN, {view}]\ntargets: [{{kind: slack, channel: '#tours'}}]")
    assert placement.listed_models == ["yyHDFKzPzvN", view]


def test_a_file_with_a_hundred_mistakes_is_not_read_further() -> None:
    with pytest.raises(PMEInputError) as refused:
        check(changed(models=["no"] * 5000))
    lines = str(refused.value).splitlines()
    assert "models[0]: 'no' is not a model id" in lines[1]
    assert "models[99]: " in lines[100]
    assert lines[101:] == ["  - it was not read further after 100 mistakes"]


def test_mistakes_are_counted_over_all_placements_of_a_file() -> None:
    with pytest.raises(PMEInputError) as refused:
        check("\n".join(f"- {{audience: a{index}, models: [no], targets: []}}" for index in range(80)))
    assert "[49].targets" in str(refused.value)
    assert "[50]" not in str(refused.value)


def test_49_000_models_and_their_pages_are_read() -> None:
    models = [f"M{index:010}" for index in range(49_000)]
    pages = "{" + ", ".join(f"{model}: 1" for model in models) + "}"
    (placement,) = check(
        f"models: [{', '.join(models)}]\nexclude: [{models[0]}]\ntargets: [{{kind: wordpress, pages: {pages}}}]"
    )
    assert placement.listed_models == models[1:]
