"""The keys ``token`` and ``models_per_token``, and what is printed of shared tokens."""

from __future__ import annotations

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.placements import check, plan
from pme_airflow.placements.token_sharing import checked_models_per_token
from tests.placements.test_parsing import changed


@pytest.mark.parametrize(
    ("keys", "most"),
    [({}, 1), ({"token": "single"}, 1), ({"token": "shared"}, 25), ({"token": "shared", "models_per_token": 7}, 7)],
)
def test_models_share_a_token_where_a_placement_says_so(keys: dict[str, object], most: int) -> None:
    (placement,) = check(changed(**keys))
    assert placement.models_per_token == most


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"token": "several"}, "token: give shared"),
        ({"token": ["shared"]}, "token: give shared"),
        ({"models_per_token": 25}, "models_per_token: has an effect with token: shared alone"),
        ({"token": "shared", "models_per_token": 1000}, "models_per_token: give a number from 1 to 100"),
        ({"token": "shared", "models_per_token": 0}, "models_per_token: give a number from 1 to 100"),
        ({"token": "shared", "models_per_token": True}, "models_per_token: give a number from 1 to 100"),
    ],
)
def test_what_cannot_be_meant_is_refused(keys: dict[str, object], problem: str) -> None:
    with pytest.raises(PMEInputError, match=problem):
        check(changed(**keys))


def test_a_number_may_be_given_as_text() -> None:
    assert checked_models_per_token(" 25 ") == 25
    for wrong in (None, "", "x", "2.5", 2.5, "9" * 5000, -1, "٢"):
        with pytest.raises(PMEInputError, match="models_per_token: give a number"):
            checked_models_per_token(wrong)


def test_the_plan_names_what_is_won_and_what_it_costs() -> None:
    assert plan(check(changed())[0]).sharing == ""
    models = [f"Model{number:06d}" for number in range(60)]
    listed = plan(check(changed(token="shared", models=models, targets=[{"kind": "slack", "channel": "c"}]))[0])
    assert "60 models take 3 tokens instead of 60 links" in listed.sharing
    assert "darkens up to 25 models" in listed.sharing
    queried = plan(check(changed(token="shared", models={"query": "*"}, keep_every=False, allow_gaps=True))[0])
    assert "1,000 models take 40 tokens instead of 1,000 links" in queried.sharing
