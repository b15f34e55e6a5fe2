"""The list of models, page by page, of an API whose offsets may be odd."""

from __future__ import annotations

import pytest
import requests_mock as mocking

from pme_airflow.api.client import PMEClient
from pme_airflow.errors import PMEProtocolError
from tests.api.scripted import GRAPH


@pytest.mark.parametrize("offset", [5.5, ["5"], {"a": 1}, True])
def test_an_offset_of_no_known_form_ends_the_list_with_an_error(
    scripted: PMEClient, api: mocking.Mocker, offset: object
) -> None:
    api.post(GRAPH, json={"data": {"models": {"results": [], "nextOffset": offset}}})
    with pytest.raises(PMEProtocolError, match="offset"):
        list(scripted.models())


def test_a_list_whose_offsets_never_end_is_an_error(
    scripted: PMEClient, api: mocking.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pme_airflow.api.model_pages._MAX_PAGES", 20)
    offsets = iter(range(1000))
    api.post(GRAPH, json=lambda *_: {"data": {"models": {"results": [], "nextOffset": str(next(offsets))}}})
    with pytest.raises(PMEProtocolError, match="does not end"):
        list(scripted.models())
    assert next(offsets) == 20
