from __future__ import annotations

import asyncio
import threading
from functools import partial

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
        while asked._begun:
            await asyncio.sleep(0)
        return await asked.ask(lambda: 7)

    assert asyncio.run(ask()) == 7


def test_calls_that_overlap_and_do_not_hang_are_all_made() -> None:
    together = threading.Barrier(8)

    async def ask() -> list[int]:
        asked = Patience("The ledger")
        return await asyncio.gather(*(asked.ask(lambda: together.wait(60)) for _ in range(8)))

    assert sorted(asyncio.run(ask())) == list(range(8))


def test_a_ledger_that_stops_to_answer_piles_up_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 20 before the first is late, and then 40 in all, one at a time."""
    monkeypatch.setattr(patience, "_PAUSE_SECONDS", 0.0)
    freed = threading.Event()

    async def ask() -> int:
        asked = Patience("The ledger")
        hang = partial(freed.wait, 60)
        calls = [asyncio.ensure_future(asked.ask(hang)) for _ in range(30)]
        await asyncio.sleep(0)
        assert len(asked._begun) == 20
        refused = [str(call.exception()) for call in calls if call.done()]
        assert refused == ["The ledger was not asked: 20 requests of this page wait for it already. Try again."] * 10
        monkeypatch.setattr(patience, "WAIT_SECONDS", 0.0)
        for _ in range(30):
            with pytest.raises(LedgerUnavailableError, match="did not answer"):
                await asked.ask(hang)
        assert len(asked._begun) == 40
        freed.set()
        await asyncio.wait(calls)
        while asked._begun:
            await asyncio.sleep(0)
        monkeypatch.setattr(patience, "WAIT_SECONDS", 60)
        return await asked.ask(lambda: 7)

    assert asyncio.run(ask()) == 7
