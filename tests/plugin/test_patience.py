from __future__ import annotations

import asyncio
import threading

import pytest

from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.plugin import patience
from pme_airflow.plugin.patience import Patience


def test_a_result_and_an_error_are_handed_back() -> None:
    async def ask() -> int:
        asked = Patience("The ledger")
        with pytest.raises(ZeroDivisionError):
            await asked.ask(lambda: 1 // 0)
        return await asked.ask(lambda: 7)

    assert asyncio.run(ask()) == 7


def test_what_hangs_is_a_sentence_and_few_calls_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAIT_SECONDS", 0.01)
    freed, started = threading.Event(), []

    def hang() -> None:
        started.append(1)
        freed.wait(60)

    async def ask() -> int:
        asked = Patience("The ledger")
        for _ in range(10):
            with pytest.raises(LedgerUnavailableError, match="The ledger did not answer within"):
                await asked.ask(hang)
        assert len(started) == 3
        freed.set()
        monkeypatch.setattr(patience, "WAIT_SECONDS", 60)
        while asked._hanging:
            await asyncio.sleep(0)
        return await asked.ask(lambda: 7)

    assert asyncio.run(ask()) == 7
