from __future__ import annotations

import pytest

from pme_airflow.ledger.database import Database
from pme_airflow.lifecycle.paste import MAX_PASTE_BYTES
from tests.ledger.read_model.conftest import show_in
from tests.plugin.conftest import Login


def test_known_links_are_named_with_what_a_flag_would_darken(login: Login, ledger: Database) -> None:
    row = show_in(ledger, "page 1")
    unknown = f"sha256:{9:064x}"
    answer = login("user").post("/api/fingerprint", json={"text": f"{row.fingerprint}\n{unknown}"}).json()
    (link,) = answer["links"]
    assert (link["link_id"], link["slots"], link["state"]) == (row.link_id, 1, "live")
    assert set(answer["fingerprints"]) == {row.fingerprint, unknown}
    assert answer["unknown"] == [unknown]


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_a_paste_of_nothing_is_a_sentence(login: Login, text: str) -> None:
    response = login("user").post("/api/fingerprint", json={"text": text})
    assert response.status_code == 422
    assert "Paste tokens" in response.json()["detail"]


@pytest.mark.parametrize("size", [MAX_PASTE_BYTES + 1, 5_000_000, 8_000_000])
def test_a_paste_that_is_too_long_says_what_to_do(login: Login, size: int) -> None:
    response = login("user").post("/api/fingerprint", json={"text": "x" * size})
    assert response.status_code == 413
    assert "PME_REPORTS" in response.json()["detail"]
