"""The check of a Slack channel names what the bot lacks, and what to do about it, without posting."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.errors import SlotError
from pme_airflow.targets.slack_setup import check_channel
from tests.support.slack_calls import Response, ScriptedApi, refusal

ALL = "chat:write,channels:history,channels:read"
IDENTITY = {"user": "tours", "user_id": "U01", "team": "Acme", "team_id": "T01"}
ADD_ONE = "Add it under OAuth & Permissions of the Slack app, and install the app again."
ADD_MORE = ADD_ONE.replace("it under", "them under")
GOOD, WARNING, BAD = Verdict.GOOD, Verdict.WARNING, Verdict.BAD
NOT_IN = CheckResult("channel", BAD, "The bot is not in #tours.", "Invite the bot to the channel: /invite @bot.")
IN = CheckResult("channel", GOOD, "The bot is in #tours.")


def check(
    found: Any = None, *, scopes: str | None = ALL, channel_id: str = "C01", identity: Any = None
) -> tuple[list[CheckResult], ScriptedApi]:
    headers = {} if scopes is None else {"X-OAuth-Scopes": scopes}
    api = ScriptedApi(
        auth_test=Response(IDENTITY if identity is None else identity, headers),
        conversations_info=found if isinstance(found, Exception) else {"channel": found},
    )
    return list(check_channel(api.api, "#tours", channel_id)), api


def test_a_good_channel_is_called_good_in_each_respect_and_asked_for_by_its_id() -> None:
    results, api = check({"is_member": True})
    assert results == [
        CheckResult("account", GOOD, "Slack accepts the token of tours in workspace Acme."),
        CheckResult("scopes", GOOD, "The bot may post, and read its messages back."),
        IN,
    ]
    assert api.calls == [("auth_test", {}), ("conversations_info", {"channel": "C01"})]


def test_a_token_that_slack_refuses_ends_the_check() -> None:
    api = ScriptedApi(auth_test=refusal("invalid_auth"))
    (result,) = check_channel(api.api, "#tours", "C01")
    assert (result.check, result.verdict, result.cure) == ("account", BAD, "Check the token of the Slack connection.")


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        ({"user_id": "U01", "team_id": "T01"}, "U01 in workspace T01"),
        ({}, "the bot in workspace unknown"),
        ({"user": "", "user_id": "U01", "team": None, "team_id": "T01"}, "U01 in workspace T01"),
        ({"user": "u" * 90, "team": "t" * 90}, f"{'u' * 80} in workspace {'t' * 80}"),
    ],
)
def test_the_bot_is_named_as_well_as_slack_lets_it(identity: dict[str, Any], named: str) -> None:
    results, _ = check({}, identity=identity)
    assert results[0].finding == f"Slack accepts the token of {named}."


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (None, (GOOD, "Slack does not list the token's scopes; the calls below show what it may.", "")),
        ("", (BAD, "The bot lacks the scope chat:write, so it cannot post.", ADD_ONE)),
        ("channels:history,channels:read", (BAD, "The bot lacks the scope chat:write, so it cannot post.", ADD_ONE)),
        ("chat:write, groups:history , groups:read", (GOOD, "The bot may post, and read its messages back.", "")),
        ("chat:write,channels:history", (WARNING, "channels:read", ADD_ONE)),
        ("chat:write,groups:read", (WARNING, "channels:history", ADD_ONE)),
        ("chat:write", (WARNING, "channels:history and channels:read", ADD_MORE)),
    ],
)
def test_missing_scopes_are_named(scopes: str | None, expected: tuple[Verdict, str, str]) -> None:
    verdict, finding, cure = expected
    if verdict is WARNING:
        finding = (
            f"The bot lacks the scope {finding}, so messages are not read back, and a post whose confirmation is lost "
            "may be posted twice."
        )
    results, _ = check({"is_member": True}, scopes=scopes)
    assert results[1] == CheckResult("scopes", verdict, finding, cure)
    assert len(results) == 3


@pytest.mark.parametrize(
    ("scopes", "verdict", "finding", "cure"),
    [
        (
            "chat:write", WARNING, "#tours cannot be looked up without the scope channels:read.",
            "Give the bot that scope (groups:read for a private channel), or write the channel's id into channel.",
        ),
        (
            "channels:read", BAD, "There is no channel #tours that the bot can see.",
            "Check the channel's name; where it is private, invite the bot to the channel, and give it the scope "
            "groups:read.",
        ),
        (
            "channels:read,groups:read", BAD, "There is no channel #tours that the bot can see.",
            "Check the channel's name; where it is private, invite the bot to the channel.",
        ),
        (
            "groups:read", BAD, "There is no channel #tours that the bot can see.",
            "Check the channel's name; where it is private, invite the bot to the channel.",
        ),
    ],
)  # fmt: skip
def test_a_channel_that_was_not_found_is_named_with_the_likely_cause(
    scopes: str, verdict: Verdict, finding: str, cure: str
) -> None:
    results, api = check({}, scopes=scopes, channel_id="")
    assert results[2] == CheckResult("channel", verdict, finding, cure)
    assert len(api.calls) == 1


@pytest.mark.parametrize("code", ["missing_scope", "unknown_method"])
def test_a_channel_that_cannot_be_asked_about_is_doubtful(code: str) -> None:
    results, _ = check(refusal(code))
    assert results[2] == CheckResult(
        "channel", WARNING, f"Whether the bot is in #tours cannot be asked ({code}).",
        "Give the bot the scope channels:read (groups:read for a private channel).",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (refusal("channel_not_found"), "Slack refused a.method (channel_not_found)"),
        (
            SlotError("the connection to Slack failed (OSError)", passing=True),
            "the connection to Slack failed (OSError).",
        ),
    ],
)
def test_a_failed_question_about_the_channel_is_bad(error: Exception, finding: str) -> None:
    results, _ = check(error)
    assert (results[2].check, results[2].verdict) == ("channel", BAD)
    assert results[2].finding.startswith(finding)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            {"is_archived": True, "is_member": True},
            CheckResult("channel", BAD, "#tours is archived.", "Choose another channel, or unarchive it."),
        ),
        ({"is_im": True}, IN),
        ({"is_mpim": True}, IN),
        ({"is_member": False}, NOT_IN),
        (None, NOT_IN),
        (["is_member"], NOT_IN),
    ],
)
def test_the_channel_itself_says_whether_the_bot_may_post(found: Any, expected: CheckResult) -> None:
    assert check(found)[0][2] == expected


@pytest.mark.parametrize(
    ("found", "scopes", "may"),
    [
        ({"is_private": False}, f"{ALL},chat:write.public", True),
        ({"is_private": True}, f"{ALL},chat:write.public", False),
        ({"is_private": False}, ALL, False),
        ({"is_private": False}, None, False),
    ],
)
def test_a_bot_may_post_to_a_public_channel_from_outside_if_it_is_known_to_have_the_scope(
    found: dict[str, Any], scopes: str | None, may: bool
) -> None:
    outside = "The bot may post to #tours without being in it (chat:write.public)."
    assert check(found, scopes=scopes)[0][2] == (CheckResult("channel", GOOD, outside) if may else NOT_IN)
