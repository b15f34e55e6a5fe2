"""The matcher finds the tokens it was given, in every encoding, and nothing else."""

from __future__ import annotations

import base64

import pytest

from pme_airflow.leaks import token_matcher
from pme_airflow.leaks.token_matcher import Match, TokenMatcher, encoded_forms
from pme_airflow.secrets import AccessToken
from tests.support.leaked import ENCODINGS, FINGERPRINT, TOKEN

pytestmark = pytest.mark.usefixtures("engine")


def find(data: bytes, *tokens: str) -> list[Match]:
    return TokenMatcher(map(AccessToken, tokens or (TOKEN,))).find(data)


def starts(data: bytes, *tokens: str) -> list[int]:
    return [match.start for match in find(data, *tokens)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_token_is_found_once_in_every_encoding(encoding: str) -> None:
    data = b"before\n" + ENCODINGS[encoding](TOKEN) + b"\nafter"
    (match,) = find(data)
    assert match.fingerprint == FINGERPRINT


def test_a_match_spans_the_token_from_its_first_byte_to_after_its_last() -> None:
    assert find(b"0123456789" + TOKEN.encode() + b"..") == [Match(FINGERPRINT, 10, 35)]
    interrupted = TOKEN[:10].encode() + b"=\n" + TOKEN[10:].encode()
    assert find(b"line\n" * 4 + interrupted + b"..") == [Match(FINGERPRINT, 20, 47)]


def test_every_place_of_a_token_is_found_in_order_in_both_cases_of_hex() -> None:
    raw, upper = TOKEN.encode().hex().encode(), TOKEN.encode().hex().upper().encode()
    data = b"," + raw + b"," + upper + b"," + TOKEN.encode() + b"," + TOKEN.encode()
    assert starts(data) == [1, 52, 103, 129]


def test_overlapping_places_of_a_token_are_all_found() -> None:
    assert starts(b".abababa.", "ababa") == [1, 3]


@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"=\n", b"=\r\n", b"\n  ", b"\r\n\t", b"\n\n"])
def test_a_token_that_a_line_break_interrupts_is_found_where_it_begins(between: bytes) -> None:
    data = b"x = 1\n  y\n" * 3 + TOKEN[:9].encode() + between + TOKEN[9:].encode() + b"\nz"
    assert starts(data) == [30]


@pytest.mark.parametrize("between", [rb"\n", rb"\r\n", rb"=\n", rb"=\r\n", rb"\n  "])
def test_a_token_that_an_escaped_line_break_interrupts_is_found(between: bytes) -> None:
    data = rb'{"content": "a\n' + TOKEN[:9].encode() + between + TOKEN[9:].encode() + rb'\n"}'
    assert starts(data) == [16]
    encoded = base64.b64encode(b"see " + TOKEN.encode() + b" there")
    assert starts(rb'{"content":"' + encoded[:20] + between + encoded[20:] + rb'\n"}')


@pytest.mark.parametrize("before", [b"C:\\", b"a\\r\\", rb"\n"])
def test_a_token_that_begins_with_the_letter_of_an_escape_is_found(before: bytes) -> None:
    token = "n" + TOKEN[1:]
    assert starts(before + token.encode(), token) == [len(before)]


@pytest.mark.parametrize("token", ["a", "ab", "abc", "a-token"])
def test_a_token_of_few_bytes_is_found(token: str) -> None:
    assert starts(f"?t={token}&".encode(), token) == [3]


def test_a_similar_token_is_not_found() -> None:
    others = [TOKEN[:-1] + "q", TOKEN[1:], TOKEN.upper(), TOKEN[::-1]]
    assert find("\n".join(others).encode()) == []


def test_tokens_that_share_a_prefix_or_suffix_are_told_apart() -> None:
    others = [TOKEN[:24] + "q", "q" + TOKEN[1:]]
    found = find(" ".join([others[1], TOKEN]).encode(), TOKEN, *others)
    assert [match.start for match in found] == [0, 26]
    assert len({match.fingerprint for match in found}) == 2


def test_similar_tokens_do_not_start_the_search_for_interrupted_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """That search reads all of the data again, so a shared substring alone must not start it."""
    similar = "\n".join(TOKEN[:24] + "q " + "q" + TOKEN[1:] for _ in range(1000)).encode()
    monkeypatch.setattr(token_matcher, "_BETWEEN", rb"never(")
    assert starts(similar) == []
    assert starts(similar + b"\n" + TOKEN.encode()) == [len(similar) + 1]


def test_a_matcher_of_no_tokens_finds_nothing() -> None:
    assert TokenMatcher([]).find(TOKEN.encode()) == []
    assert TokenMatcher([]).longest_form_bytes == 0


def test_a_matcher_shows_no_token_and_counts_them() -> None:
    matcher = TokenMatcher([AccessToken(TOKEN), AccessToken("another-token")])
    assert repr(matcher) == "TokenMatcher(2 tokens)"


def test_the_longest_form_is_the_percent_encoded_one() -> None:
    assert TokenMatcher([AccessToken(TOKEN)]).longest_form_bytes == 3 * len(TOKEN)


def test_encoded_forms_hold_each_base64_offset_in_both_alphabets() -> None:
    token = "~~~???>>>"
    forms = set(encoded_forms(token))
    for shift in range(3):
        whole = base64.b64encode(b"x" * shift + token.encode() + b"yy")
        assert any(form in whole for form in forms if form != token.encode())
    assert any(b"-" in form or b"_" in form for form in forms)


def test_a_token_is_written_in_each_form_of_at_least_four_bytes() -> None:
    assert list(encoded_forms("ab~?")) == [
        b"ab~?", b"%61%62%7E%3F", b"%61%62%7e%3f", b"61627e3f", b"61627E3F", b"YWJ+", b"YWJ-", b"hYn4/", b"hYn4_",
    ]  # fmt: skip
    assert list(encoded_forms("ab"))[5:] == []


def test_a_token_at_the_start_is_found() -> None:
    assert starts(TOKEN.encode()) == [0]
