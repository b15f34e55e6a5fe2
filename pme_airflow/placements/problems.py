"""Collect the problems of a file, one line each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pme_airflow.errors import PMEInputError

__all__ = ["MAX_PROBLEMS", "ProblemCollector", "TooManyProblemsError", "shown"]

#: A file with so many problems is not read further: it is of another kind, or one mistake is in every line.
MAX_PROBLEMS = 100


class TooManyProblemsError(Exception):
    """A file is not read further; the collector has its first problems."""


@dataclass(frozen=True)
class ProblemCollector:
    """Adds problems to a list that is shared with the collectors of other parts of the file.

    :param where: the part of the file, such as ``[1]``; put before each key.
    """

    problems: list[str] = field(default_factory=list)
    where: str = ""

    def at(self, where: str) -> ProblemCollector:
        """Return a collector of the same list for a part of the file."""
        return replace(self, where=where)

    def add(self, key: str, problem: str) -> None:
        """Add what is wrong with a key.

        :raises TooManyProblemsError: for the last one that is collected.
        """
        self.problems.append(f"{self.where}{'.' if self.where and key else ''}{key}: {problem}")
        if len(self.problems) >= MAX_PROBLEMS:
            raise TooManyProblemsError

    def add_error(self, key: str, error: PMEInputError) -> None:
        """Add an error under a key of the file, whatever its own field is called."""
        self.add(key, error.problem)


def shown(value: object) -> str:
    """Return a value for an error message: a short text as it is, anything else by its type.

    Aliases make a list of a billion entries of a kilobyte of YAML, so that no other value is turned into text.
    """
    return repr(value[:64]) if isinstance(value, str) else f"a {type(value).__name__}"
