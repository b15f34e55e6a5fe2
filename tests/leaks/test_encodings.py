"""Tokens are found in text after ``Bearer``, in every encoding that a link passes through."""

from __future__ import annotations

import html
import json
import quopri
from urllib.parse import quote

import pytest

from pme_airflow.leaks.encodings import decodings, tokens_in
from tests.support.leaked import TOKEN, link

TEXTS = {
    "plain": link(),
    "header": f"Authorization: Bearer {TOKEN}",
    "percent": f"auth=Bearer%20{TOKEN}&x=1",
    "percent-encoded plus": f"auth=Bearer%2B{TOKEN}",
    "percent-encoded twice": quote(quote(link(), safe=""), safe=""),
    "html": html.escape(f'<iframe src="{link()}">'),
    "html twice": html.escape(html.escape(f'"Bearer {TOKEN}"')),
    "numeric entity": f"auth=Bearer&#43;{TOKEN}",
    "json escape": json.dumps(link()).replace("+", "\\u002b"),
    "quoted-printable": quopri.encodestring(("x" * 30 + link() + "=").encode()).decode(),
    "quoted-printable break": f"auth=Bearer+{TOKEN[:9]}=\r\n{TOKEN[9:]}",
    "no-break space": f"Bearer&nbsp;{TOKEN}",
    "lower case": f"auth=bearer+{TOKEN}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_token_after_bearer_is_found_in_each_encoding(name: str) -> None:
    assert TOKEN in tokens_in(f"see {TEXTS[name]} there")


def test_each_token_is_returned_once_in_order() -> None:
    assert tokens_in(f"{link('b' * 25)} {link()} {link('b' * 25)}") == ["b" * 25, TOKEN]


def test_a_single_word_is_a_token_only_where_asked_for() -> None:
    assert tokens_in(f' "{TOKEN}"\n', bare=True) == [TOKEN]
    assert tokens_in(TOKEN) == []


@pytest.mark.parametrize("text", ["short", "two words here", "https://host.test/path", "x" * 513])
def test_other_text_is_no_bare_token(text: str) -> None:
    assert tokens_in(text, bare=True) == []


def test_decodings_begin_with_the_text_itself_and_repeat_nothing() -> None:
    assert decodings("plain") == ["plain"]
    assert decodings("a%20b")[:2] == ["a%20b", "a b"]
