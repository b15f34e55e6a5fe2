"""A Slack API in memory that answers each method as a test has it, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pme_airflow.targets.slack_client import SlackApi, SlackRefusal


class Response(dict[str, Any]):
    """A response with headers, as the SDK returns it."""

    def __init__(self, data: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(data)
        self.headers = dict(headers or {})


class ScriptedApi:
    """Answers each call of a method with the next of the method's answers, and with the last one from then on.

    :param answers: by method: responses, and errors to raise.
    :ivar calls: the calls, each with its arguments.
    """

    def __init__(self, **answers: Any) -> None:
        self._answers = {name: list(some) if isinstance(some, list) else [some] for name, some in answers.items()}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def call(self, method: str, **arguments: Any) -> Any:
        """Answer as :meth:`SlackApi.call` does."""
        self.calls.append((method, arguments))
        answers = self._answers[method]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def api(self) -> SlackApi:
        """Itself, with the type that the code under test declares."""
        return cast(SlackApi, self)


def refusal(code: str, status: int = 200) -> SlackRefusal:
    """Return what a refused call raises."""
    return SlackRefusal("a.method", code, status)
