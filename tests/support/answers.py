"""Scripted answers to calls, by the name of the method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Answers:
    """Answers each call of a method with the next of its answers, and with the last one from then on.

    :param answers: by method: one answer, or several; errors are raised.
    :ivar calls: the calls, each with its arguments.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = {name: list(some) if isinstance(some, list) else [some] for name, some in answers.items()}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def answer(self, method: str, arguments: dict[str, Any]) -> Any:
        """Record a call, and return or raise its answer."""
        self.calls.append((method, arguments))
        answers = self._answers[method]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
