"""Pages in object storage: whole files, not cached on S3, and no old link in a versioned bucket."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.errors import SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.base import SlotResult
from pme_airflow.targets.object_storage import ObjectStorageTarget
from pme_airflow.targets.pages import source
from tests.conftest import MODELS
from tests.support.links import TOKEN_A, TOKEN_B, shown_link
from tests.support.places import BucketPlace, bucket_place
from tests.support.rooms import mint, publish

ONE, TWO = list(MODELS)[:2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def local_target(folder: Path, **arguments: Any) -> ObjectStorageTarget:
    from airflow.sdk import ObjectStoragePath

    return ObjectStorageTarget(ObjectStoragePath(f"file://{folder}"), **arguments)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketPlace]:
    with bucket_place(monkeypatch.setenv) as place:
        yield place


def shown(slot: str, name: str = "", link_id: str = "link-1") -> Publication:
    when = datetime(2026, 11, 26, 2, 0, 5, tzinfo=timezone.utc)
    return Publication("key", "target", slot, link_id, 1, slot, "intranet", when, "run", {"name": name} if name else {})


# ----------------------------------------------------------------- local files


def test_files_are_whole_and_leave_no_drafts(folder: Path, services: Services, world: World) -> None:
    publish(services, "monday", local_target(folder), mint(services, "monday", [ONE]).items)
    found = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert found == ["embed.html", "index.html", "link.json", "pme-embed.js"]
    record = json.loads((folder / ONE / "link.json").read_text())
    assert set(record) == {"model_id", "audience", "link", "access_token", "valid_until"}
    assert record["access_token"] == next(iter(world.tokens))
    assert record["valid_until"].endswith("Z")


def test_name_is_the_path_without_its_last_slash(folder: Path) -> None:
    from airflow.sdk import ObjectStoragePath

    names = {ObjectStorageTarget(ObjectStoragePath(f"file://{folder}{end}")).name for end in ("", "/")}
    assert names == {f"object_storage:file://{folder}"}


def test_nothing_in_a_models_name_is_markup(folder: Path, services: Services, world: World) -> None:
    world.models[ONE]["name"] = 'Lobby "A" & <script>alert(1)</script> \u202eevil'
    publish(services, "monday", local_target(folder), mint(services, "monday", [ONE]).items)
    for page in (folder / ONE / "embed.html", folder / "index.html"):
        text = page.read_text()
        assert "<script>alert" not in text
        assert "Lobby &#34;A&#34; &amp; &lt;script&gt;" in text
        assert "\u202e" not in text


def test_failed_write_leaves_the_old_file_and_no_draft(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = local_target(folder)
    target.put(ONE, shown_link(TOKEN_A), {})
    before = (folder / ONE / "embed.html").read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        target.put(ONE, shown_link(TOKEN_B), {})
    assert (folder / ONE / "embed.html").read_text() == before
    assert sorted(path.name for path in (folder / ONE).iterdir()) == ["embed.html", "link.json"]


def test_draft_of_a_killed_task_is_removed(folder: Path) -> None:
    (folder / ONE).mkdir(parents=True)
    draft = folder / ONE / ".link.json.0123.pme-tmp"
    draft.write_text("half a li")
    (folder / ONE / "kept.txt").write_text("not ours")
    local_target(folder).put(ONE, shown_link(), {})
    assert not draft.exists()
    assert (folder / ONE / "kept.txt").exists()


def test_page_is_written_before_the_link_that_open_pages_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = local_target(folder)
    written: list[str] = []
    replace = target._replace
    monkeypatch.setattr(target, "_replace", lambda path, text: (written.append(path.name), replace(path, text)))
    target.put(ONE, shown_link(), {})
    assert written == ["embed.html", "link.json"]


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("link.json", "{", "link.json is incomplete"),
        ("link.json", "[]", "link.json is incomplete"),
        ("link.json", '{"access_token": "other"}', "link.json holds another link"),
        ("embed.html", "<html>", "embed.html shows another link"),
    ],
)
def test_files_that_another_program_changed_are_a_temporary_failure(
    folder: Path, file: str, content: str, problem: str
) -> None:
    target = local_target(folder)
    result = SlotResult.of(target.put(ONE, shown_link(), {}))
    target.read_back(ONE, shown_link(), result.details)
    (folder / ONE / file).write_text(content)
    with pytest.raises(SlotError, match=problem) as failure:
        target.read_back(ONE, shown_link(), result.details)
    assert not failure.value.permanent


def test_result_of_local_files_names_the_model_and_holds_no_link(folder: Path) -> None:
    result = local_target(folder).put(ONE, shown_link(name="Great Hall"), {})
    assert result == SlotResult({"folder": f"file://{folder}/{ONE}", "name": "Great Hall"}, old_link_remains=False)


def test_cleared_slot_loses_its_files_and_nothing_else(folder: Path) -> None:
    target = local_target(folder)
    target.put(ONE, shown_link(), {})
    (folder / ONE / "kept.txt").write_text("not ours")
    for _ in range(2):  # the second time there is nothing to clear
        assert SlotResult.of(target.take_away(ONE, {})) == SlotResult()
        assert [path.name for path in (folder / ONE).iterdir()] == ["kept.txt"]


def test_gallery_lists_the_slots_that_show_a_link(folder: Path) -> None:
    local_target(folder).finish([shown(ONE, "Hall"), shown(TWO), shown("Model000009", "Gone", link_id="")])
    page = (folder / "index.html").read_text()
    assert "2 spaces" in page
    assert f'<a href="{ONE}/embed.html"><bdi>Hall</bdi>' in page
    assert f"<bdi>{TWO}</bdi><small>{TWO}, intranet, published 2026-11-26 02:00 UTC</small>" in page
    assert "Gone" not in page


def test_gallery_of_one_space_is_singular(folder: Path) -> None:
    local_target(folder).finish([shown(ONE)])
    assert "1 space," in (folder / "index.html").read_text()


def test_script_of_an_older_version_is_replaced_and_the_same_one_is_left(folder: Path) -> None:
    folder.mkdir()
    script = folder / "pme-embed.js"
    script.write_text("// of an older version")
    local_target(folder).finish([])
    assert script.read_text() == source("pme-embed.js")
    before = script.stat().st_ino
    local_target(folder).finish([])
    assert script.stat().st_ino == before


# ------------------------------------------------------------------------- S3


def test_files_in_a_bucket_are_not_cached_and_have_their_content_types(bucket: BucketPlace, services: Services) -> None:
    assert publish(services, "monday", bucket.target(), mint(services, "monday", [ONE]).items).failed == []
    types = {f"out/{ONE}/embed.html": "text/html; charset=utf-8", f"out/{ONE}/link.json": "application/json",
             "out/index.html": "text/html; charset=utf-8", "out/pme-embed.js": "text/javascript"}  # fmt: skip
    for key, content_type in types.items():
        head = bucket.client.head_object(Bucket="tours", Key=key)
        assert (head["CacheControl"], head["ContentType"]) == ("no-store", content_type)


def test_old_versions_are_deleted_with_the_links_in_them(bucket: BucketPlace) -> None:
    target = bucket.target()
    target.put(ONE, shown_link(TOKEN_A), {})
    bucket.client.put_object(Bucket="tours", Key=f"out/{ONE}/link.json.kept", Body=b"1")
    bucket.client.put_object(Bucket="tours", Key=f"out/{ONE}/link.json.kept", Body=b"2")
    result = target.put(ONE, shown_link(TOKEN_B), {})
    assert result == SlotResult({"folder": str(target._root / ONE), "name": "Hall"})
    assert TOKEN_A not in bucket.everything()
    kept = bucket.client.list_object_versions(Bucket="tours", Prefix=f"out/{ONE}/link.json.kept")["Versions"]
    assert len(kept) == 2  # of a file that is not ours


def test_old_versions_that_may_not_be_deleted_are_reported(
    bucket: BucketPlace, caplog: pytest.LogCaptureFixture
) -> None:
    target = bucket.target()
    target.put(ONE, shown_link(TOKEN_A), {})
    bucket.proxy.denies = lambda method, path, headers: method == "DELETE" and "versionId" in path
    assert target.put(ONE, shown_link(TOKEN_B), {}).old_link_remains
    assert "2 old versions still contain links" in caplog.text
    assert "s3:DeleteObjectVersion" in caplog.text
    cleared = target.take_away(ONE, {})
    assert cleared.old_link_remains


def test_old_versions_that_may_not_be_listed_are_named(bucket: BucketPlace, caplog: pytest.LogCaptureFixture) -> None:
    target = bucket.target()
    target.put(ONE, shown_link(TOKEN_A), {})
    bucket.proxy.denies = lambda method, path, headers: method == "GET" and "versions" in path
    target.put(ONE, shown_link(TOKEN_B), {})
    assert "s3:ListBucketVersions" in caplog.text


def test_cleared_slot_leaves_nothing_in_a_versioned_bucket(bucket: BucketPlace) -> None:
    target = bucket.target()
    target.put(ONE, shown_link(TOKEN_A), {})
    assert not target.take_away(ONE, {}).old_link_remains
    assert TOKEN_A not in bucket.everything()
