from __future__ import annotations

import json

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.lifecycle.paste import MAX_PASTE_BYTES, read_paste
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken

TOKEN, OTHER = "k3f9" + "a1b2c3" * 3 + "xyz", "q7w8" + "e5r6t7" * 3 + "uvw"
PRINT, OTHER_PRINT = fingerprint(AccessToken(TOKEN)), fingerprint(AccessToken(OTHER))
LINK = f"https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+{TOKEN}"


@pytest.mark.parametrize(
    "text",
    [TOKEN, f"  {TOKEN}\r\n", LINK, f"<iframe src='{LINK}'></iframe>", f"seen on the forum: {LINK} yesterday", PRINT.upper(),
     f"{TOKEN} {OTHER}", f"{TOKEN}, {OTHER}", json.dumps([{"Secret": TOKEN, "RuleID": "x", "File": "f", "StartLine": 1}])],
)  # fmt: skip
def test_tokens_links_fingerprints_and_reports_are_fingerprinted(text: str) -> None:
    paste = read_paste(text)
    assert PRINT in [*paste.named, *paste.candidates]
    assert (OTHER_PRINT in paste.named) is (OTHER in text)
    assert TOKEN not in repr(paste)


def test_the_words_of_a_report_are_not_taken_for_tokens() -> None:
    report = json.dumps([{"Secret": "ghp_0123456789abcdefghij", "RuleID": "x", "File": "f", "StartLine": 1}])
    assert read_paste(report).named == ()


@pytest.mark.parametrize(
    ("text", "words"), [("", "empty"), (" \n", "empty"), ("x" * (MAX_PASTE_BYTES + 1), "over the limit")]
)
def test_nothing_and_too_much_are_refused(text: str, words: str) -> None:
    with pytest.raises(PMEInputError, match=words):
        read_paste(text)


def test_what_could_not_be_read_is_named() -> None:
    masked = json.dumps([{"Secret": "REDACTED", "RuleID": "x", "File": "f", "StartLine": 1}])
    assert "masked" in read_paste(masked).problems[0]


@pytest.mark.parametrize(("lines", "is_named"), [(500, True), (501, False)])
def test_a_text_of_over_500_lines_is_a_log_whose_words_are_not_all_tokens(lines: int, is_named: bool) -> None:
    paste = read_paste("\n".join([TOKEN, *["a line of a log"] * (lines - 1)]))
    assert (PRINT in paste.named) is is_named
