"""An error's message is split into what happened and what to do."""

from __future__ import annotations

import pytest

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.errors import SlotError


@pytest.mark.parametrize(
    ("message", "finding", "cure"),
    [
        ("The page is gone. Restore it, or name another.", "The page is gone.", "Restore it, or name another."),
        ("Slack refused x (y): invite the bot", "Slack refused x (y): invite the bot.", "Invite the bot."),
        ("no whole response within 60 s", "no whole response within 60 s.", None),
    ],
)
def test_error_is_split_into_finding_and_cure(message: str, finding: str, cure: str | None) -> None:
    result = CheckResult.of_error("read", SlotError(message))
    assert result.verdict is Verdict.BAD
    assert result.finding == finding
    assert result.cure
    assert cure is None or result.cure == cure
    assert CheckResult.of_error("read", SlotError(message), "Do this.").cure == "Do this."
