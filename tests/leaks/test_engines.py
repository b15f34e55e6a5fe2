"""Both engines report every pattern that occurs, also one that line breaks interrupt."""

from __future__ import annotations

import builtins
import random
import sys
from typing import Any

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.leaks.engines import engine_for

PATTERNS = [b"k3f9x0a8q7", b"k3f9x0zzzz", b"ABCDEF012345", b"abcdef012345"]


@pytest.mark.parametrize("data", [b"..k3f9x0a8q7..", b"k3f9x0\na8q7", b"k3f9=\r\nx0a8q7", b"k\0" + b"\0".join(b"3f9x0a8q7"[i:i+1] for i in range(9)), b"k3f9\n\t x0a8q7", b"\nk3f9x0a8q7"])  # fmt: skip
def test_a_pattern_is_reported_whole_or_interrupted(engine: str, data: bytes) -> None:
    assert 0 in engine_for(PATTERNS, engine)(data)


def test_patterns_that_differ_in_case_are_both_reported(engine: str) -> None:
    present = engine_for(PATTERNS, engine)
    assert 2 in present(b"xx ABCDEF012345 xx")
    assert 3 in present(b"xx abcdef012345 xx")


def test_nothing_is_reported_in_other_bytes(engine: str) -> None:
    present = engine_for(PATTERNS, engine)
    assert present(b"") == set()
    assert present(b"the quick brown fox\n" * 500) == set()


def test_a_pattern_is_reported_in_dense_and_in_sparse_data(engine: str) -> None:
    present = engine_for(PATTERNS, engine)
    dense = b"abcdef0123459k3fqx" * 20_000
    sparse = b"\xff" * 200_000
    for filler in (dense, sparse, dense + sparse, sparse + dense):
        assert 1 in present(filler + b"\xffk3f9x0zzzz\xff" + filler)


def test_both_engines_agree_on_random_data(engine: str) -> None:
    chance = random.Random(11)
    present = engine_for(PATTERNS, engine)
    for _ in range(300):
        expected = chance.choice(range(len(PATTERNS)))
        filler = bytes(chance.choice(b"k3f9x0a8q7zABCDEF01 \n.") for _ in range(chance.randrange(200)))
        assert expected in present(filler + b"," + PATTERNS[expected] + b"," + filler)


def test_an_engine_that_is_not_installed_is_refused_by_name_and_replaced_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real_import = builtins.__import__

    def without_hyperscan(name: str, *rest: Any) -> Any:
        if name == "hyperscan":
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.delitem(sys.modules, "hyperscan", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_hyperscan)
    with pytest.raises(PMEInputError, match=r"pme-airflow\[scan\]"):
        engine_for(PATTERNS, "hyperscan")
    assert 0 in engine_for(PATTERNS)(b"k3f9x0a8q7")
