"""Pages in object storage: whole files, not cached on S3, and no old link in a versioned bucket."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.former_names import move_former_publications
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.base import SlotCheck, SlotResult
from pme_airflow.targets.object_storage import ObjectStorageTarget
from pme_airflow.targets.pages import source
from tests.conftest import MODELS
from tests.support.links import TOKEN_A, TOKEN_B, shown_link
from tests.support.places import BucketPlace, bucket_place
from tests.support.rooms import mint, publish, rename

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


# ----------------------------------------------------------------------- slots


def test_files_are_whole_and_leave_no_drafts(folder: Path, services: Services, world: World) -> None:
    publish(services, "monday", local_target(folder), mint(services, "monday", [ONE]).items)
    found = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert found == ["embed.html", "index.html", "link.json", "pme-embed.js"]
    record = json.loads((folder / ONE / "link.json").read_text())
    assert set(record) == {"model_id", "audience", "link", "access_token", "valid_until"}
    assert record["access_token"] == next(iter(world.tokens))
    assert record["valid_until"].endswith("Z")


def test_name_is_the_place_and_former_names_are_its_spellings(folder: Path) -> None:
    from airflow.sdk import ObjectStoragePath

    for end in ("", "/", "/./"):
        target = ObjectStorageTarget(ObjectStoragePath(f"file://{folder}{end}"))
        assert target.name == f"object_storage:file://{folder}"
        assert target.former_names == (f"object_storage:file://{folder}{end}".rstrip("/"),)


def test_publications_of_an_earlier_version_are_taken_over(folder: Path, services: Services) -> None:
    from airflow.sdk import ObjectStoragePath

    target = ObjectStorageTarget(ObjectStoragePath(f"file://{folder}/./"))
    items = mint(services, "monday", [ONE]).items
    publish(services, "monday", target, items)
    rename(services, target.name, target.former_names[0])
    assert move_former_publications(services, RunContext("dag/tuesday/publish/-1"), target) == 1
    outcome = publish(services, "tuesday", target, items)
    assert (outcome.published.total, outcome.unchanged.total) == (0, 1)


@pytest.mark.parametrize("slot", ["../escaped", "..", ".", "", "a/b", "/etc", "a\\b", "-a", "a\n", "x" * 101, "ü"])
@pytest.mark.parametrize("operation", ["put", "read_back", "take_away"])
def test_slot_that_is_no_folder_name_is_refused(folder: Path, slot: str, operation: str) -> None:
    target = local_target(folder)
    calls = {
        "put": lambda: target.put(slot, shown_link(), {}),
        "read_back": lambda: target.read_back(slot, shown_link(), {}),
        "take_away": lambda: target.take_away(slot, {}),
    }
    with pytest.raises(SlotError, match="not the name of a folder") as failure:
        calls[operation]()
    assert failure.value.permanent
    assert list(folder.parent.rglob("*.json")) == []


def test_link_of_another_scheme_is_not_written(folder: Path) -> None:
    link = replace(shown_link(), url=SecretStr("javascript:alert(1)"))
    with pytest.raises(SlotError, match="not an https address"):
        local_target(folder).put(ONE, link, {})
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize("arguments", [{"sdk_url": "javascript:alert(1)"}, {"sdk_url": "http://cdn.example/sdk.js"}])
def test_sdk_at_an_unsafe_address_is_refused_at_once(folder: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(PMEInputError, match="sdk_url"):
        local_target(folder, **arguments)


def test_nothing_in_a_models_name_is_markup(folder: Path, services: Services, world: World) -> None:
    world.models[ONE]["name"] = 'Lobby "A" & <script>alert(1)</script> \u202eevil'
    publish(services, "monday", local_target(folder), mint(services, "monday", [ONE]).items)
    for page in (folder / ONE / "embed.html", folder / "index.html"):
        text = page.read_text()
        assert "<script>alert" not in text
        assert "Lobby &#34;A&#34; &amp; &lt;script&gt;" in text
        assert "\u202e" not in text


@pytest.mark.parametrize("name", ["x" * 10_000, "two\nlines", "\x00\x1b[31m", "[/nope]", "{{ 7 * 7 }}", "😀"])
def test_name_of_any_kind_is_shown_on_one_line(folder: Path, services: Services, world: World, name: str) -> None:
    world.models[ONE]["name"] = name
    publish(services, "monday", local_target(folder), mint(services, "monday", [ONE]).items)
    (title,) = re.findall(r"<title>(.*?)</title>", (folder / ONE / "embed.html").read_text(), re.DOTALL)
    assert len(html.unescape(title)) <= 120
    assert title.isprintable()
    assert title.strip()
    assert "49" not in title


def test_page_is_written_before_the_link_that_open_pages_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = local_target(folder)
    written: list[str] = []
    monkeypatch.setattr(target._files, "write", lambda path, text: bool(written.append(path)))
    target.put(ONE, shown_link(), {})
    assert written == [f"{ONE}/embed.html", f"{ONE}/link.json"]


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("link.json", "{", "link.json does not hold"),
        ("link.json", "[]", "link.json does not hold"),
        ("link.json", "[" * 100_000, "link.json does not hold"),
        ("link.json", '{"access_token": 5}', "link.json does not hold"),
        ("link.json", '{"access_token": "other"}', "link.json does not hold"),
        ("embed.html", "<html>", "embed.html does not show"),
    ],
)
def test_files_that_another_program_changed_are_a_temporary_failure(
    folder: Path, file: str, content: str, problem: str
) -> None:
    target = local_target(folder)
    result = target.put(ONE, shown_link(), {})
    target.read_back(ONE, shown_link(), result.details)
    (folder / ONE / file).write_text(content)
    with pytest.raises(SlotError, match=problem) as failure:
        target.read_back(ONE, shown_link(), result.details)
    assert not failure.value.permanent
    (folder / ONE / file).unlink()
    with pytest.raises(SlotError, match=problem):
        target.read_back(ONE, shown_link(), result.details)


def test_result_of_local_files_names_the_model_and_holds_no_link(folder: Path) -> None:
    result = local_target(folder).put(ONE, shown_link(name="Great Hall"), {})
    digest = fingerprint(AccessToken(TOKEN_A))
    assert result == SlotResult({"folder": f"file://{folder}/{ONE}", "name": "Great Hall", "fingerprint": digest})


def test_cleared_slot_loses_its_files_and_nothing_else(folder: Path) -> None:
    target = local_target(folder)
    target.put(ONE, shown_link(), {})
    (folder / ONE / "kept.txt").write_text("not ours")
    for _ in range(2):  # the second time there is nothing to clear
        assert target.take_away(ONE, {}) == SlotResult()
        assert [path.name for path in (folder / ONE).iterdir()] == ["kept.txt"]


# --------------------------------------------------------------------- gallery


def with_pages(folder: Path, *slots: str) -> ObjectStorageTarget:
    target = local_target(folder)
    for slot in slots:
        target.put(slot, shown_link(model_id=slot), {})
    return target


def test_gallery_lists_the_slots_that_show_a_link(folder: Path) -> None:
    with_pages(folder, ONE, TWO, "Model000009").finish(
        [shown(ONE, "Hall"), shown(TWO), shown("Model000009", "Gone", link_id="")]
    )
    page = (folder / "index.html").read_text()
    assert "2 spaces" in page
    assert f'<a href="{ONE}/embed.html"><bdi>Hall</bdi>' in page
    assert f"<bdi>{TWO}</bdi><small>{TWO}, intranet, published 2026-11-26 02:00 UTC</small>" in page
    assert "Gone" not in page


def test_gallery_of_one_space_is_singular(folder: Path) -> None:
    with_pages(folder, ONE).finish([shown(ONE)])
    assert "1 space," in (folder / "index.html").read_text()


def test_gallery_leaves_out_a_space_whose_page_was_deleted(folder: Path) -> None:
    target = with_pages(folder, ONE, TWO)
    (folder / TWO / "embed.html").unlink()
    target.finish([shown(ONE), shown(TWO)])
    page = (folder / "index.html").read_text()
    assert "1 space," in page
    assert TWO not in page


def test_gallery_leaves_out_what_is_no_folder(folder: Path) -> None:
    local_target(folder).finish([shown("../escaped"), shown("javascript:alert(1)")])
    assert "0 spaces" in (folder / "index.html").read_text()


def test_model_that_is_not_listed_any_more_leaves_the_gallery(folder: Path, services: Services) -> None:
    target = local_target(folder)
    publish(services, "monday", target, mint(services, "monday", [ONE, TWO]).items)
    Publisher(services, RunContext("dag/tuesday/publish/-1"), target).retire_others("intranet", [TWO])
    assert ONE not in (folder / "index.html").read_text()
    assert not (folder / ONE).exists()


def test_script_of_an_older_version_is_replaced_and_the_same_one_is_left(folder: Path) -> None:
    folder.mkdir()
    script = folder / "pme-embed.js"
    for older in ("// of an older version", source("pme-embed.js") + "// and more", ""):
        script.write_text(older)
        local_target(folder).finish([])
        assert script.read_text() == source("pme-embed.js")
    before = script.stat().st_ino
    local_target(folder).finish([])
    assert script.stat().st_ino == before


# ----------------------------------------------------------- are they still shown


def published(services: Services, target: ObjectStorageTarget, *models: str) -> list[Publication]:
    publish(services, "monday", target, mint(services, "monday", list(models)).items)
    return recorded(services, target)


def recorded(services: Services, target: ObjectStorageTarget) -> list[Publication]:
    with services.database.read() as tx:
        return publications.shown_at(tx, target.name)


def checked_again(entries: list[Publication], check: SlotCheck) -> list[Publication]:
    """The publications with the details that a check recorded."""
    return [replace(entry, details=check.details.get(entry.slot, entry.details)) for entry in entries]


@pytest.fixture(params=["files", "bucket"])
def anywhere(request: pytest.FixtureRequest, folder: Path) -> ObjectStorageTarget:
    if request.param == "files":
        return local_target(folder)
    place: BucketPlace = request.getfixturevalue("bucket")
    return place.target()


def test_files_are_read_once_and_then_only_listed(
    anywhere: ObjectStorageTarget, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = published(services, anywhere, ONE, TWO)
    first = anywhere.check_shown(entries)
    assert first.lost == []
    assert set(first.details) == {ONE, TWO}
    assert [entry.details["fingerprint"] for entry in entries] == [d["fingerprint"] for d in first.details.values()]
    monkeypatch.setattr(anywhere._files, "read", lambda path, limit: pytest.fail("read although nothing changed"))
    assert anywhere.check_shown(checked_again(entries, first)) == SlotCheck([], {})


@pytest.mark.parametrize("file", ["embed.html", "link.json"])
def test_deleted_file_is_a_lost_slot(anywhere: ObjectStorageTarget, services: Services, file: str) -> None:
    entries = published(services, anywhere, ONE, TWO)
    entries = checked_again(entries, anywhere.check_shown(entries))
    (anywhere._root / TWO / file).unlink()
    assert anywhere.check_shown(entries) == SlotCheck([TWO], {})


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("embed.html", "<p>Closed for the winter</p>"),
        ("link.json", "{}"),
        ("link.json", json.dumps({"access_token": TOKEN_B})),
        ("embed.html", f'<iframe src="https://my.matterport.com/show?m={ONE}&amp;auth=Bearer+{TOKEN_B}"></iframe>'),
    ],
)
def test_file_with_another_content_is_a_lost_slot(
    anywhere: ObjectStorageTarget, services: Services, file: str, text: str
) -> None:
    entries = published(services, anywhere, ONE)
    for known in (entries, checked_again(entries, anywhere.check_shown(entries))):
        anywhere._files.write(f"{ONE}/{file}", text)
        assert anywhere.check_shown(known) == SlotCheck([ONE], {})
        publish(services, "again", anywhere, mint(services, "again", [ONE]).items)


def test_file_that_was_written_again_as_it_was_is_shown(anywhere: ObjectStorageTarget, services: Services) -> None:
    entries = published(services, anywhere, ONE)
    entries = checked_again(entries, anywhere.check_shown(entries))
    text = anywhere._files.read(f"{ONE}/link.json", 10_000)
    assert text is not None
    anywhere._files.write(f"{ONE}/link.json", text + "\n")
    check = anywhere.check_shown(entries)
    assert check.lost == []
    assert check.details[ONE]["seen"] != entries[0].details["seen"]


def test_lost_slot_is_put_again_at_the_next_run(folder: Path, services: Services) -> None:
    target = local_target(folder)
    items = mint(services, "monday", [ONE, TWO]).items
    publish(services, "monday", target, items)
    (folder / ONE / "embed.html").unlink()
    outcome = publish(services, "keeper", target, items)
    assert [entry["slot"] for entry in outcome.published] == [ONE]
    assert (folder / ONE / "embed.html").exists()


def test_slot_of_an_earlier_version_is_only_looked_for(folder: Path, services: Services) -> None:
    target = local_target(folder)
    (entry,) = published(services, target, ONE)
    old = replace(entry, details={"folder": "x", "name": "y"})
    assert set(target.check_shown([old]).details) == {ONE}
    (folder / ONE / "link.json").unlink()
    assert target.check_shown([old]).lost == [ONE]


def test_check_reads_at_most_fifty_changed_slots(folder: Path, services: Services) -> None:
    target = local_target(folder)
    models = [f"Slot{number:03d}" for number in range(60)]
    entries = []
    for model_id in models:
        details = target.put(model_id, shown_link(model_id=model_id), {}).details
        entries.append(replace(shown(model_id), details=details))
    first = target.check_shown(entries)
    assert len(first.details) == 50
    assert len(target.check_shown(checked_again(entries, first)).details) == 10


def test_store_without_a_cheap_listing_is_not_checked() -> None:
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.io import attach

    attach("memory", fs=fsspec.filesystem("memory"))
    target = ObjectStorageTarget(ObjectStoragePath("memory://tours/out"))
    details = target.put(ONE, shown_link(), {}).details
    target.read_back(ONE, shown_link(), details)
    assert target.check_shown([replace(shown(ONE), details=details)]) == SlotCheck([], {})
    target.take_away(ONE, {})
    with pytest.raises(SlotError, match="does not hold"):
        target.read_back(ONE, shown_link(), details)


# -------------------------------------------------------------------- S3 options


def test_files_in_a_bucket_are_not_cached_and_have_their_content_types(bucket: BucketPlace, services: Services) -> None:
    assert publish(services, "monday", bucket.target(), mint(services, "monday", [ONE]).items).failed == []
    types = {f"out/{ONE}/embed.html": "text/html; charset=utf-8", f"out/{ONE}/link.json": "application/json",
             "out/index.html": "text/html; charset=utf-8", "out/pme-embed.js": "text/javascript"}  # fmt: skip
    for key, content_type in types.items():
        head = bucket.client.head_object(Bucket="tours", Key=key)
        assert (head["CacheControl"], head["ContentType"]) == ("no-store", content_type)


def test_storage_options_are_for_s3_alone(folder: Path) -> None:
    target = local_target(folder, storage_options={"ACL": "private"})
    with pytest.raises(PMEInputError, match="storage_options: they apply to paths in S3"):
        target.put(ONE, shown_link(), {})
