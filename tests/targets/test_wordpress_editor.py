"""What a person's save in the real block editor leaves of a link: all of it, in blocks that the editor calls valid."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from pme_airflow.dev.playground.wordpress import Site, missing, serving_wordpress
from pme_airflow.targets.wordpress import WordPressTarget
from pme_airflow.targets.wordpress_content import link_embed, placed
from tests.support.block_editor import BlockEditor, block_editor
from tests.support.chromium import needs_chromium
from tests.support.embeds import AFTER, BEFORE, CLASSIC, FRAME, IN_BLOCKS, MODEL, SHOW
from tests.support.fake_wordpress import link
from tests.support.scale import scaled

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    needs_chromium,
    pytest.mark.timeout(scaled(300, 1800)),
]
PLACE = f"[pme model={MODEL}]"
FIRST, SECOND = link("f" * 25, MODEL), link("s" * 25, MODEL)

PLACEHOLDERS = {
    "paragraph": f"<!-- wp:paragraph -->\n<p>{PLACE}</p>\n<!-- /wp:paragraph -->",
    "paragraph, amid text": f"<!-- wp:paragraph -->\n<p>Left <strong>bold {PLACE} bold</strong> right</p>\n<!-- /wp:paragraph -->",
    "paragraph, with attributes": (
        '<!-- wp:paragraph {"align":"center","fontSize":"large"} -->\n<p class="has-text-align-center '
        f'has-large-font-size" id="here">Left {PLACE} right</p>\n<!-- /wp:paragraph -->'
    ),
    "paragraph, line breaks": f"<!-- wp:paragraph -->\n<p>Left<br>{PLACE}<br>right</p>\n<!-- /wp:paragraph -->",
    "heading": f'<!-- wp:heading -->\n<h2 class="wp-block-heading">Left {PLACE}</h2>\n<!-- /wp:heading -->',
    "shortcode": f"<!-- wp:shortcode -->\n{PLACE}\n<!-- /wp:shortcode -->",
    "html": f"<!-- wp:html -->\n<div>{PLACE}</div>\n<!-- /wp:html -->",
    "freeform": f"<p>Left {PLACE} right</p>",
    "alone": PLACE,
    "group": (
        '<!-- wp:group -->\n<div class="wp-block-group"><!-- wp:paragraph -->\n'
        f"<p>Left {PLACE} right</p>\n<!-- /wp:paragraph --></div>\n<!-- /wp:group -->"
    ),
    "columns": (
        '<!-- wp:columns -->\n<div class="wp-block-columns"><!-- wp:column -->\n<div class="wp-block-column">'
        f"<!-- wp:paragraph -->\n<p>{PLACE}</p>\n<!-- /wp:paragraph --></div>\n<!-- /wp:column --></div>\n<!-- /wp:columns -->"
    ),
    "quote": (
        '<!-- wp:quote -->\n<blockquote class="wp-block-quote"><!-- wp:paragraph -->\n'
        f"<p>Left {PLACE}</p>\n<!-- /wp:paragraph --></blockquote>\n<!-- /wp:quote -->"
    ),
    "list": (
        "<!-- wp:list -->\n<ul><!-- wp:list-item -->\n<li>Left</li>\n<!-- /wp:list-item -->\n\n<!-- wp:list-item -->\n"
        f"<li>{PLACE}</li>\n<!-- /wp:list-item --></ul>\n<!-- /wp:list -->"
    ),
    "table": (
        '<!-- wp:table -->\n<figure class="wp-block-table"><table><tbody><tr><td>Left</td>'
        f"<td>{PLACE}</td></tr></tbody></table></figure>\n<!-- /wp:table -->"
    ),
    "preformatted": f'<!-- wp:preformatted -->\n<pre class="wp-block-preformatted">Left {PLACE}</pre>\n<!-- /wp:preformatted -->',
    "old nested block": (
        f"<!-- wp:paragraph -->\n<p>Left <!-- wp:html --><!-- pme:{MODEL} -->{FRAME}<!-- /pme:{MODEL} --><!-- /wp:html --> right</p>\n"
        "<!-- /wp:paragraph -->"
    ),
}
PAGES = {
    **{name: BEFORE + source + AFTER for name, source in PLACEHOLDERS.items()},
    **{name: BEFORE + source + AFTER for name, (source, _) in IN_BLOCKS.items()},
    **{f"classic, {name}": f"First\n\n{source}\n\nLast" for name, (source, _) in CLASSIC.items()},
    "nothing": BEFORE,
    "empty": "",
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serving_wordpress() as running:
        running.set_up(revisions_plugin=True, pretty=False)
        yield running


@pytest.fixture(scope="module")
def editor(site: Site) -> Iterator[BlockEditor]:
    with block_editor(site) as opened:
        yield opened


def target(site: Site, number: int, kind: str = "pages") -> WordPressTarget:
    session = requests.Session()
    session.auth = (site.user, site.password)
    return WordPressTarget(session, site.address, {MODEL: number}, kind=kind)


def put(shelf: WordPressTarget, number: int, shown: object = FIRST, kind: str = "pages") -> None:
    slot = f"{kind}/{number}#{MODEL}"
    shelf.read_back(slot, shown, shelf.put(slot, shown, {}).details)


def words(content: str) -> list[str]:
    """The words that people wrote."""
    return re.findall(
        r"Before|After|First|Last|Left|right|bold|Mill|Caption|The mill|See|Text", re.sub(r"<[^>]*>", " ", content)
    )


@pytest.mark.parametrize("in_blocks", [True, False])
def test_links_in_every_kind_of_place_outlive_a_persons_save(site: Site, editor: BlockEditor, in_blocks: bool) -> None:
    """All places in one page, each of a model of its own."""
    sources = [*PLACEHOLDERS.values(), *(source for source, _ in IN_BLOCKS.values())]
    if not in_blocks:
        sources = [source for source, _ in CLASSIC.values()]
    models = [f"Mode1x{number:05d}" for number in range(len(sources))]
    content = "\n\n".join(source.replace(MODEL, model) for source, model in zip(sources, models, strict=True))
    for model in models:
        content = placed(content, link_embed(link(f"f{model}", model)), model)
    number = site.page(content)
    assert editor.open(number) == []
    editor.type_and_save()
    saved = site.content(number)
    assert [saved.count(f"Bearer+f{model}") for model in models] == [1] * len(models)
    assert words(saved) == words(content)
    renewed = saved
    for model in models:
        renewed = placed(renewed, link_embed(link(f"s{model}", model)), model)
    assert renewed == saved.replace("Bearer+fMode1x", "Bearer+sMode1x")


@pytest.mark.parametrize(
    "name", scaled(["paragraph, amid text", "html, lazy", "embed, caption", "classic, Divi"], list(PAGES))
)
def test_a_link_outlives_a_persons_save_in_the_block_editor(site: Site, editor: BlockEditor, name: str) -> None:
    number = site.page(PAGES[name])
    shelf = target(site, number)
    put(shelf, number)
    written = site.content(number)
    assert editor.open(number) == []
    editor.type_and_save()
    saved = site.content(number)
    assert saved.count(FIRST.token.reveal()) == 1
    assert "typed" in saved
    assert words(saved) == words(written) == words(PAGES[name].replace(SHOW, ""))
    put(shelf, number, SECOND)
    once_more = site.content(number)
    assert once_more.count(SECOND.token.reveal()) == 1
    assert FIRST.token.reveal() not in once_more
    assert once_more == saved.replace(FIRST.token.reveal(), SECOND.token.reveal())
    assert editor.open(number) == []


def test_a_save_in_the_editor_is_no_reason_to_write_the_page_again(site: Site, editor: BlockEditor) -> None:
    number = site.page(BEFORE + PLACE + AFTER)
    put(target(site, number), number)
    editor.open(number)
    editor.type_and_save()
    saved = site.content(number)
    put(target(site, number), number)
    assert site.content(number) == saved


@pytest.mark.parametrize(
    "content", [f"First\n\n{PLACE}\n\nLast", f"<p>First {PLACE} Last</p>", f"First\n\n<div>{FRAME}</div>\n\nLast"]
)
def test_a_link_outlives_the_conversion_of_a_classic_page_to_blocks(
    site: Site, editor: BlockEditor, content: str
) -> None:
    number = site.page(content)
    put(target(site, number), number)
    editor.open(number)
    editor.convert_and_save()
    assert FIRST.token.reveal() in site.content(number)
    put(target(site, number), number, SECOND)
    assert site.content(number).count("<iframe") == 1
    assert editor.open(number) == []
    editor.type_and_save()
    assert site.content(number).count(SECOND.token.reveal()) == 1
    assert words(site.content(number)) == ["First", "Last"]


def test_a_classic_page_keeps_its_paragraphs(site: Site) -> None:
    for content in (f"First\n\nLook {PLACE} here\n\nLast\nline", "First\n\nLast\nline"):
        number = site.page(content)
        put(target(site, number), number)
        shown = site.call("GET", f"pages/{number}", anonymous=True)["content"]["rendered"]
        assert "<p>First</p>" in shown
        assert re.search(r"<p>Last<br ?/>\s*line</p>", shown)
        assert FIRST.token.reveal() in shown


def test_a_reusable_block_takes_the_link(site: Site, editor: BlockEditor) -> None:
    block = site.page(f"<!-- wp:paragraph -->\n<p>Left {PLACE} right</p>\n<!-- /wp:paragraph -->", kind="blocks")
    number = site.page(f'{BEFORE}<!-- wp:block {{"ref":{block}}} /-->{AFTER}')
    shelf = target(site, number)
    for shown in (FIRST, SECOND):
        put(shelf, number, shown)
        assert shown.token.reveal() in site.content(block, "blocks")
    assert FIRST.token.reveal() not in site.content(block, "blocks") + site.kept(block, "blocks")
    assert site.content(number) == f'{BEFORE}<!-- wp:block {{"ref":{block}}} /-->{AFTER}'
    assert SECOND.token.reveal() in site.call("GET", f"pages/{number}", anonymous=True)["content"]["rendered"]
    assert editor.open(number) == []
    assert editor.open(block) == []
    editor.type_and_save()
    assert SECOND.token.reveal() in site.content(block, "blocks")


def test_a_reusable_block_may_itself_be_named(site: Site) -> None:
    block = site.page(PLACE, kind="blocks")
    put(target(site, block, "blocks"), block, kind="blocks")
    assert FIRST.token.reveal() in site.content(block, "blocks")


def test_a_slot_that_was_cleared_shows_visitors_nothing_and_is_found_again_after_a_save(
    site: Site, editor: BlockEditor
) -> None:
    number = site.page(BEFORE + PLACE + AFTER)
    shelf = target(site, number)
    put(shelf, number)
    shelf.take_away(f"pages/{number}#{MODEL}", {"path": f"pages/{number}"})
    shown = site.call("GET", f"pages/{number}", anonymous=True)["content"]["rendered"]
    assert "[pme" not in shown
    assert re.findall(r"\w+", re.sub(r"<!--.*?-->|<[^>]*>", " ", shown)) == ["Before", "After"]
    assert editor.open(number) == []
    editor.type_and_save()
    put(shelf, number, SECOND)
    content = site.content(number)
    assert content.index("Before") < content.index(SECOND.token.reveal()) < content.index("After")
