"""A query may leave models out."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.arguments import read_models
from pme_airflow.lifecycle.account_models import ModelQuery

MODEL = "yyHDFKzPzvN"


def test_a_query_is_read_with_what_it_leaves_out() -> None:
    assert read_models({"query": "*"}) == ModelQuery("*")
    whole = {"query": "Mill", "exclude": [MODEL], "allow_clearing": True}
    assert read_models(whole) == ModelQuery("Mill", frozenset({MODEL}), allow_clearing=True)
    assert read_models(str(whole)) == read_models(whole)


@pytest.mark.parametrize(
    "models",
    [
        {"query": ""},
        {"query": "*", "except": [MODEL]},
        {"query": "*", "exclude": MODEL},
        {"query": "*", "exclude": ["x"]},
        {"query": "*", "allow_clearing": "yes"},
    ],
)
def test_a_query_that_cannot_be_right_is_refused(models: Any) -> None:
    with pytest.raises(PMEInputError):
        read_models(models)
