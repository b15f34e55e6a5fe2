"""What people have embedded is taken over, once; nothing else is changed."""

from __future__ import annotations

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.targets.wordpress_content import placed
from pme_airflow.targets.wordpress_source import Source
from tests.support.embeds import AFTER, BEFORE, BLOCK, CLASSIC, FRAME, IN_BLOCKS, MODEL, NOT_EMBEDS, SHOW

EMBED = f"<!-- pme:{MODEL} --><iframe src='https://my.matterport.com/show?m={MODEL}&amp;auth=Bearer+x'></iframe><!-- /pme:{MODEL} -->"


def taken_over(content: str) -> str:
    return placed(content, EMBED, MODEL).replace(EMBED, "{E}")


@pytest.mark.parametrize("shape", IN_BLOCKS)
def test_an_embed_in_a_page_of_blocks_is_taken_over(shape: str) -> None:
    source, expected = IN_BLOCKS[shape]
    assert taken_over(BEFORE + source + AFTER) == BEFORE + expected + AFTER


@pytest.mark.parametrize("shape", CLASSIC)
def test_an_embed_in_a_classic_page_is_taken_over(shape: str) -> None:
    source, expected = CLASSIC[shape]
    assert taken_over(f"First\n\n{source}\n\nLast") == f"First\n\n{expected}\n\nLast"


@pytest.mark.parametrize("shape", [*IN_BLOCKS, *CLASSIC])
def test_what_was_taken_over_stays_as_it_is(shape: str) -> None:
    source, _ = (IN_BLOCKS | CLASSIC)[shape]
    once = placed(source, EMBED, MODEL)
    assert placed(once, EMBED, MODEL) == once
    assert once.count(MODEL) == EMBED.count(MODEL)


@pytest.mark.parametrize("shape", NOT_EMBEDS)
@pytest.mark.parametrize("blocks", [True, False])
def test_what_shows_nothing_of_the_model_stays(shape: str, blocks: bool) -> None:
    content = BEFORE + NOT_EMBEDS[shape] + AFTER if blocks else f"First\n\n{NOT_EMBEDS[shape]}\n\nLast"
    in_blocks = "<!-- wp:" in content
    assert taken_over(content) == f"{content}\n\n{BLOCK if in_blocks else '{E}'}"


def test_shapes_are_many() -> None:
    assert len(IN_BLOCKS) + len(CLASSIC) >= 25


def test_a_placeholder_wins_over_an_embed_which_is_removed() -> None:
    assert taken_over(f"{BEFORE}<!-- wp:html -->\n{FRAME}\n<!-- /wp:html -->\n\n[pme model={MODEL}]{AFTER}") == (
        f"{BEFORE}\n\n{BLOCK}{AFTER}"
    )


def test_an_embed_that_a_person_adds_beside_the_link_is_theirs() -> None:
    content = f"{BLOCK.replace('{E}', EMBED)}\n\n<!-- wp:html -->\n{FRAME}\n<!-- /wp:html -->"
    assert placed(content, EMBED, MODEL) == content


def test_so_many_embeds_are_for_a_person() -> None:
    content = "\n".join([FRAME] * 11)
    with pytest.raises(SlotError, match="11 places"):
        placed(content, EMBED, MODEL)
    assert taken_over("\n".join([FRAME] * 10)).count("{E}") == 1


def hidden_in_one_another(count: int) -> str:
    """Comments of a model, each of which is seen once the one in its midst is removed."""
    return f"<!-- pm{hidden_in_one_another(count - 1)}e:{MODEL} -->" if count else ""


def test_what_comes_to_light_when_another_is_removed_is_removed_too() -> None:
    assert taken_over(FRAME + hidden_in_one_another(40)) == "{E}"


def test_so_many_that_come_to_light_one_after_another_are_for_a_person() -> None:
    with pytest.raises(SlotError, match="by hand"):
        placed(FRAME + hidden_in_one_another(41), EMBED, MODEL)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f'<embed src="{SHOW}"> text </embed>', "{E} text </embed>"),
        (f'<iframe src="{SHOW}" /> text </iframe>', "{E} text </iframe>"),
        (f'<iframe src="{SHOW}">a<iframe src="v"></iframe>b</iframe>', '{E}a<iframe src="v"></iframe>b</iframe>'),
        (f'<iframe src="{SHOW}"></p>text', "{E}</p>text"),
    ],
)
def test_an_element_takes_nothing_that_may_be_of_another_one(content: str, expected: str) -> None:
    assert taken_over(content) == expected


@pytest.mark.parametrize(
    "content",
    [
        f'<div class="matterport" data-src="{SHOW}">never closed',
        f'<div data-src="{SHOW}"></div>',
        f'<div class="matterport" data-src="x">{MODEL}</div>',
        f'<div class="matterport" src="{SHOW}"></div>',
        f'<matterport-viewer m="x">{MODEL}</matterport-viewer>',
        f'<iframe m="{MODEL}" src="x"></iframe>',
    ],
)
def test_an_element_that_shows_nothing_of_the_model_stays(content: str) -> None:
    assert taken_over(content) == f"{content}\n\n{{E}}"


@pytest.mark.parametrize(
    "content",
    [
        f"<script>[matterport src='{MODEL}']</script>",
        f"<style>\n{SHOW}\n</style>",
        f"<a title='[matterport src={MODEL}]'>x</a>",
        f"<!-- [matterport src={MODEL}] -->",
        f"<!--\n{SHOW}\n-->",
        f"[gallery ids={MODEL}]",
        f"[embed]{SHOW} and {SHOW}[/embed]",
        f"[embed]x[embed]{SHOW}",
        f"[iframe src='x' m='{MODEL}']",
        f"[iframe src='x']{MODEL}[/iframe]",
    ],
)
def test_a_shortcode_or_address_that_wordpress_does_not_embed_stays(content: str) -> None:
    assert taken_over(content) == f"{content}\n\n{{E}}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"{SHOW}<div>x</div>", "{E}<div>x</div>"),
        (f"<div>x</div>{SHOW}", "<div>x</div>{E}"),
        (f"<b>x</b>{SHOW}", f"<b>x</b>{SHOW}\n\n{{E}}"),
        (f"{SHOW}<b>x</b>", f"{SHOW}<b>x</b>\n\n{{E}}"),
        (f"<b>x</b>\n{SHOW}\n<b>x</b>", "<b>x</b>\n{E}\n<b>x</b>"),
        (f"a\n  {SHOW} \nb", "a\n  {E} \nb"),
        (f"[matterport src='{MODEL},{MODEL}']", "{E}"),
        (f"[matterport src='Other000000, {MODEL}']x[/matterport]y", "[matterport src='Other000000']x[/matterport]{E}y"),
        (f"[MATTERPORT src='{MODEL}']", "{E}"),
    ],
)
def test_an_address_is_an_embed_where_it_is_alone_on_its_line_and_a_shortcode_keeps_other_models(
    content: str, expected: str
) -> None:
    assert taken_over(content) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"<noscript>{FRAME}</noscript>", "{E}"),
        (f"<noscript>\n{FRAME}\n</noscript>", "{E}"),
        (f"x<noscript>{FRAME} </noscript>y", "x{E}y"),
        (f"<noscript>text {FRAME}</noscript>", "<noscript>text {E}</noscript>"),
        (f"<noscript>{FRAME}", "<noscript>{E}"),
        (f"</noscript>{FRAME}</noscript>", "</noscript>{E}</noscript>"),
        (f"<noscript>{FRAME}<noscript>", "<noscript>{E}<noscript>"),
        (f"<p>{FRAME}</p>", "<p>{E}</p>"),
    ],
)
def test_a_noscript_that_holds_nothing_else_goes_with_its_embed(content: str, expected: str) -> None:
    assert taken_over(content) == expected


def test_what_stands_in_an_embed_is_none_of_its_own() -> None:
    viewer = f'<object data="{SHOW}"><embed src="{SHOW}"></object>'
    content = f"{FRAME} {viewer} {FRAME}"
    units = Source(content).embeds(MODEL)
    assert [content[unit.start : unit.end] for unit in units] == [FRAME, viewer, FRAME]


def test_an_iframe_whose_end_is_far_takes_nothing_with_it() -> None:
    content = f'<iframe src="{SHOW}">{"text " * 1000}<iframe src="https://video.example/1"></iframe>'
    assert taken_over(content) == f'{{E}}{"text " * 1000}<iframe src="https://video.example/1"></iframe>'


@pytest.mark.parametrize(("length", "taken"), [(2000, True), (2001, False)])
def test_an_element_or_shortcode_holds_2000_characters_at_most(length: int, taken: bool) -> None:
    frame, inner = f'<iframe src="{SHOW}">', "x" * (length - len("</iframe>"))
    assert taken_over(f"{frame}{inner}</iframe>") == ("{E}" if taken else f"{{E}}{inner}</iframe>")
    code = f"[embed]{SHOW}{' ' * (length - len(SHOW) - len('[/embed]'))}[/embed]"
    assert taken_over(code) == ("{E}" if taken else f"{code}\n\n{{E}}")


@pytest.mark.parametrize("attributes", [f'{{"url":"{SHOW}"', f'{{"url":"{SHOW}"}}}}', "{" * 5000])
def test_attributes_that_are_no_json_name_no_model(attributes: str) -> None:
    content = f"<!-- wp:embed {attributes} --><!-- /wp:embed -->"
    assert Source(content).embeds(MODEL) == []


def test_a_model_is_found_wherever_it_stands_in_attributes() -> None:
    content = f'<!-- wp:matterport/tour {{"spaces":[{{"n":1}},{{"id":"{MODEL}"}}]}} /-->'
    (unit,) = Source(content).embeds(MODEL)
    assert content[unit.start : unit.end] == content
