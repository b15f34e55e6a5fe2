"""What names leaked links is read whole: what can be is kept, what cannot is a problem."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.errors import PMEError
from pme_airflow.lifecycle.leak_criteria import LeakCriteria, candidates_of, fingerprints_of, lines_of
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.fuzzing.messages import shown

TOKEN = "k3f9x0a8q7w6e5r4t3y2u1i0p"
DIGEST = fingerprint(AccessToken(TOKEN))


@pytest.mark.parametrize(
    "value",
    [TOKEN, f" {TOKEN}\n", DIGEST, DIGEST.upper(), f"Bearer {TOKEN}", f"Bearer+{TOKEN}",
     f"https://my.matterport.com/show?m=x&auth=Bearer%2B{TOKEN}", f"&lt;iframe src=&quot;?auth=Bearer+{TOKEN}&quot;"],
)  # fmt: skip
def test_a_token_is_found_in_every_form(value: str) -> None:
    assert fingerprints_of([value, value]) == ([DIGEST], 0)


@pytest.mark.parametrize("value", ["", "two words", None, 7, {"x": TOKEN}, b"bytes"])
def test_what_holds_no_token_is_counted(value: Any) -> None:
    assert fingerprints_of([value, TOKEN]) == ([DIGEST], 1)


def test_everything_readable_is_kept_and_the_rest_is_a_problem() -> None:
    problems: list[PMEError] = []
    given: dict[str, Any] = {
        "tokens": [TOKEN, "two words", 7],
        "models": ["yyHDFKzPzvN", "https://my.matterport.com/show/?m=SxQL3iGyoDo", "no"],
        "audiences": [" intranet ", "", None],
        "link_ids": ("lnk_1",),
    }
    criteria = LeakCriteria.read(given, problems)
    assert criteria == LeakCriteria((DIGEST,), ("lnk_1",), ("yyHDFKzPzvN", "SxQL3iGyoDo"), ("intranet",))
    assert [str(problem).partition(":")[0] for problem in problems] == ["tokens", "audiences", "tokens", "models"]
    assert "1 of 2 hold no token" in str(problems[2])
    assert TOKEN not in repr(criteria) + str(problems)


def test_a_single_text_is_one_value() -> None:
    problems: list[PMEError] = []
    assert LeakCriteria.read({"audiences": "intranet", "tokens": TOKEN}, problems) == LeakCriteria(
        (DIGEST,), audiences=("intranet",)
    )
    assert problems == []


def test_what_is_named_is_known_by_kind() -> None:
    assert LeakCriteria().is_empty
    assert not LeakCriteria(audiences=("a",)).is_empty
    assert LeakCriteria(("f",)).names_links
    assert LeakCriteria(link_ids=("l",)).names_links
    assert not LeakCriteria(models=("m",)).names_links
    assert LeakCriteria(models=("m",)).names_groups
    assert LeakCriteria(audiences=("a",)).names_groups
    assert not LeakCriteria(("f",), ("l",)).names_groups
    whole = LeakCriteria(("f",), ("l",), ("m",), ("a",))
    assert whole.one_by_one() == [
        LeakCriteria(("f",)), LeakCriteria(link_ids=("l",)), LeakCriteria(models=("m",)), LeakCriteria(audiences=("a",)),
    ]  # fmt: skip
    assert LeakCriteria(models=("m",)).one_by_one() == [LeakCriteria(models=("m",))]


def test_the_id_of_a_view_is_taken_for_a_model_although_a_token_may_look_like_it() -> None:
    problems: list[PMEError] = []
    view = "k3f9s8d7q2m4x6z1b5n0c8v7y"
    assert LeakCriteria.read({"models": [view, "yyHDFKzPzvN"]}, problems).models == (view, "yyHDFKzPzvN")
    assert not problems


def test_no_form_of_the_criteria_shows_a_token_wherever_it_was_given() -> None:
    for name in ("tokens", "models", "audiences", "link_ids"):
        problems: list[PMEError] = []
        criteria = LeakCriteria.read({name: [TOKEN, {}, f"x {TOKEN}", f"Bearer {TOKEN}"]}, problems)
        assert problems
        assert TOKEN not in repr(criteria) + "".join(map(shown, problems))


@pytest.mark.parametrize("wrap", ["=\n", "=\r\n", "\n", "\n\t"])
def test_a_wrapped_value_is_one_token(wrap: str) -> None:
    assert fingerprints_of([f"auth=Bearer+{TOKEN[:11]}{wrap}{TOKEN[11:]}"]) == ([DIGEST], 0)


def test_lines_of_a_text_are_kept_apart_but_for_what_was_wrapped() -> None:
    other = "z9y8x7w6v5u4t3s2r1q0p9o8n"
    links = [f"https://my.matterport.com/show?auth=Bearer+{token}" for token in (TOKEN, other)]
    for lines in (links, [TOKEN, other], [TOKEN, "short1", "x2"], [f"{TOKEN[:20]}.", TOKEN[20:]], ["a" * 20, "b" * 5]):
        assert lines_of("\n\n".join(lines)) == lines_of("\n".join(lines)) == lines
    assert lines_of(f"{links[0][:-9]}\n{links[0][-9:]}\n{links[1]}") == links


def test_candidates_are_the_words_of_a_text_that_may_be_tokens() -> None:
    assert candidates_of(f"see ({TOKEN}), please") == (DIGEST,)
    assert candidates_of(f'{{"Raw": "{TOKEN}", "DetectorName": "x", "SourceMetadata": {{}}}}\n{{"Raw') == (DIGEST,)
    assert candidates_of("") == ()
    assert candidates_of("two words") == ()
