"""The tokens of a model's links are found in a page or a JSON answer, however they are escaped."""

from __future__ import annotations

import html
import json

import pytest

from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from pme_airflow.targets import shown_tokens
from pme_airflow.targets.shown_tokens import all_tokens, fingerprints_in, tokens_of

MODEL, OTHER = "SxQL3iGyoDo", "yyHDFKzPzvN"
TOKEN = "tok3n" * 5
URL = f"https://my.matterport.com/show?m={MODEL}&auth=Bearer+{TOKEN}"


@pytest.mark.parametrize(
    "text",
    [
        URL,
        f'<iframe src="{html.escape(URL)}"></iframe>',
        f"<iframe src='{URL}'></iframe>",
        f"see <{URL}>, and more",
        json.dumps({"link": URL}),
        json.dumps({"rendered": f'<iframe src="{html.escape(URL)}"></iframe>'}),
        json.dumps({"link": URL}).replace("&", "\\u0026").replace("/", "\\/"),
        URL.replace("?m=", "?play=1&m="),
        URL.replace("+", "%20"),
    ],
)
def test_a_token_is_found_however_its_link_is_escaped(text: str) -> None:
    assert tokens_of(text, MODEL) == {TOKEN}


@pytest.mark.parametrize(
    "text",
    [
        "",
        URL.replace(MODEL, OTHER),
        URL.replace(MODEL, f"{MODEL}x"),
        f"https://my.matterport.com/show?m={MODEL} auth=Bearer+{TOKEN}",
        f"https://my.matterport.com/show?m={MODEL}",
        f"Bearer {TOKEN}",
    ],
)
def test_no_token_is_found_outside_of_the_models_links(text: str) -> None:
    assert tokens_of(text, MODEL) == set()


def test_all_tokens_of_several_links_are_found() -> None:
    second = URL.replace(TOKEN, "other" * 5)
    assert tokens_of(f"{URL} {second} {URL.replace(MODEL, OTHER)}", MODEL) == {TOKEN, "other" * 5}


@pytest.mark.parametrize("parameter", ["gt=1", "lt=1", "quot=1", "copy=1"])
def test_a_parameter_that_looks_like_an_escape_parts_no_link(parameter: str) -> None:
    page = f'<iframe src="https://my.matterport.com/show/?m=Mi11Street4&{parameter}&auth=Bearer+t0ken0t0ken"></iframe>'
    assert tokens_of(page, "Mi11Street4") == {"t0ken0t0ken"}


def test_a_link_is_found_wherever_it_stands_in_a_long_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown_tokens, "_STRETCH", 500)
    monkeypatch.setattr(shown_tokens, "_OVERLAP", len(URL) + 5)
    for before in (0, 400, *range(495, 505), 990, 1000, 1700):
        for after in ("", " " * 600):
            assert all_tokens("." * before + f" {URL}{after}") == {TOKEN}, before


def test_no_text_holds_no_token() -> None:
    assert all_tokens("") == set()


def test_a_token_in_a_field_of_its_own_is_compared_too() -> None:
    digest = fingerprint(AccessToken(TOKEN))
    assert digest in fingerprints_in(json.dumps({"token": TOKEN}), MODEL)
    assert digest in fingerprints_in(json.dumps({"url": html.escape(URL)}), MODEL)
    assert digest not in fingerprints_in(json.dumps({"token": f"{TOKEN}x"}), MODEL)


def test_the_first_20000_fields_are_compared() -> None:
    digest = fingerprint(AccessToken(TOKEN))
    for fields, found in ((19_999, True), (20_000, False)):
        assert (digest in fingerprints_in("aaaaaaaa " * fields + TOKEN, MODEL)) is found
