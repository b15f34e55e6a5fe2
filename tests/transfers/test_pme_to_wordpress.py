"""The WordPress transfer makes a target of its connection and pages."""

from __future__ import annotations

from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

import pytest
import requests

from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.transfers.pme_to_wordpress import PMEToWordPressOperator

MODEL = "SxQL3iGyoDo"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that are asked for; each leads to one site."""
    found: list[str] = []

    def session_of(conn_id: str) -> tuple[requests.Session, str]:
        found.append(conn_id)
        return requests.Session(), "https://cms.example/"

    monkeypatch.setattr("pme_airflow.hooks.http.http_session", session_of)
    return found


def operator(pages: Any = MappingProxyType({MODEL: 42}), **options: Any) -> PMEToWordPressOperator:
    return PMEToWordPressOperator(task_id="show", links=[], pages=pages, **options)


def test_the_target_is_made_of_the_connection(asked: list[str]) -> None:
    target = operator(wordpress_conn_id="cms").make_target(None)
    assert asked == ["cms"]
    assert target.name == "wordpress:https://cms.example"
    assert target.slots({"model_id": MODEL}) == [f"pages/42#{MODEL}"]


@pytest.mark.parametrize("pages", ["{{ params.pages }}", "{{ params.pages | tojson }}"])
def test_pages_may_be_a_whole_template(asked: list[str], pages: str) -> None:
    made = operator(pages)
    made.render_template_fields({"params": {"pages": {MODEL: 42}}})
    assert made.make_target(None).slots({"model_id": MODEL}) == [f"pages/42#{MODEL}"]


def test_pages_that_are_no_mapping_are_named(asked: list[str]) -> None:
    with pytest.raises(PMEInputError, match="pages: expected a mapping"):
        operator("42").make_target(None)


def test_defaults(asked: list[str]) -> None:
    with pytest.raises(SlotError, match="pages has no entry"):
        operator().make_target(None).slots({"model_id": "yyHDFKzPzvN"})
    assert asked == ["wordpress_default"]


def test_the_type_is_passed_on(asked: list[str]) -> None:
    assert operator(kind="tours").make_target(None).slots({"model_id": MODEL}) == [f"tours/42#{MODEL}"]


def test_pages_connection_and_type_are_templated() -> None:
    assert {"links", "models", "pages", "wordpress_conn_id", "kind"} <= set(PMEToWordPressOperator.template_fields)


def test_pages_with_the_plugin_share_the_link_that_it_stores(asked: list[str]) -> None:
    target = operator().make_target(None)
    stored = {"mode": "plugin", "fingerprint": "sha256:a"}
    shown = [publication_of(f"pages/{page}#{MODEL}", details) for page in (42, 43) for details in ({}, stored)]
    assert [target.place(entry) for entry in shown] == [
        f"pages/42#{MODEL}", f"plugin/{MODEL}/sha256:a", f"pages/43#{MODEL}", f"plugin/{MODEL}/sha256:a",
    ]  # fmt: skip


def publication_of(slot: str, details: dict[str, Any]) -> Publication:
    at = datetime(2026, 11, 27, tzinfo=timezone.utc)
    return Publication("key", "site", slot, "link", 1, MODEL, "intranet", at, "dag/x/y/-1", details)
