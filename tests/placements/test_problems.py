"""Problems are collected under the key of the file."""

from __future__ import annotations

from pme_airflow.errors import PMEInputError
from pme_airflow.placements.problems import ProblemCollector


def test_parts_share_one_list() -> None:
    problems = ProblemCollector()
    problems.add("audience", "is wrong")
    problems.at("[1]").add("models", "are wrong")
    problems.at("[2]").add("", "is no mapping")
    assert problems.problems == ["audience: is wrong", "[1].models: are wrong", "[2]: is no mapping"]


def test_an_error_is_put_under_the_key_of_the_file() -> None:
    problems = ProblemCollector()
    problems.add_error("models[3]", PMEInputError("is not a model id", "models"))
    assert problems.problems == ["models[3]: is not a model id"]
    assert str(PMEInputError("is not a model id", "models")) == "models: is not a model id"
    assert str(PMEInputError("nothing is named")) == "nothing is named"
