"""Both search engines, for the tests that search."""

from __future__ import annotations

import pytest

from pme_airflow.leaks import token_matcher
from pme_airflow.leaks.engines import engine_for


@pytest.fixture(params=["ahocorasick", "hyperscan"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of each engine in turn, which every matcher uses."""
    name: str = request.param
    if name == "hyperscan":
        pytest.importorskip("hyperscan", reason="the extra scan is not installed: no wheel of hyperscan fits here")
    monkeypatch.setattr(token_matcher, "engine_for", lambda patterns, _: engine_for(patterns, name))
    return name
