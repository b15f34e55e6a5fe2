"""What comes from the API is checked where it enters: ids, names, links, ends and tokens."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pme_airflow.api.fields import (
    checked_application,
    checked_link,
    checked_model,
    checked_text,
    checked_token,
    checked_valid_until,
    showcase_of,
)
from pme_airflow.api.messages import Model
from pme_airflow.embed_links import link_of
from pme_airflow.secrets import AccessToken

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
VENDOR, LOCAL = "https://api.matterport.com", "http://127.0.0.1:8799"


@pytest.mark.parametrize(
    ("link", "api"),
    [
        ("https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+t", VENDOR),
        ("https://matterport.com/show?m=yyHDFKzPzvN", VENDOR),
        ("https://MY.Matterport.com:443/show?m=x&play=1#top", VENDOR),
        ("https://deep.er.matterport.com/", VENDOR),
        ("https://api.example.test/show?m=x", "https://api.example.test:8443/pme"),
        ("http://127.0.0.1:9000/show?m=x", LOCAL),
        ("http://localhost:9000/show?m=x", LOCAL),
        ("https://[::1]/show?m=x", LOCAL),
        ("https://my.matterport.com/show?m=x", LOCAL),
    ],
)
def test_a_link_of_the_vendor_or_of_the_apis_own_host_is_kept_as_it_is(link: str, api: str) -> None:
    kept = checked_link(link, api)
    assert kept is not None
    assert kept.reveal() == link


@pytest.mark.parametrize(
    "link",
    [
        "http://my.matterport.com/show?m=x",
        "https://evil.example/show?m=x",
        "https://matterport.com.evil.example/show",
        "https://evilmatterport.com/show",
        "https://evil-matterport.com/show",
        "https://my.matterport.com@evil.example/show",
        "https://my.matterport.com:pw@evil.example/",
        "https://evil.example\\@my.matterport.com/",
        "https://my.matterport.com\\.evil.example/",
        "https://my.matterport.com./show",
        "https://evil.example#.matterport.com",
        "https://evil.example/?.matterport.com",
        "https://.matterport.com/",
        "javascript:alert(1)//my.matterport.com",
        "javascript://my.matterport.com/%0aalert(1)",
        "data:text/html,x",
        "//my.matterport.com/show",
        "ftp://my.matterport.com/",
        "https://my.matterport.com/show?m=x\nSet-Cookie: a",
        "https://my.matterport.com/show?m=<script>",
        'https://my.matterport.com/"onload="x',
        "https://my.matterport.com/ show",
        " https://my.matterport.com/show",
        "https://my.matterport.com/show?m=\ud800",
        "https://my.matterport.com/show?m=é",
        "https://mÿ.matterport.com\u2028/",
        "http://127.0.0.1/show",
        "https://127.0.0.1/show",
        "https://127.0.0.1.matterport.com.evil/",
        "https://my.matterport.com/" + "x" * 2048,
        "",
        None,
        17,
        ["https://my.matterport.com/"],
    ],
)
def test_a_link_of_any_other_scheme_or_host_is_not_used(link: object) -> None:
    assert checked_link(link, VENDOR) is None


def test_a_loopback_link_is_used_only_where_the_api_is_on_this_machine() -> None:
    for link in ("http://127.0.0.1:1/show", "http://localhost/show", "https://127.0.0.1/show"):
        assert checked_link(link, LOCAL) is not None
        assert checked_link(link, "https://api.example.test") is None
    assert checked_link("http://api.example.test/show", "http://api.example.test") is None


def test_a_built_link_escapes_what_it_is_built_from() -> None:
    assert link_of("yyHDFKzPzvN", AccessToken("abc")).reveal() == (
        "https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+abc"
    )
    assert link_of("a&b", AccessToken("c&d=e/f")).reveal().endswith("?m=a%26b&auth=Bearer+c%26d%3De%2Ff")


@pytest.mark.parametrize("value", ["t", "a" * 2048, "abc.DEF-_~+/=", "ünï"])
def test_an_opaque_token_of_printable_text_is_taken(value: str) -> None:
    token = checked_token(value)
    assert token is not None
    assert token.reveal() == value


@pytest.mark.parametrize(
    "value", ["", " ", "a b", "a\nb", "a\x00", "\ud800", "a" * 2049, None, 17, True, ["a"], "a\u2028"]
)
def test_what_cannot_be_a_token_is_none(value: object) -> None:
    assert checked_token(value) is None


@pytest.mark.parametrize(
    "value", ["", "a b", "<b>", "x" * 33, "-x", "a/b", "é", "a\n", "k7aqznhw3gtdmfxb52vy9mcde", "v2", None, 5]
)
def test_an_application_that_is_no_plain_word_is_showcase(value: object) -> None:
    assert checked_application(value) == "showcase"
    for name in ("showcase", "Bundle_x-y", "x" * 32):
        assert checked_application(name) == name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Harbour Loft", "Harbour Loft"),
        ("  two  spaces ", "two spaces"),
        ("line\nbreak\r\n\ttab", "line break tab"),
        ("\x1b[31mred\x07", "[31mred"),
        ("nul\x00", "nul"),
        ("right\u202eto\u2066left\ufeff", "right to left"),
        ("half\ud800", "half"),
        ("para\u2029graph", "para graph"),
        ("line\u2028end", "line end"),
        ("soft\u00adhyphen\ue000private", "soft hyphen private"),
        ("family \U0001f468\u200d\U0001f469\u200d\U0001f467", "family \U0001f468\u200d\U0001f469\u200d\U0001f467"),
        ("ünï 日本 [gallery] <b>", "ünï 日本 [gallery] <b>"),
        ("x" * 1000, "x" * 255),
        ("\n" * 1016 + "late", "late"),
        ("\n" * 1020 + "late", ""),
        (None, ""),
        (5, ""),
        (["a"], ""),
    ],
)
def test_a_name_is_one_line_of_visible_text(value: object, text: str) -> None:
    assert checked_text(value) == text


@pytest.mark.parametrize(
    ("value", "end"),
    [
        ("2026-05-01T12:10:00Z", timedelta(minutes=10)),
        ("2026-05-01T14:10:00+02:00", timedelta(minutes=10)),
        ("2026-05-01 12:10:00", timedelta(minutes=10)),
        ("2026-05-01T12:10:00.250Z", timedelta(minutes=10, milliseconds=250)),
        ("20260501T121000Z", timedelta(minutes=10)),
        ("2026-05-01T11:00:00Z", timedelta(hours=-1)),
        ("2026-05-02T12:05:00Z", timedelta(hours=24, minutes=5)),
        ("2026-05-02T12:05:01Z", None),
        ("2026-06-01T12:00:00Z", None),
        ("2099-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("2026", None),
        ("2026-05-01", None),
        ("12:10", None),
        ("00000000 00:", None),
        ("00000000T00", None),
        ("2026-05-01/2026-06-01", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-05-01T12:10:00+99:99", None),
        ("²²²²-05-01T12:10:00Z", None),
        ("2026-05-01T12:10:00Z" + " " * 100, None),
        ("soon", None),
        ("", None),
        (1777636800, None),
        (None, None),
    ],
)
def test_an_end_is_read_where_it_is_a_time_of_the_next_day(value: object, end: timedelta | None) -> None:
    found = checked_valid_until(value, NOW)
    assert found == (None if end is None else NOW + end)


@pytest.mark.parametrize("raw", [None, "Model000000", ["Model000000"], {}, {"id": 5}, {"id": "../escaped"}])
def test_what_has_no_model_id_is_no_model(raw: object) -> None:
    assert checked_model(raw) is None


def test_a_model_has_the_texts_that_the_api_gives_cut_and_cleaned() -> None:
    raw = {"id": "Model000000", "name": "n" * 256, "state": "s" * 65, "visibility": "private"}
    assert checked_model(raw) == Model("Model000000", "n" * 255, "s" * 64)
    assert checked_model({"id": "Model000000"}) == Model("Model000000") == Model("Model000000", "", "")


@pytest.mark.parametrize(
    ("api", "showcase"),
    [
        (VENDOR, "https://my.matterport.com/show"),
        ("http://127.0.0.1:8799/", "http://127.0.0.1:8799/show"),
        ("no address", "https://my.matterport.com/show"),
    ],
)
def test_the_showcase_of_an_api_on_this_machine_is_its_own(api: str, showcase: str) -> None:
    assert showcase_of(api) == showcase
