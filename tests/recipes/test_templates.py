"""Templates hold values and filters: no loops, no calls, nothing of Python, and no text without an end."""

from __future__ import annotations

import html
import json
import time
from typing import Any

import pytest

from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.recipes.templates import Template

LINK = 'https://my.matterport.com/show?m=M&auth=Bearer+t"<script>'
SCOPE: dict[str, Any] = {
    "link": LINK, "model_id": "M", "secret": "a-very-secret-value",
    "read": {"version": 7, "items": {"keys": "k"}, "pages": [{"id": 1}], "none": None, "yes": True, "_rev": "r1"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain {text} % #\n", "plain {text} % #\n"), ("{{ model_id }}/{{ read.version + 1 }}", "M/8"),
        ("{{ read['version'] - 1 }}", "6"), ("{{ read.items.keys }}", "k"), ("{{ read.pages[0].id }}", "1"),
        ("{{ read.pages.0.id }}", "1"), ("[{{ read.none }}]", "[]"), ("{{ read.yes }}!", "true!"),
        ("{{ read._rev }}", "r1"), ("{{ 'a' if read.version == 7 else 'b' }}", "a"),
        ("{{ read.none | default('x', true) }}", "x"), ("{{ model_id | lower }}", "m"),
        ("{{ 'x' if read.version in [6, 7] }}", "x"), ("{{ read.none is none }}", "true"),
        ("{{ read.pages | length }}{{ (read.pages | first).id if false }}", None),
    ],
)  # fmt: skip
def test_values_are_found_in_mappings_and_lists(source: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(PMEInputError, match="takes an attribute of something that is no step"):
            Template(source)
    else:
        assert Template(source).render(SCOPE) == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for x in read %}{{ x }}{% endfor %}", "has a loop"), ("{% set x = 1 %}", "has a block"),
        ("{% include 'x' %}", "has a block"), ("{% if x %}{% endif %}", "has a block"),
        ("{% macro m() %}{% endmacro %}", "has a block"),
        ("{{ link.__class__ }}", "reaches for Python"), ("{{ link['__class__'] }}", "reaches for Python"),
        ("{{ read.a.__init__.__globals__ }}", "reaches for Python"), ("{{ ''.__class__ }}", "reaches for Python"),
        ("{{ ''.format }}", "takes an attribute"), ("{{ (link|upper).x }}", "takes an attribute"),
        ("{{ link.format(1) }}", "calls something"), ("{{ range(9) }}", "calls something"), ("{{ cycler() }}", "calls"),
        ("{{ 'a' * 9 }}", "multiplies"), ("{{ 9 ** 9 }}", "Pow"), ("{{ '%9d' % 1 }}", "Mod"), ("{{ 1 / 2 }}", "Div"),
        ("{{ link ~ link }}", "joins texts with ~"), ("{{ {'a': 1} }}", "Dict"), ("{{ link[1:] }}", "Slice"),
        ("{{ link | attr('x') }}", "unknown filter"), ("{{ link | map('x') }}", "unknown filter"),
        ("{{ link | format }}", "unknown filter"), ("{{ link is callable }}", "unknown test"),
        ("{{ link", "is no template"), ("{{ }}", "is no template"), ("{{ 'a-secret' 'b' c d }}", "is no template"),
        ("x" * 20_000, "longer than"), ("{{ link }}" * 201, "more than 200 parts"), ("{{ " + "(" * 5000, "is "),
    ],
)  # fmt: skip
def test_what_a_recipe_may_not_do_is_refused_when_it_is_read(source: str, reason: str) -> None:
    with pytest.raises(PMEInputError, match=reason.replace("*", r"\*")) as refused:
        Template(source)
    assert "a-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "source",
    ["{{ read.missing }}", "{{ missing }}", "{{ read.none + secret }}", "{{ read[secret] }}", "{{ read.items }} x",
     "{{ secret | first | first | first | length + secret }}", "{{ read.pages[9] }}", "{{ read.version.real }}"],
)  # fmt: skip
def test_a_value_that_is_missing_is_named_and_none_is_shown(source: str) -> None:
    with pytest.raises(SlotError) as failure:
        Template(source).render(SCOPE)
    assert "secret-value" not in str(failure.value)
    assert failure.value.permanent


def test_escapes_that_grow_are_stopped_at_once() -> None:
    started = time.process_time()
    with pytest.raises(SlotError, match="more than 1048576 characters"):
        Template("{{ link" + " | tojson" * 60 + " }}").render(SCOPE)
    with pytest.raises(SlotError, match="more than 1048576 characters"):
        Template("{{ big + big }}").render({"big": "x" * 600_000})
    with pytest.raises(SlotError, match="more than 1048576 characters"):
        Template("{{ big }}{{ big }}").render({"big": "x" * 600_000})
    assert time.process_time() - started < 5


def test_whole_expression_keeps_its_type() -> None:
    assert Template("{{ read.version + 1 }}").value(SCOPE) == 8
    assert Template("{{ read.none }}").value(SCOPE) is None
    assert Template("{{ read.pages }}").value(SCOPE) == [{"id": 1}]
    assert Template("v{{ read.version }}").value(SCOPE) == "v7"
    assert type(Template("{{ link | html }}").value(SCOPE)) is str


def test_link_in_html_is_escaped_once() -> None:
    frame = Template('<iframe src="{{ link }}" title="{{ link | html }}"></iframe>')
    escaped = html.escape(LINK).replace("&quot;", "&#34;")
    made = frame.render({"link": LINK})
    assert html.unescape(made) == f'<iframe src="{LINK}" title="{LINK}"></iframe>'
    assert escaped in made
    assert "<script>" not in made
    page = Template("<p>{{ frame }}</p>").render({"frame": frame.markup({"link": LINK})})
    assert page == f"<p>{made}</p>"


def test_link_in_html_in_json_is_escaped_for_both() -> None:
    body = {"html": Template('<a href="{{ link }}">').value(SCOPE), "url": Template("{{ link }}").value(SCOPE)}
    read = json.loads(json.dumps(body))
    assert read["url"] == LINK
    assert html.unescape(read["html"]) == f'<a href="{LINK}">'


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a <!-- b -->old<!-- e --> z", "a <!-- b -->&lt;n&gt;<!-- e --> z"), ("<!-- b --><!-- e -->", "<!-- b -->&lt;n&gt;<!-- e -->"),
     ("<!-- e --> a <!-- b --> x", None), ("nothing", None), ("<!-- b -->1<!-- e --><!-- b -->2<!-- e -->", None)],
)  # fmt: skip
def test_only_what_stands_between_two_texts_is_replaced(text: str, expected: str | None) -> None:
    template = Template("{{ text | replace_between('<!-- b -->', '<!-- e -->', new) }}")
    if expected is None:
        with pytest.raises(SlotError, match="put each there once"):
            template.value({"text": text, "new": "<n>"})
    else:
        assert template.value({"text": text, "new": "<n>"}) == expected


def test_replaced_text_that_is_no_html_is_not_escaped() -> None:
    assert Template("{{ 'a [b]x[e]' | replace_between('[b]', '[e]', '<&>') }}").value({}) == "a [b]<&>[e]"


def test_one_value_of_a_mapping_is_set_and_the_rest_stays() -> None:
    entry = {"a": {"x": 1}, "url": "old"}
    assert Template("{{ read | set_value('url', link) }}").value({"read": entry, "link": LINK}) == {
        "a": {"x": 1},
        "url": LINK,
    }
    assert entry["url"] == "old"
    with pytest.raises(SlotError, match="no mapping"):
        Template("{{ read | set_value('url', link) }}").value({"read": [1], "link": LINK})
