"""What a placement shows is handed to its targets' checks, and its schedule is judged."""

from __future__ import annotations

from pme_airflow.api.messages import Model
from pme_airflow.doctor import Verdict
from pme_airflow.doctor.placements import check_placements, items_of
from pme_airflow.placements import Placement, check

ONE, TWO = "Model000000", "Model000001"


def placement(more: str = "", models: str = f"[{ONE}, {TWO}]") -> Placement:
    text = f"audience: a\nmodels: {models}\ntargets: [{{kind: slack, channel: x}}]\n{more}"
    (found,) = check(text)
    return found


def test_items_are_the_models_that_are_shown() -> None:
    assert items_of(placement(), []) == [{"model_id": ONE, "audience": "a"}, {"model_id": TWO, "audience": "a"}]
    queried = placement(f"exclude: [{ONE}]\n", "{query: '*'}")
    assert items_of(queried, [Model(ONE), Model(TWO)]) == [{"model_id": TWO, "audience": "a"}]


def test_schedule_that_survives_little_is_doubtful() -> None:
    (schedule,) = check_placements([placement("valid_for: 1h\nkeep_every: 5m\n")], None)
    assert schedule.verdict is Verdict.WARNING
    assert "valid_for" in schedule.cure


def test_models_are_compared_where_all_are_listed() -> None:
    listed = {ONE: Model(ONE, "One", "active"), TWO: Model(TWO, "Two", "inactive")}
    found = list(check_placements([placement()], listed))
    assert [result.verdict for result in found] == [Verdict.GOOD, Verdict.BAD]
    assert TWO in found[1].finding
