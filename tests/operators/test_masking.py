"""Raw tokens that a person passes to a task are masked in its log and its rendered fields, in every encoding."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.operators import _masking
from pme_airflow.operators._masking import mask_tokens, redacted
from tests.support.leaked import FINGERPRINT, TOKEN, link


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Airflow was asked to mask."""
    found: list[str] = []
    monkeypatch.setattr(_masking, "mask_secret", found.append)
    return found


@pytest.mark.parametrize("value", [TOKEN, link(), link().replace("+", "%2B"), f"Authorization: Bearer {TOKEN}"])
def test_a_token_is_masked_in_the_log(masked: list[str], value: str) -> None:
    mask_tokens([value, value])
    assert masked == [TOKEN]


def test_what_holds_no_token_masks_nothing(masked: list[str]) -> None:
    mask_tokens([FINGERPRINT, 5, None, {"a": TOKEN}, ""])
    assert masked == []


def test_airflow_is_given_fifty_tokens_at_most(masked: list[str]) -> None:
    tokens = [f"{index:04}a{TOKEN[5:]}" for index in range(60)]
    mask_tokens(tokens)
    assert masked == tokens[:50]


@pytest.mark.parametrize(
    "value", [link(), [link()], (link(),), {link()}, {"a": {"b": [link()]}}, {link(): 1}, [[f"see {link()}, there"]]]
)
def test_a_rendered_field_shows_no_token(value: Any) -> None:
    shown = redacted(value)
    assert TOKEN not in str(shown)
    assert type(shown) is type(value)


@pytest.mark.parametrize("value", [5, None, True, FINGERPRINT, [FINGERPRINT, 5], {"reason": "in ticket 4711"}])
def test_a_rendered_field_without_a_token_is_as_it_was(value: Any) -> None:
    assert redacted(value) == value
