"""Splitting an account into batches."""

from __future__ import annotations

import pytest

from pme_airflow.placements import batches


@pytest.mark.parametrize(
    ("count", "parts", "least", "most"),
    [
        (1, 1, 1, 1), (1000, 1, 1000, 1000), (1001, 2, 500, 501), (16_000, 16, 1000, 1000), (20_000, 16, 1250, 1250),
        (80_000, 16, 5000, 5000), (80_001, 17, 4705, 4706), (100_000, 20, 5000, 5000),
    ],
)  # fmt: skip
def test_an_account_is_split_evenly(count: int, parts: int, least: int, most: int) -> None:
    models = [f"m{index}" for index in range(count)]
    split = batches(models)
    assert len(split) == parts
    assert {min(map(len, split)), max(map(len, split))} == {least, most}
    assert sorted(model for part in split for model in part) == sorted(models)


def test_no_models_are_no_batches() -> None:
    assert batches([]) == []
