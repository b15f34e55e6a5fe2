"""A recipe is checked as a whole when the placement is loaded, and everything that is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.recipes import Section, recipe_of, slot_source
from tests.recipes.examples import problems_of, versioned, with_step

STEP = {"method": "PUT", "endpoint": "x/{{ model_id }}", "json": {"u": "{{ link }}"}}


def test_recipe_is_read_with_its_sections() -> None:
    recipe = recipe_of(versioned(texts={"frame": '<iframe src="{{ link }}">'}, signer="ghost"))
    assert [step.name for step in recipe.steps(Section.PUT)] == ["read", "write", "step_3"]
    assert [step.method for step in recipe.steps(Section.PUT)] == ["GET", "PUT", "PUT"]
    assert recipe.steps(Section.CHECK) == ()
    assert recipe.steps(Section.READ)[0].anonymous
    assert recipe.signer == "ghost"
    assert recipe.names(Section.CLEAR) == {"model_id", "read"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "steps: give a list of at least one request"),
        ({"steps": []}, "steps: give a list of 1 to 20 requests"),
        ({"steps": "x"}, "steps: give a list of 1 to 20 requests"),
        ({"steps": [STEP] * 21}, "steps: give a list of 1 to 20 requests"),
        ({"steps": ["x"]}, "steps[0]: give a mapping"),
        ({"steps": [{"endpoint": "x/{{ model_id }}"}]}, "steps: none of them writes"),
        ({"steps": [STEP], "read_back": {}}, "read_back: give a list"),
        ({"steps": [{**STEP, "name": "a"}, {**STEP, "name": "a"}]}, "steps: a is the name of two steps"),
        ({"steps": [STEP], "signer": "aws"}, "signer: is unknown; the signers are ghost"),
        ({"steps": [STEP], "signer": ["ghost"]}, "signer: is unknown"),
        ({"steps": [STEP], "keeps_old": "yes"}, "keeps_old: give true or false"),
        ({"steps": [STEP], "slot": "one"}, "slot: is the same for every model"),
        ({"steps": [STEP], "slot": "{{ model_id }}{{ link }}"}, "slot: may contain"),
        ({"steps": [STEP], "texts": ["x"]}, "texts: give a mapping"),
        ({"steps": [STEP], "texts": {"link": "x"}}, "texts.link: give it a name"),
        ({"steps": [STEP], "texts": {"a": "{{ step_1.x }}"}}, "texts.a: step_1.x is unknown"),
        ({"steps": [STEP], "texts": {str(f"t{n}"): "x" for n in range(21)}}, "texts: has more than 20"),
        ({"steps": [STEP], "check": [{"endpoint": "x?u={{ link }}"}]}, "check[0]: link is unknown"),
        ({"steps": [STEP], "take_away": [STEP]}, "take_away[0]: link is unknown"),
        ({"steps": [STEP], "texts": {"f": "{{ link }}"}, "take_away": [{**STEP, "json": {"u": "{{ f }}"}}]},
         "take_away[0]: the text f has link"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(options: dict[str, Any], expected: str) -> None:
    assert any(problem.startswith(expected) for problem in problems_of(options)), problems_of(options)
    with pytest.raises(PMEInputError):
        recipe_of(options)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{{ read.sys.id }}", "read.sys.id is not kept: read keeps fields.note, sys.version"),
        ("{{ read.sys }}", "read.sys is not kept"), ("{{ read }}", "read is not kept"),
        ("{{ read[link] }}", "read is not kept"), ("{{ read.sys['id'] }}", "read.sys.id is not kept"),
        ("{{ step_3.x }}", "step_3.x is of this step or a later one"),
        ("{{ write.sys.version }}", "write.sys.version is of this step or a later one"),
        ("{{ raed.sys.version }}", "raed.sys.version is unknown; what is known there"),
        ("{{ link.x }}", "link.x is unknown: link is a text"), ("{{ connection }}", "connection is unknown; use"),
        ("{{ connection.extra }}", "connection.extra is unknown"), ("{{ self }}", "self is unknown"),
        ("{{ config }}", "config is unknown"), ("{{ [raed.x] }}", "raed.x is unknown"),
        ("{{ read.sys.version[secret] }}", "secret is unknown"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["json", "headers", "endpoint", "when"])
def test_reference_to_what_is_not_kept_is_named(value: str, expected: str, key: str) -> None:
    changed = {"json": {"a": [value]}, "headers": {"X": value}, "endpoint": f"e/{value}", "when": value}[key]
    assert [p for p in problems_of(with_step(**{key: changed})) if p.startswith(f"steps[1]: {expected}")]


@pytest.mark.parametrize(
    "value",
    ["{{ read.sys.version + 1 }}", "{{ read.sys.version.deeper }}", "{{ read['sys']['version'] }}", "{{ name }}",
     "{{ connection.login }}", "{{ connection.password }}", "{{ read.fields.note | default('') }}", "{{ valid_until }}"],
)  # fmt: skip
def test_reference_to_what_is_there_is_accepted(value: str) -> None:
    assert problems_of(with_step(json={"a": value, "url": "{{ link }}"})) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"slot": "a {{ model_id }}"}, "a {{ model_id }}"),
        ({"steps": [STEP]}, "x/{{ model_id }}"),
        ({"steps": [STEP, {"endpoint": "z"}]}, "x/{{ model_id }}"),
        ({"steps": [{**STEP, "endpoint": "api.php"}]}, "{{ model_id }}"),
        ({"steps": [{**STEP, "endpoint": "x/{{ model_id }}/{{ read.id }}"}]}, "{{ model_id }}"),
        ({"steps": [{**STEP, "endpoint": "x/{{ model_id"}]}, "{{ model_id }}"),
        ({"steps": [{"endpoint": "z"}]}, "{{ model_id }}"), ({"steps": 5}, "{{ model_id }}"),
        ({"steps": [5]}, "{{ model_id }}"), ({}, "{{ model_id }}"),
    ],
)  # fmt: skip
def test_slot_is_named_by_what_is_written(options: dict[str, Any], expected: str) -> None:
    assert slot_source(options) == expected
