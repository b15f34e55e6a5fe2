"""The targets' tests need one database alone."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def ledger_address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"
