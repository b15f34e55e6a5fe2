"""Tokens are found in text after ``Bearer``, in every encoding that a link passes through."""

from __future__ import annotations

import base64
import html
import json
import quopri
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pme_airflow.leaks.encodings import candidates_in, decodings, redact, tokens_in, unwrapped
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.secrets import AccessToken
from tests.support.leaked import ENCODINGS, TOKEN, link

OTHER = "another0token0of0somebody"
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
    "quoted-printable in lower case": f"auth=3dBearer=2b{TOKEN}",
    "quoted-printable no-break space in lower case": f"Bearer=c2=a0{TOKEN}",
    "Proofpoint": f"https://urldefense.proofpoint.com/v2/url?u=https-3A__a.test-3Fauth-3DBearer-2B{TOKEN}&d=x",
    "Proofpoint of a percent-encoded space": f"?u=https-3A__a.test-3Fauth-3DBearer-2520{TOKEN}&d=x",
    "no-break space": f"Bearer&nbsp;{TOKEN}",
    "lower case": f"auth=bearer+{TOKEN}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_token_after_bearer_is_found_in_each_encoding(name: str) -> None:
    assert TOKEN in tokens_in(f"see {TEXTS[name]} there")


def test_each_token_is_returned_once_in_order() -> None:
    assert tokens_in(f"{link(OTHER)} {link()} {link(OTHER)}") == [OTHER, TOKEN]


def test_a_single_word_is_a_token_only_where_asked_for() -> None:
    assert tokens_in(f' "{TOKEN}"\n', bare=True) == [TOKEN]
    assert tokens_in(TOKEN) == []


@pytest.mark.parametrize("text", ["short", "two words here", "https://host.test/path", "x" * 513])
def test_other_text_is_no_bare_token(text: str) -> None:
    assert tokens_in(text, bare=True) == []


@pytest.mark.parametrize(
    "form",
    [
        base64.b64encode(TOKEN.encode()).decode(),
        base64.urlsafe_b64encode(link().encode()).decode(),
        TOKEN.encode().hex(),
        base64.b64encode(f"Bearer {TOKEN}".encode("utf-16-le")).decode(),
    ],
)
def test_a_word_that_is_an_encoded_token_is_one_where_asked_for(form: str) -> None:
    assert TOKEN in tokens_in(form, bare=True)


@pytest.mark.parametrize("before", ["Bearer-2B", "Bearer-20", "Bearer-252B", "Bearer-2520", "access-5Ftoken-3D"])
def test_a_token_in_a_link_that_proofpoint_rewrote_is_a_candidate_and_is_masked(before: str) -> None:
    text = f"https://urldefense.proofpoint.com/v2/url?u=https-3A__a.test-3F{before}{TOKEN}-26x-3D1&d=DwMFaQ&c=x"
    assert TOKEN in candidates_in(text)
    assert TOKEN not in redact(text)


@pytest.mark.parametrize("text", [f"Bearer+{TOKEN}", f"auth/Bearer+{TOKEN}", f"Bearer {TOKEN}"])
def test_a_header_is_no_word_in_base64(text: str) -> None:
    assert TOKEN in tokens_in(text, bare=True)


@pytest.mark.parametrize("text", [f"Bearer {TOKEN}.", f"see auth=Bearer+{TOKEN}. And", f"Bearer {TOKEN}.)"])
def test_a_full_stop_behind_a_token_is_not_part_of_it(text: str) -> None:
    assert tokens_in(text) == [TOKEN]


@pytest.mark.parametrize("around", ["_{}_", "~~{}~~", "{}-"])
def test_punctuation_behind_a_token_is_tried_with_and_without_where_asked_for(around: str) -> None:
    assert TOKEN in tokens_in(around.format(link()), bare=True)


@pytest.mark.parametrize(
    "mask", ["REDACTED", "REDACT", "redacted", "********", f"{TOKEN[:12]}...", f"{TOKEN[:12]}..", f"{TOKEN[:12]}****", f"{TOKEN[:12]}…",
             "xxxxxxxxxxxx", "XXXXXXXXXXXXXXXX", f"{TOKEN[:12]}•••••", "[REDACTED:abcdef]", "00000000"],
)  # fmt: skip
def test_a_mask_is_no_token(mask: str) -> None:
    assert tokens_in(f"auth=Bearer+{mask}") == []
    assert tokens_in(f"auth=Bearer+{mask}", bare=True) == []


def test_a_token_behind_a_megabyte_is_found() -> None:
    assert tokens_in("lorem ipsum " * 110_000 + link()) == [TOKEN]


def test_decodings_begin_with_the_text_itself_and_end_once_nothing_is_left_to_decode() -> None:
    assert list(decodings("plain")) == ["plain"]
    assert list(decodings("a%20b")) == ["a%20b", "a b"]
    assert list(decodings("a%2520b")) == ["a%2520b", "a%20b", "a b"]


def test_a_text_is_decoded_four_times() -> None:
    assert len(list(decodings("a%" + "25" * 9 + "20b"))) == 5


def in_base64(text: str, times: int = 1) -> str:
    for _ in range(times):
        text = base64.b64encode(text.encode()).decode()
    return text


@pytest.mark.parametrize(("times", "is_found"), [(1, True), (2, True), (3, False)])
def test_base64_is_decoded_inside_base64(times: int, is_found: bool) -> None:
    text = in_base64(link(), times)
    assert (TOKEN in tokens_in(text)) is is_found
    assert (redact(f"see {text} there") == "see *** there") is is_found


@pytest.mark.parametrize("before", range(5))
def test_base64_is_decoded_wherever_it_begins(before: int) -> None:
    assert TOKEN in tokens_in("x" * before + in_base64(link()))


def test_what_base64_contains_is_decoded() -> None:
    assert TOKEN in tokens_in(in_base64(quote(link(), safe="")))


@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_hexadecimal_digits_are_masked_wherever_they_begin(before: str) -> None:
    assert redact(f"see {before}{TOKEN.encode().hex()} there") == "see *** there"


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [("%2b", "+"), ("\\u002B", "+"), ("%u002b", "+"), ("\\x2b", "+"), ("&#43;", "+"), ("&#043", "+"), ("&#x2B;", "+"),
     ("&#X02b;", "+"), ("&plus;", "+"), ("&nbsp;", "\u00a0"), ("\\/", "/"), ("\x1b[1;31m", ""), ("\0", ""),
     ("\u200b", ""), ("=2B", "+"), ("\uff0b", "+"), ("=\r\n", ""), ("=\n", "")],
)  # fmt: skip
def test_each_escape_is_decoded(escaped: str, plain: str) -> None:
    assert f"a{plain}b" in list(decodings(f"a{escaped}b"))


@pytest.mark.parametrize("text", ["&#1114112;", "&#xffffff;", "%zz", "&nosuch;", "&#" + "1" * 5000, "%", "\\u12"])
def test_what_is_no_escape_is_left_as_it_is(text: str) -> None:
    assert next(decodings(text)) == text
    assert TOKEN in tokens_in(f"{text} {link()}")


@pytest.mark.parametrize("written", [link(), f"auth=Bearer+{TOKEN}", TOKEN])
def test_a_token_in_full_width_is_found_and_masked(written: str) -> None:
    wide = "".join(chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character for character in written)
    assert TOKEN in candidates_in(f"see {wide} there")
    assert not candidates_in(redact(f"see {wide} there"))


_WRAPPERS: list[Callable[[str], str]] = [
    lambda text: quote(text, safe=""),
    html.escape,
    lambda text: json.dumps(text),
    lambda text: "".join(f"&#{ord(character)};" for character in text),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: f"<p>{text}</p>",
    lambda text: "\0".join(text),
]


@settings(max_examples=100, deadline=None)
@given(
    st.text(string.ascii_lowercase + string.digits, min_size=25, max_size=25).filter(
        lambda token: any(map(str.isdigit, token)) and any(map(str.isalpha, token))
    ),
    st.lists(st.sampled_from(_WRAPPERS), max_size=2),
    st.text(max_size=30),
)
def test_a_token_in_nested_encodings_is_found_and_masked(
    token: str, wrappers: list[Callable[[str], str]], around: str
) -> None:
    text = f"auth=Bearer+{token}&x=1"
    for wrapper in wrappers:
        text = wrapper(text)
    text = f"{around} {text} {around}"
    assert token in tokens_in(text)
    masked = redact(text)
    assert token not in tokens_in(masked)
    assert token not in "".join(decodings(masked))


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("%&#;=\\u+0aBbearer \n\r\0x41.~*…-_{}\"'éﬀ\ud800")))
def test_no_text_is_an_error_and_masking_twice_is_masking_once(text: str) -> None:
    tokens_in(text)
    tokens_in(text, bare=True)
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"token {TOKEN} leaked", "token *** leaked"),
        (f"{TOKEN}\n{TOKEN}", "***\n***"),
        (f"see {link()}.", "see https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+***"),
        ('{"access_token": "opaque-token"}', '{"access_token": "***"}'),
        (f"hex {TOKEN.encode().hex()} here", "hex *** here"),
        (f"base64 {base64.b64encode(TOKEN.encode()).decode()} here", "base64 *** here"),
        (f"Bearer%20{TOKEN} and Bearer%2520{TOKEN}", "Bearer%20*** and Bearer%2520***"),
        ("Bearer ab", "Bearer ab"),
        ("model yyHDFKzPzvN, sha256:" + "ab12" * 16, "model yyHDFKzPzvN, sha256:" + "ab12" * 16),
        (
            "leaked in ticket 4711, see https://tickets.example/4711",
            "leaked in ticket 4711, see https://tickets.example/4711",
        ),
        ("", ""),
    ],
)
def test_tokens_are_masked_and_the_rest_of_the_text_is_kept(text: str, masked: str) -> None:
    assert redact(text) == masked


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_token_is_masked_in_every_encoding(encoding: str) -> None:
    raw = ENCODINGS[encoding](TOKEN)
    text = raw.decode("utf-16" if encoding == "utf-16" else "utf-8")
    masked = redact(f"before {text} after")
    assert TOKEN not in "".join(decodings(masked))
    assert TokenMatcher([AccessToken(TOKEN)]).find(masked.encode()) == []
    assert masked.startswith("before")


@pytest.mark.parametrize(("token", "found"), [("a1b2c3d", []), ("a1b2c3d4", ["a1b2c3d4"])])
def test_a_token_has_eight_characters_at_least(token: str, found: list[str]) -> None:
    assert tokens_in(f"?auth=Bearer+{token}&x=1") == found


def test_a_token_behind_an_escaped_line_break_is_found_and_masked() -> None:
    assert TOKEN in candidates_in(f"secret:\\n{TOKEN}\\r\\n")
    assert tokens_in(f"Bearer\\t{TOKEN}") == [TOKEN]
    assert redact(f"secret:\\n{TOKEN}\\n") == "secret:\\n***\\n"


def test_only_words_with_the_shape_of_a_token_are_unwrapped() -> None:
    assert (
        unwrapped(f"x auth=Bearer%2B{TOKEN[:5]}\n  {TOKEN[5:12]}=\r\n{TOKEN[12:]}\ny") == f"x auth=Bearer%2B{TOKEN}\ny"
    )
    assert unwrapped(f"Bearer+\n{TOKEN}") == f"Bearer+{TOKEN}"
    for text in (f"Bearer+{TOKEN}\nhttps://x.test", "Bearer+" + "a" * 12 + "\n" + "b" * 13, "a1\nb2\nc3\n" * 50):
        assert unwrapped(text) == text


@pytest.mark.parametrize("before", ["auth=Bearer%20", "see "])
def test_a_wrapped_token_is_masked_whole(before: str) -> None:
    assert redact(f"{before}{TOKEN[:5]}=\n {TOKEN[5:]} there") == f"{before}*** there"
    for text in ("Bearer " + "a" * 12 + "\n" + "b" * 13, "see release20240101\nof wednesday"):
        assert redact(text.replace("Bearer", "bear")) == text.replace("Bearer", "bear")
