"""Long work logs a line every few seconds, with how long the rest will take."""

from __future__ import annotations

import logging

import pytest

from pme_airflow.lifecycle.progress import Progress
from tests.support.clocks import FakeClock

log = logging.getLogger(__name__)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == __name__]


def test_a_line_every_five_seconds(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    progress = Progress(log, "minting", 100, clock)
    with caplog.at_level(logging.INFO):
        for _ in range(25):
            clock.advance(1)
            progress.step(2)
    assert lines(caplog) == [
        "minting: 10 of 100, about 45 s left, 2 a second.",
        "minting: 20 of 100, about 40 s left, 2 a second.",
        "minting: 30 of 100, about 35 s left, 2 a second.",
        "minting: 40 of 100, about 30 s left, 2 a second.",
        "minting: 50 of 100, about 25 s left, 2 a second.",
    ]


def test_a_total_that_is_unknown_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    progress = Progress(log, "revoking", 0, clock)
    with caplog.at_level(logging.INFO):
        clock.advance(5)
        progress.step()
    assert lines(caplog) == ["revoking: 1, 0 a second."]


def test_nothing_done_yet_has_no_estimate(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    progress = Progress(log, "minting", 10, clock)
    with caplog.at_level(logging.INFO):
        clock.advance(6)
        progress.step(0)
    assert lines(caplog) == ["minting: 0 of 10, 0 a second."]
