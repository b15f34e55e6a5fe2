"""The blocks of a page are found as the block editor finds them; broken delimiters are part of no block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pme_airflow.targets.wordpress_blocks import blocks_of, enclosing, has_blocks, level_of, referenced_blocks


def names(content: str) -> list[str]:
    return [block.name for block in blocks_of(content)]


def test_a_block_has_its_places() -> None:
    content = 'ab<!-- wp:paragraph {"align":"left"} --><p>x</p><!-- /wp:paragraph -->cd'
    (block,) = blocks_of(content)
    assert content[block.start : block.end] == content[2:-2]
    assert content[block.open_end : block.close_start] == "<p>x</p>"
    assert block.attributes == '{"align":"left"}'


def test_blocks_come_in_the_order_in_which_they_start() -> None:
    content = "<!-- wp:group --><!-- wp:html -->x<!-- /wp:html --><!-- wp:more /--><!-- /wp:group --><!-- wp:a/b /-->"
    assert names(content) == ["group", "html", "more", "a/b"]


@pytest.mark.parametrize(
    "delimiter",
    [
        "<!-- wp:more /-->",
        "<!--  wp:more  /-->",
        "<!--\nwp:more\n/-->",
        "<!-- wp:core/more /-->",
        '<!-- wp:more {"a":{"b":"}"}} /-->',
        '<!-- wp:more {"customText":"a \\u003e b"} /-->',
    ],
)
def test_every_form_of_a_delimiter_is_read(delimiter: str) -> None:
    assert names(delimiter) == ["more"]


@pytest.mark.parametrize(
    "text",
    [
        "<!--wp:more /-->",
        "<!-- wp:more/-->",
        "<!-- wp:More /-->",
        "<!-- wp:more {a /-->",
        "<!-- wp:more a /-->",
        "<!-- wp:more",
        "<!-- wp: /-->",
        "<!-- /wp:more /-->",
        "<!-- /wp:more -->",
        "<!-- wp:paragraph -->never closed",
        "<p>wp:more</p>",
    ],
)
def test_what_is_no_delimiter_or_lacks_its_other_is_no_block(text: str) -> None:
    assert names(text) == []


def test_an_unclosed_block_holds_nothing_and_hides_nothing() -> None:
    content = "<!-- wp:group --><!-- wp:paragraph --><p>x</p><!-- /wp:group --><!-- wp:html -->y<!-- /wp:html -->"
    assert names(content) == ["group", "html"]


def test_a_comment_that_is_not_closed_hides_no_block_behind_it() -> None:
    assert names("<!-- open <!-- wp:html -->x<!-- /wp:html -->") == ["html"]


def test_the_blocks_around_a_span_are_found_outermost_first() -> None:
    content = "<!-- wp:group -->a<!-- wp:html -->b<!-- /wp:html -->c<!-- /wp:group -->d"
    blocks = blocks_of(content)
    around = {
        letter: [
            block.name for block in enclosing(blocks, content.index(letter + "<"), content.index(letter + "<") + 1)
        ]
        for letter in "abc"
    }
    assert around == {"a": ["group"], "b": ["group", "html"], "c": ["group"]}
    assert enclosing(blocks, len(content) - 1, len(content)) == []
    assert enclosing(blocks, blocks[1].start, blocks[1].end) == [blocks[0]]


@pytest.mark.parametrize(
    ("path", "level"),
    [
        ([], 0),
        (["paragraph"], 0),
        (["html"], 0),
        (["group"], 1),
        (["group", "paragraph"], 1),
        (["columns"], 0),
        (["columns", "column"], 2),
        (["columns", "column", "list", "list-item"], 2),
        (["list", "list-item"], 0),
        (["paragraph", "group"], 0),
        (["acme/box"], 1),
        (["acme/box", "paragraph", "html"], 1),
        (["core-embed/youtube"], 0),
    ],
)
def test_a_block_may_stand_only_where_the_editor_keeps_it(path: list[str], level: int) -> None:
    content = "".join(f"<!-- wp:{name} -->" for name in path) + "".join(
        f"<!-- /wp:{name} -->" for name in reversed(path)
    )
    assert level_of(blocks_of(content)) == level


def test_reusable_blocks_are_named_once_each() -> None:
    content = '<!-- wp:block {"ref":12} /--><!-- wp:block {"a":1,"ref": 7} /--><!-- wp:block {"ref":12} /-->'
    assert referenced_blocks(content) == [12, 7]
    assert (
        referenced_blocks('<!-- wp:block {"ref":"../users/1"} /--><!-- wp:block {"ref":-1} /--><!-- wp:block /-->')
        == []
    )
    assert referenced_blocks('<!-- wp:other {"ref":12} /-->') == []


def test_a_page_of_blocks_is_told_from_a_classic_one() -> None:
    assert has_blocks("x<!-- wp:more /-->")
    assert not has_blocks("x<!--more-->")


PIECES = ["<!-- ", "wp:", "/wp:", "a", "/", " -->", " {}", "x", "-->", "<!--", "<!-- wp:a -->", "<!-- /wp:a -->"]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_blocks_lie_in_one_another_or_apart(content: str) -> None:
    for one in blocks_of(content):
        assert one.start < one.open_end <= one.close_start <= one.end
        for other in blocks_of(content):
            apart = one.end <= other.start or other.end <= one.start
            inside = one.open_end <= other.start and other.end <= one.close_start
            around = other.open_end <= one.start and one.end <= other.close_start
            assert one == other or apart or inside or around
