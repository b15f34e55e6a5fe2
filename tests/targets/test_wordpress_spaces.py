"""The plugin's block and shortcode in a page's source: found in all forms, put in place of a link, and nothing else changed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pme_airflow.secrets import SecretStr
from pme_airflow.targets.wordpress_content import link_embed, placed
from pme_airflow.targets.wordpress_spaces import as_placeholder, holds_space, sources_in, with_space
from tests.support.fake_wordpress import MODEL, OTHER, link

BLOCK = f'<!-- wp:pme/space {{"model":"{MODEL}"}} /-->'


@pytest.mark.parametrize(
    "content",
    [
        f"[pme model={MODEL}]", f'[pme model="{MODEL}" title="A" height="300"]', f"[pme height=3 model='{MODEL}']",
        f"<p>x [pme model=&quot;{MODEL}&quot;] y</p>", BLOCK, f'<!-- wp:pme/space {{"title":"x","model":"{MODEL}"}} /-->',
        f"<!-- wp:group --><div>{BLOCK}</div><!-- /wp:group -->", f"[pme\n model = {MODEL} ]",
    ],
)  # fmt: skip
def test_a_space_is_found_and_stays_as_it_is(content: str) -> None:
    assert holds_space(content, MODEL)
    assert not holds_space(content, OTHER)
    assert with_space(content, link()) == content


@pytest.mark.parametrize(
    "content",
    [
        "", MODEL, f"[[pme model={MODEL}]]", f"[pmex model={MODEL}]", f"[pme model={MODEL}x]", f"[pme model={MODEL.lower()}]",
        f'<!-- wp:pme/space {{"model":"{MODEL.lower()}"}} /-->', f'<!-- wp:other/space {{"model":"{MODEL}"}} /-->',
        '<!-- wp:pme/space {"model":[]} /-->', "<!-- wp:pme/space {broken} /-->", "<!-- wp:pme/space /-->",
    ],
)  # fmt: skip
def test_what_is_no_space_is_not_found(content: str) -> None:
    assert not holds_space(content, MODEL)


def test_a_link_in_a_block_of_its_own_becomes_the_block_with_its_looks() -> None:
    frame = f'<iframe src="https://my.matterport.com/show?m={MODEL}&amp;play=1&amp;lang=de" title="M&uuml;hle &quot;A&quot; -- &lt;b&gt; [x]" width="640" height="360"></iframe>'
    content = placed(f"before\n\n<!-- wp:html -->\n{frame}\n<!-- /wp:html -->\n\n<p>after</p>", lambda old: link_embed(link(), old), MODEL)  # fmt: skip
    assert "Bearer" in content
    changed = with_space(content, link("b" * 25))
    before, after = content.split("<!-- wp:html -->")[0], content.split("<!-- /wp:html -->")[1]
    assert changed.startswith(before)
    assert changed.endswith(after)
    block = changed.removeprefix(before).removesuffix(after)
    attributes = block.removeprefix("<!-- wp:pme/space ").removesuffix(" /-->")
    assert json.loads(attributes) == {"model": MODEL, "title": 'Mühle "A" -- <b> [x]', "height": "360", "params": "play=1&lang=de"}  # fmt: skip
    assert not set(attributes) & set("<>&")
    assert "--" not in attributes


def test_a_link_in_text_becomes_the_shortcode() -> None:
    content = placed(f"First line\n\nleft [pme model={MODEL}] right", lambda old: link_embed(link(name='A "b" [c] 😀'), old), MODEL)  # fmt: skip
    changed = with_space(content, link("b" * 25))
    assert changed.startswith(f'First line\n\nleft [pme model="{MODEL}" title="')
    assert changed.endswith('" height="480"] right')
    assert changed.count("[") == changed.count("]") == 1
    assert changed.isascii()
    assert holds_space(changed, MODEL)


@pytest.mark.parametrize("content", ["", "<p>text</p>", "<!-- wp:paragraph --><p>text</p><!-- /wp:paragraph -->"])
def test_a_page_without_a_place_gets_the_space_at_its_end(content: str) -> None:
    changed = with_space(content, link())
    assert changed.startswith(content)
    assert holds_space(changed, MODEL)
    assert with_space(changed, link("b" * 25)) == changed


def test_a_link_beside_a_space_is_taken_out() -> None:
    content = BLOCK + placed("", link_embed(link()), MODEL)
    changed = with_space(content, link("b" * 25))
    assert changed.startswith(BLOCK)
    assert "Bearer" not in changed


def test_placeholders_take_the_place_of_spaces_where_no_link_is_shown() -> None:
    content = f'a {BLOCK} b [pme title="x" model="{MODEL}"] c [pme model={OTHER}]'
    expected = f"a <!-- wp:shortcode -->\n[pme model={MODEL}]\n<!-- /wp:shortcode --> b [pme model={MODEL}] c [pme model={OTHER}]"
    assert as_placeholder(content, MODEL) == expected
    shown = BLOCK + link_embed(link())
    assert as_placeholder(shown, MODEL) == shown


def test_the_addresses_that_a_rendered_page_reads_are_found() -> None:
    rendered = (
        f'<iframe data-pme-source="/wp-json/pme/v1/links/{MODEL}?post=4&#038;key=c1"></iframe>'
        f"<iframe data-pme-source='/index.php?rest_route=%2Fpme%2Fv1%2Flinks%2F{MODEL}&amp;post=0'></iframe>"
        f'<iframe data-pme-source="/wp-json/pme/v1/links/{MODEL}x?post=4"></iframe>'
    )
    assert sources_in(rendered, MODEL) == [
        f"/wp-json/pme/v1/links/{MODEL}?post=4&key=c1",
        f"/index.php?rest_route=%2Fpme%2Fv1%2Flinks%2F{MODEL}&post=0",
    ]


def test_a_model_without_a_name_has_no_title() -> None:
    assert with_space("", link(name=MODEL)) == f'<!-- wp:pme/space {{"model":"{MODEL}","height":"480"}} /-->'


def in_block(frame: str) -> str:
    """A page whose link stands in an iframe of a person's own."""
    page = f"<!-- wp:html -->\n{frame}\n<!-- /wp:html -->"
    return placed(page, lambda old: link_embed(link(), old), MODEL)


def attributes_of(content: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(content.removeprefix("<!-- wp:pme/space ").removesuffix(" /-->"))
    return found


@pytest.mark.parametrize(
    ("address", "params"),
    [
        (f"?m={MODEL}&amp;play=1&amp;lang=de", "play=1&lang=de"),
        (f"?m={MODEL}&amp;applicationKey=k&amp;Model=x&amp;qs=1", "qs=1"),
        (f"?m={MODEL}&amp;qs=1#sr=2?x=3", "qs=1"),
        (f"?m={MODEL}", None),
    ],
)
def test_a_space_keeps_the_parameters_of_its_iframe_that_change_its_looks(address: str, params: str | None) -> None:
    page = in_block(f'<iframe src="https://my.matterport.com/show{address}" title="Mill"></iframe>')
    assert attributes_of(with_space(page, link("b" * 25))).get("params") == params


def test_a_space_leaves_out_the_parameters_that_the_link_itself_has() -> None:
    page = in_block(f'<iframe src="https://my.matterport.com/show?m={MODEL}&amp;play=1&amp;lang=de"></iframe>')
    own = replace(link("b" * 25), url=SecretStr(f"{link('b' * 25).url.reveal()}&play=1"))
    assert attributes_of(with_space(page, own))["params"] == "lang=de"


@pytest.mark.parametrize(
    ("height", "kept"),
    [("360", "360"), ("80vh", "80vh"), ("100%", "100%"), ("calc(1px)", None), ("12345", None), ("", None)],
)
def test_a_space_keeps_a_height_that_is_one(height: str, kept: str | None) -> None:
    frame = f'<iframe src="https://my.matterport.com/show?m={MODEL}" title=" A\n b " height="{height}"></iframe>'
    attributes = attributes_of(with_space(in_block(frame), link("b" * 25)))
    assert attributes.get("height") == kept
    assert attributes["title"] == "A b"


def test_the_block_of_the_link_alone_becomes_the_plugins_block() -> None:
    shortcode = with_space("text", link()).removeprefix("text\n\n")
    other = f"<!-- wp:html -->\n{shortcode.replace(MODEL, OTHER)}\n<!-- /wp:html -->\n\n"
    assert with_space(f"{other}[pme model={OTHER}]", link()).startswith(other)


def test_a_placeholder_stands_in_for_each_of_several_spaces() -> None:
    content = f"[pme height=3 model={MODEL}] x {BLOCK} y [pme model='{MODEL}'] {BLOCK}"
    in_shortcode = f"<!-- wp:shortcode -->\n[pme model={MODEL}]\n<!-- /wp:shortcode -->"
    expected = f"[pme model={MODEL}] x {in_shortcode} y [pme model={MODEL}] {in_shortcode}"
    assert as_placeholder(content, MODEL) == expected


def test_attributes_that_no_parser_reads_are_none() -> None:
    assert not holds_space(f'<!-- wp:pme/space {{"a":{"[" * 100_000}{"]" * 100_000}}} /-->', MODEL)
