"""What in a page's source shows a model, or is to show it, is found; what people wrote is not taken for it."""

from __future__ import annotations

import pytest

from pme_airflow.targets.wordpress_source import Source

MODEL, OTHER = "ModelAAAAAA", "ModelBBBBBB"
TOKEN = "k3f9x0a8q7w6e5r4t3y2u1i0p"
FRAME = f'<iframe src="https://my.matterport.com/show?m={MODEL}&amp;auth=Bearer+{TOKEN}"></iframe>'


def place(inner: str, model_id: str = MODEL) -> str:
    return f"<!-- pme:{model_id} -->{inner}<!-- /pme:{model_id} -->"


def own(content: str, model_id: str = MODEL) -> list[str]:
    return [content[unit.start : unit.end] for unit in Source(content).own(model_id)]


def placeholders(content: str) -> list[str]:
    return [content[unit.start : unit.end] for unit in Source(content).placeholders(MODEL)]


def test_a_models_place_is_what_is_between_its_own_comments() -> None:
    content = f"a{place(FRAME)}b{place('x', OTHER)}c{place('')}"
    assert own(content) == [place(FRAME), place("")]
    assert own(content, OTHER) == [place("x", OTHER)]
    assert Source(content).links() == {FRAME, "x"}


@pytest.mark.parametrize("comment", ["<!--pme:{m}-->", "<!-- pme:{m} -->", "<!--\npme:{m}\t-->"])
def test_spaces_in_a_comment_do_not_matter(comment: str) -> None:
    content = f"{comment.format(m=MODEL)}x<!-- /pme:{MODEL} -->"
    assert own(content) == [content]


@pytest.mark.parametrize(
    "content",
    [
        f"<!-- pme:{MODEL} -->x",
        f"x<!-- /pme:{MODEL} -->",
        f"<!-- pme:{MODEL} -->x<!-- /pme:{OTHER} -->",
        f"<!-- /pme:{MODEL} -->x<!-- pme:{MODEL} -->",
        f"<!-- pme:{MODEL} --><!-- wp:html -->x<!-- /wp:html --><!-- /pme:{MODEL} -->",
    ],
)
def test_a_comment_without_its_other_is_a_stray_and_no_place(content: str) -> None:
    assert own(content) == []
    strays = [content[unit.start : unit.end] for unit in Source(content).strays(MODEL)]
    assert strays
    assert all(MODEL in stray for stray in strays)
    assert Source(content + place("x", OTHER)).strays(OTHER) == Source(content).strays(OTHER)


def test_a_comment_that_opens_twice_opens_at_the_later_one() -> None:
    content = f"<!-- pme:{MODEL} -->text{place(FRAME)}"
    assert own(content) == [place(FRAME)]
    assert [unit.start for unit in Source(content).strays(MODEL)] == [0]


@pytest.mark.parametrize(
    ("inner", "remains"),
    [
        (FRAME, ""),
        (f"{FRAME}a caption", ""),
        (f"{FRAME}<p>What a person wrote</p>", "<p>What a person wrote</p>"),
        (f"First\n\n{FRAME}", "First\n\n"),
        (f"{FRAME}{'long ' * 50}", "long " * 50),
        (f"<p>{FRAME}</p>", ""),
    ],
)
def test_what_people_wrote_into_a_place_remains(inner: str, remains: str) -> None:
    (unit,) = Source(place(inner)).own(MODEL)
    assert unit.remainder == remains


@pytest.mark.parametrize(("inner", "empty"), [("", True), (" \n", True), ("x", False), (FRAME, False)])
def test_a_place_that_holds_nothing_is_empty(inner: str, empty: bool) -> None:
    source = Source(place(inner))
    (unit,) = source.own(MODEL)
    assert source.is_empty(unit) is empty


@pytest.mark.parametrize(
    "text",
    [
        f"[pme model={MODEL}]", f"[pme model='{MODEL}']", f'[pme model="{MODEL}"]', f"[pme model=&quot;{MODEL}&quot;]",
        f"[pme  model = {MODEL} /]",
    ],
)  # fmt: skip
def test_a_placeholder_is_found_in_text_and_as_all_that_a_comment_holds(text: str) -> None:
    assert placeholders(f"<p>a {text} b</p>") == [text]
    assert placeholders(f"a<!-- {text} -->b") == [f"<!-- {text} -->"]


@pytest.mark.parametrize(
    "content",
    [
        f"[[pme model={MODEL}]]",
        f"[pme model={OTHER}]",
        f"[pme model={MODEL}x]",
        f"[pme model='{MODEL}]",
        f"[pme {MODEL}]",
        f'<a title="[pme model={MODEL}]">',
        f"<script>[pme model={MODEL}]</script>",
        f"<!-- see [pme model={MODEL}] -->",
        place(f"[pme model={MODEL}]"),
    ],
)
def test_what_no_reader_sees_as_a_placeholder_is_none(content: str) -> None:
    assert placeholders(content) == []


def test_an_embed_outside_of_all_places_is_found_and_one_in_a_place_is_not() -> None:
    content = f"{place(FRAME)}<p>{FRAME}</p>"
    (unit,) = Source(content).embeds(MODEL)
    assert unit.start >= len(place(FRAME))
    assert Source(content).embeds(OTHER) == []
    assert Source(content).tokens() == {TOKEN}


def test_children_are_the_blocks_in_a_block_except_those_in_a_unit() -> None:
    inner = "<!-- wp:html -->x<!-- /wp:html -->"
    source = Source(f"<!-- wp:group -->{inner}{place('')}<!-- /wp:group -->{inner}")
    group = source.blocks[0]
    assert [block.name for block in source.children(group)] == ["html"]
    (unit,) = source.own(MODEL)
    assert [block.name for block in source.children(group, but=unit)] == ["html"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"[pme model={MODEL}]", True),
        (f"<!-- wp:html -->x<!-- /wp:html -->\n[pme model={MODEL}]", False),
        (f"<!-- wp:html -->x<!-- /wp:html -->\n{place('x', OTHER)}\n[pme model={MODEL}]", False),
        (f"<!-- wp:html -->x<!-- /wp:html --><p>a [pme model={MODEL}]</p>", True),
        (f"<!-- wp:html --><p>x<!-- /wp:html -->[pme model={MODEL}]", False),
    ],
)
def test_a_block_would_break_text_only_where_there_is_text_around(content: str, expected: bool) -> None:
    source = Source(content)
    (unit,) = source.placeholders(MODEL)
    assert source.is_text_at(unit) is expected
