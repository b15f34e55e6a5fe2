"""Slack's API without a server: one that answers as a test has it, and one of the strict stand-in of a channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from slack_sdk.errors import SlackApiError

from pme_airflow.dev.playground.channel import Channel
from pme_airflow.targets.slack_client import SlackApi, SlackRefusal
from tests.support.answers import Answers


class Response(dict[str, Any]):
    """A response with headers, as the SDK returns it."""

    def __init__(self, data: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(data)
        self.headers = dict(headers or {})


class ScriptedApi(Answers):
    """Slack's API with scripted answers: responses, and errors to raise, by method."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(answers)

    def call(self, method: str, **arguments: Any) -> Any:
        """Answer as :meth:`SlackApi.call` does."""
        return self.answer(method, arguments)

    @property
    def api(self) -> SlackApi:
        """Itself, with the type that the code under test declares."""
        return cast(SlackApi, self)


def refusal(code: str, status: int = 200) -> SlackRefusal:
    """Return what a refused call raises."""
    return SlackRefusal("a.method", code, status)


class ChannelApi:
    """The strict stand-in of a channel, called without a server.

    :param channel: the channel; its ``calls`` and ``refusals`` name methods as Slack does, such as ``chat.update``.
    :ivar log: the calls that change something: the method, and the ``ts`` it is about.
    :ivar after: called after each of them.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.log: list[tuple[str, str]] = []
        self.after: Callable[[], None] = lambda: None

    def call(self, method: str, **arguments: Any) -> Any:
        """Answer as :meth:`SlackApi.call` does."""
        name = method.replace("_", ".", 1)
        try:
            answer = self.channel.answer(name, arguments)
        except Exception as error:
            if type(error).__name__ != "_Refused":
                raise
            raise refusal(str(error)) from None
        if name in ("chat.postMessage", "chat.update", "chat.delete"):
            self.log.append((name, answer["ts"]))
            self.after()
        return answer

    @property
    def api(self) -> SlackApi:
        """Itself, with the type that the code under test declares."""
        return cast(SlackApi, self)


class ChannelClient:
    """The stand-in of a channel as a client of the SDK.

    :param channel: the channel.
    :ivar api: what was called.
    """

    base_url = "https://slack.com/api/"
    token = "xoxb-test"

    def __init__(self, channel: Channel) -> None:
        self.api = ChannelApi(channel)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            try:
                return self.api.call(method, **arguments)
            except SlackRefusal as error:
                response = SimpleNamespace(data={"error": error.code}, status_code=200)
            raise SlackApiError("refused", response)  # type: ignore[no-untyped-call]

        return call
