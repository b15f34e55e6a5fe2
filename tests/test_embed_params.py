"""Showcase parameters: read, checked, and appended to links."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.embed_params import EmbedParams, with_params
from pme_airflow.errors import PMEInputError

ONE, TWO, VIEW = "yyHDFKzPzvN", "SxQL3iGyoDo", "3k5wz1a8f0q2x7c9v6b4n1m8p"
LINK = f"https://my.matterport.com/show?m={ONE}&auth=Bearer+token"


@pytest.mark.parametrize(
    ("value", "one", "two"),
    [
        (None, "", ""),
        ("play=1&qs=1&brand=0&title=0&lang=de", "play=1&qs=1&brand=0&title=0&lang=de", "play=1&qs=1&brand=0&title=0&lang=de"),
        ("?ss=12&sr=-1.5,.2&mls=2", "ss=12&sr=-1.5,.2&mls=2", "ss=12&sr=-1.5,.2&mls=2"),
        ({"play": 1, "qs": True, "vr": False, "zoom": 1.5}, "play=1&qs=1&vr=0&zoom=1.5", "play=1&qs=1&vr=0&zoom=1.5"),
        ({"*": "play=1", ONE: "ss=3&play=0"}, "play=0&ss=3", "play=1"),
        ({"play": 1, ONE: {"ss": 3}, f"https://my.matterport.com/show/?m={TWO}": "lang=fr"}, "play=1&ss=3", "play=1&lang=fr"),
        ("start=%7B%22a%22%3A1%7D".replace("%22", ""), "start=%7Ba%3A1%7D", "start=%7Ba%3A1%7D"),
    ],
)  # fmt: skip
def test_parameters_are_those_of_all_models_and_of_single_ones(value: Any, one: str, two: str) -> None:
    params = EmbedParams.parse(value)
    assert (params.of(ONE), params.of(TWO)) == (one, two)
    assert EmbedParams.parse(params.as_json()) == params
    assert bool(params) is (value is not None)


def test_a_view_has_parameters_of_its_own() -> None:
    assert EmbedParams.parse({VIEW: "play=1"}).of(VIEW) == "play=1"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("play=1&auth=Bearer+x", "params.auth"),
        ("AUTH=x", "params.AUTH"),
        ("m=SxQL3iGyoDo", "params.m"),
        ({"model": "x"}, "params.model"),
        ({ONE: "m=x"}, f"params.{ONE}.m"),
        ({"*": {"auth": "x"}}, "params.*.auth"),
        ('lang="><script>', "params.lang"),
        ("lang='", "params.lang"),
        ("lang=%22", "params.lang"),
        ("lang=%2522", "params.lang"),
        ("lang=%3Cscript", "params.lang"),
        ("lang=a%26auth=b", "params.lang"),
        ("url=javascript:alert(1)", "params.url"),
        ("url=javascript:x", "params.url"),
        ("url=JavaScript%3Ax", "params.url"),
        ("url=data:text", "params.url"),
        ("lang=a b", "params.lang"),
        ("lang=a\nb", "params.lang"),
        ("lang=%zz", "params.lang"),
        ("lang=\u00e4", "params.lang"),
        ("lang=a#b", "params.lang"),
        ({"lang": None}, "params.lang"),
        ({"lang": ["a"]}, "params.lang"),
        ('"onload=1', "params"),
        ({5: 1}, "params"),
        ([1], "params"),
        (5, "params"),
        ("a=" + "x" * 700, "params"),
    ],
)
def test_what_could_change_the_link_is_refused_under_its_name(value: Any, field: str) -> None:
    with pytest.raises(PMEInputError) as caught:
        EmbedParams.parse(value)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("url", "params", "expected"),
    [
        (LINK, "", LINK),
        (LINK, "play=1&qs=1", f"{LINK}&play=1&qs=1"),
        (f"{LINK}&play=0#tour", "play=1", f"{LINK}&play=1#tour"),
        ("https://x.test/show", "play=1", "https://x.test/show?play=1"),
    ],
)
def test_parameters_are_appended_to_a_link(url: str, params: str, expected: str) -> None:
    assert with_params(url, params) == expected
