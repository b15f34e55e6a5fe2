"""The transfer to object storage: files under a path, and the task's link to the gallery."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException

from pme_airflow.hooks.pme import PMEHook
from pme_airflow.transfers.pme_to_object_storage import PMEGalleryLink, PMEToObjectStorageOperator
from tests.conftest import MODELS
from tests.support.places import bucket_place
from tests.support.rooms import rename
from tests.support.task import task_context
from tests.transfers.conftest import MintItems

ONE = next(iter(MODELS))


@task
def options_of_today() -> dict[str, str]:
    return {}


def to_storage(links: Any, **arguments: Any) -> PMEToObjectStorageOperator:
    return PMEToObjectStorageOperator(task_id="publish", links=links, audience="intranet", **arguments)


def run(operator: PMEToObjectStorageOperator) -> dict[str, Any]:
    return operator.execute(task_context(None, operator))


def test_files_are_written_under_the_path(tmp_path: Path, mint_items: MintItems) -> None:
    run(to_storage(mint_items(ONE), path=f"file://{tmp_path}/out", sdk_url="/sdk/index.js", sdk_key="a-key"))
    page = (tmp_path / "out" / ONE / "embed.html").read_text()
    assert 'data-pme-sdk="/sdk/index.js"' in page
    assert 'data-pme-sdk-key="a-key"' in page
    assert (tmp_path / "out" / "index.html").exists()


def test_pages_without_an_sdk_name_none(tmp_path: Path, mint_items: MintItems) -> None:
    run(to_storage(mint_items(ONE), path=f"file://{tmp_path}/out"))
    assert "data-pme-sdk" not in (tmp_path / "out" / ONE / "embed.html").read_text()


def test_connection_is_used(mint_items: MintItems, monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket_place(monkeypatch.setenv) as place:
        run(to_storage(mint_items(ONE), path="s3://tours/out", conn_id=place.conn_id))
        assert ONE in place.shown(ONE)


def test_path_connection_and_address_are_templated() -> None:
    assert {"path", "conn_id", "public_url", "links"} <= set(PMEToObjectStorageOperator.template_fields)


@pytest.mark.parametrize(
    ("public_url", "link"),
    [("https://tours.example/a/", "https://tours.example/a/index.html"), ("", "")],
)
def test_task_links_to_the_gallery_where_its_address_is_known(public_url: str, link: str) -> None:
    operator = to_storage([], path="file:///srv/embeds", public_url=public_url)
    (extra,) = operator.operator_extra_links
    assert isinstance(extra, PMEGalleryLink)
    assert (extra.name, extra.get_link(operator, ti_key=None)) == ("Gallery", link)


def test_options_of_the_operator_come_before_the_connections(
    mint_items: MintItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket_place(monkeypatch.setenv) as place:
        variable = f"AIRFLOW_CONN_{place.conn_id.upper()}"
        fields = json.loads(os.environ[variable])
        fields["extra"]["storage_options"] = {"ServerSideEncryption": "aws:kms", "StorageClass": "STANDARD_IA"}
        monkeypatch.setenv(variable, json.dumps(fields))
        options = {"ServerSideEncryption": "AES256", "ACL": "private"}
        run(to_storage(mint_items(ONE), path="s3://tours/out", conn_id=place.conn_id, storage_options=options))
        head = place.client.head_object(Bucket="tours", Key=f"out/{ONE}/link.json")
        assert (head["ServerSideEncryption"], head["StorageClass"]) == ("AES256", "STANDARD_IA")
    assert "storage_options" in PMEToObjectStorageOperator.template_fields


def test_options_that_cannot_be_right_are_refused(mint_items: MintItems, monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket_place(monkeypatch.setenv) as place, pytest.raises(AirflowFailException, match="ServerSide is unknown"):
        run(to_storage(mint_items(ONE), path=f"s3://{place.conn_id}@tours/out", storage_options={"ServerSide": "x"}))


def test_options_may_be_a_whole_template(mint_items: MintItems, monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket_place(monkeypatch.setenv) as place:
        path, options = f"s3://{place.conn_id}@tours/out", "{{ params.options }}"
        operator = to_storage(mint_items(ONE), path=path, storage_options=options)
        operator.render_template_fields({"params": {"options": {"ServerSideEncryption": "AES256"}}})
        run(operator)
        head = place.client.head_object(Bucket="tours", Key=f"out/{ONE}/link.json")
    assert head["ServerSideEncryption"] == "AES256"


def test_options_may_be_the_result_of_another_task(tmp_path: Path) -> None:
    with DAG("tours", schedule=None):
        operator = to_storage([], path=f"file://{tmp_path}/out", storage_options=options_of_today())
    assert operator.upstream_task_ids == {"options_of_today"}


def test_options_that_are_no_mapping_are_named(tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="storage_options: expected a mapping"):
        run(to_storage([], path=f"file://{tmp_path}/out", storage_options="AES256"))


def test_publications_of_an_earlier_version_are_taken_over(tmp_path: Path, mint_items: MintItems) -> None:
    """The name of the place is the same for the same place; an earlier version took the path as it was written."""
    items = mint_items(ONE)
    result = run(to_storage(items, path=f"file://{tmp_path}/out"))
    rename(PMEHook().services, result["target"], f"object_storage:file://{tmp_path}/./out")
    again = run(to_storage(items, path=f"file://{tmp_path}/./out"))
    assert (again["target"], again["counts"]["unchanged"]) == (result["target"], 1)
