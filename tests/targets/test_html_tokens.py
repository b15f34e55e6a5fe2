"""HTML is read as a browser reads it, without gaps, and in linear time whatever it holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pme_airflow.targets.html_tokens import Comment, Tag, Text, is_visible, open_elements, tokens


def parts(text: str) -> list[str]:
    return [text[token.start : token.end] for token in tokens(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["<p>", "text", "</p>"],
        ["a ", "<!-- <b> -->", " c"],
        ['<a title="a > b">', "x", "</a>"],
        ["<a title='\"' href=x>", "y"],
        ["<p title=it's>", "more", "<b>"],
        ["<br/>", "<img src=x />"],
        ["<script>", "if (a < b) '<p>'", "</script>"],
        ["<STYLE>", "<p>", "</style >"],
        ["1 < 2 and ", "<i>", "3"],
        ["<script>", "<p>", "never closed"],
        ["<!-- never closed ", "<p>"],
        ["<!-->", "x-->"],
        ["<!--->", "x-->"],
        ["<!---->", "x"],
        ["<matterport-viewer m=x>", "</matterport-viewer>"],
    ],
)
def test_html_is_taken_apart(expected: list[str]) -> None:
    assert parts("".join(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<p class="a>b', ['<p class="a>', "b"]),
        ('<p class="a>b<i>c', ['<p class="a>', "b", "<i>", "c"]),
        ("<p class='a>b</p>", ["<p class='a>", "b", "</p>"]),
        ("<p <b>c", ["<p <b>", "c"]),
        ("a <p", ["a <p"]),
    ],
)
def test_a_tag_whose_quote_is_not_closed_ends_at_the_first_bracket(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


@given(st.text(alphabet="<>\"'=!-/ pbx\nscript", max_size=60))
def test_nothing_is_left_out_or_read_twice(text: str) -> None:
    assert "".join(parts(text)) == text


def test_tokens_have_their_kinds() -> None:
    kinds = [type(token) for token in tokens("<p>x<!-- y --></p>")]
    assert kinds == [Tag, Text, Comment, Tag]
    start, raw, end = tokens("<script>x</script>")
    assert isinstance(start, Tag)
    assert not start.closing
    assert isinstance(raw, Text)
    assert raw.raw
    assert isinstance(end, Tag)
    assert end.closing


def test_a_stretch_is_read_alone() -> None:
    text = "<p>one</p><p>two</p>"
    assert [text[t.start : t.end] for t in tokens(text, 10, 16)] == ["<p>", "two"]
    assert [text[t.start : t.end] for t in tokens(text, 12, 14)] == [">t"]


@pytest.mark.parametrize(
    ("source", "attributes"),
    [
        ('<iframe SRC="a&amp;b" allowfullscreen>', {"src": "a&b", "allowfullscreen": ""}),
        ("<iframe src = 'a' width=5/>", {"src": "a", "width": "5/"}),
        ('<iframe data-src=x class="y z"/>', {"data-src": "x", "class": "y z"}),
        ("<p>", {}),
    ],
)
def test_attributes_are_read(source: str, attributes: dict[str, str]) -> None:
    (tag,) = tokens(source)
    assert isinstance(tag, Tag)
    assert tag.attributes == attributes


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("", False),
        (" \n\t", False),
        ("<p></p>", False),
        ("<p>&nbsp;\u200b</p>", False),
        ("<figure><div>\n</div></figure>", False),
        ("<!-- x -->", False),
        ("<p>a</p>", True),
        ("<img src=x>", True),
        ("<p><br></p>", False),
        ("<hr>", True),
        ("</img>", False),
        ("<script>x</script>", True),
        ("&amp;", True),
    ],
)
def test_what_shows_something_is_told_from_wrappers(text: str, visible: bool) -> None:
    assert is_visible(text) is visible


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("<p>a <strong>b", ["p", "strong"]),
        ("<p>a</p>", []),
        ("<p>a<br>b", ["p"]),
        ("<div><p>a</div>", []),
        ("</b><p>", ["p"]),
        ("<p/><i>", ["i"]),
        ("<div><div></div>", ["div"]),
    ],
)
def test_open_elements_are_found(text: str, names: list[str]) -> None:
    assert [tag.name for tag in open_elements(f"xx{text}", 2, len(text) + 2)] == names
