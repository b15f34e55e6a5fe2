"""The result of checking one thing of a set-up before links are published: good, doubtful or bad, with the cure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["CheckResult", "Verdict"]

#: How errors of the ledger end. It says what did not happen, not what to do.
_ASSURANCES = (" What was not committed was not done.", " Nothing was changed.")
_NO_CURE = "Run `pme-airflow doctor` again; if it stays, look into the log of the place that is named."


class Verdict(Enum):
    """What a check found."""

    #: It works.
    GOOD = "good"
    #: It works, or could not be found out, and something should be looked at.
    WARNING = "doubtful"
    #: Links will not be minted, shown or revoked as they should.
    BAD = "bad"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check. None of its texts contains a secret, so that it can be pasted into a report.

    :param check: what was checked, in a few words, such as ``account``.
    :param verdict: what was found.
    :param finding: the finding in a sentence.
    :param cure: what to do about it; empty where nothing is to be done.
    """

    check: str
    verdict: Verdict
    finding: str
    cure: str = ""

    @classmethod
    def good(cls, check: str, finding: str) -> CheckResult:
        """Return the result of a check that found nothing wrong."""
        return cls(check, Verdict.GOOD, finding)

    @classmethod
    def warning(cls, check: str, finding: str, cure: str) -> CheckResult:
        """Return the result of a check that found something to look at."""
        return cls(check, Verdict.WARNING, finding, cure)

    @classmethod
    def bad(cls, check: str, finding: str, cure: str) -> CheckResult:
        """Return the result of a check that found something wrong."""
        return cls(check, Verdict.BAD, finding, cure)

    @classmethod
    def of_error(cls, check: str, error: Exception, cure: str = "") -> CheckResult:
        """Return the bad result of a check that failed with an error of this package.

        The first sentence of its message says what happened, and the rest what to do; in a message of one sentence
        that stands after its last colon.

        :param cure: what to do, in place of what the message says.
        """
        finding, written = _split(str(error))
        return cls(check, Verdict.BAD, finding, cure or written or _NO_CURE)


def _split(message: str) -> tuple[str, str]:
    """Split an error's message into what happened and what to do."""
    message = message.strip()
    for assurance in _ASSURANCES:
        message = message.removesuffix(assurance)
    finding, dot, cure = message.partition(". ")
    if dot:
        return f"{finding}.", cure
    _, colon, cure = message.rpartition(": ")
    finding = message if message.endswith(".") else f"{message}."
    return finding, f"{cure[:1].upper()}{cure[1:]}".rstrip(".") + "." if colon else ""
