"""Known tokens are masked in any text, at a cost that does not grow with their number."""

from __future__ import annotations

import json
import re
from html import escape
from unittest import mock
from urllib.parse import quote

import pytest

from pme_airflow.hooks import token_mask
from pme_airflow.hooks.token_mask import TokenMask
from pme_airflow.secrets import AccessToken


def mask_of(*tokens: str) -> TokenMask:
    mask = TokenMask()
    for token in tokens:
        assert mask.add(AccessToken(token))
    return mask


def test_an_empty_mask_keeps_texts() -> None:
    assert TokenMask().apply("abcdefgh") == "abcdefgh"


def test_a_token_counts_once() -> None:
    mask = mask_of("abcdefgh1")
    assert not mask.add(AccessToken("abcdefgh1"))
    assert len(mask) == 1


@pytest.mark.parametrize("token", ["abcdefgh", "a+b/c=d&e%f", 'quo"te\\back', "ünïcödé-token"])
def test_a_token_is_masked_plain_percent_encoded_as_json_and_as_html(token: str) -> None:
    encoded = quote(token, safe="")
    once = (token, encoded, quote(token), re.sub("%..", lambda code: code[0].lower(), encoded))
    texts = (json.dumps(token)[1:-1], json.dumps(token)[1:-1].replace("/", "\\/"), escape(token))
    for form in (*once, quote(encoded, safe=""), *texts):
        assert mask_of(token).apply(f"<{form}>") == "<***>"


def test_the_longest_of_two_tokens_with_one_start_is_masked() -> None:
    mask = mask_of("abcdefgh1", "abcdefgh1234")
    assert mask.apply("abcdefgh1234 abcdefgh123") == "*** ***23"


def test_a_start_alone_is_kept_and_does_not_hide_the_token_behind_it() -> None:
    mask = mask_of("abababababab1")
    assert mask.apply("abababababababab1 ababababab") == "abab*** ababababab"


def test_a_token_of_fewer_than_eight_characters_is_not_masked() -> None:
    assert mask_of("abcdefg").apply("abcdefg") == "abcdefg"
    assert mask_of("abcdefg", "abcdefgh").apply("abcdefg abcdefgh") == "abcdefg ***"


def test_bytes_are_masked_and_others_kept_unchanged() -> None:
    assert mask_of("abcdefgh").apply_bytes(b"\xff abcdefgh\n") == b"\xff ***\n"


def test_the_mask_shows_no_token() -> None:
    assert "abcdefgh" not in repr(vars(mask_of("abcdefgh12345")))


def test_the_cost_of_a_text_does_not_grow_with_the_number_of_tokens() -> None:
    text = " ".join(f"other{number:020d}" for number in range(100))
    hashed = []
    for count in (10, 2000):
        mask = mask_of(*(f"token{number * 7919:020d}" for number in range(count)))
        with mock.patch.object(token_mask, "fingerprint", wraps=token_mask.fingerprint) as counted:
            assert mask.apply(text) == text
        hashed.append(counted.call_count)
    assert hashed == [0, 0]
