"""Pages in object storage: whole files, no-store on S3, and no old link in a versioned bucket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.object_storage import ObjectStorageTarget
from tests.conftest import MODELS
from tests.support.places import bucket_place
from tests.support.rooms import mint, publish

ONE = next(iter(MODELS))


def test_files_in_a_bucket_are_not_cached_and_are_of_their_type(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket_place(monkeypatch.setenv) as place:
        assert publish(services, "monday", place.target(), mint(services, "monday", [ONE]).items).failed == []
        head = place.client.head_object(Bucket="tours", Key=f"out/{ONE}/embed.html")
        assert head["CacheControl"] == "no-store"
        assert head["ContentType"].startswith("text/html")


def test_a_models_name_is_shown_and_nothing_in_it_is_heard(tmp_path: Path, services: Services, world: World) -> None:
    from airflow.sdk import ObjectStoragePath

    world.models[ONE]["name"] = 'Lobby "A" & <script>alert(1)</script> \u202eevil'
    target = ObjectStorageTarget(ObjectStoragePath(f"file://{tmp_path}/out"))
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    for page in (tmp_path / "out" / ONE / "embed.html", tmp_path / "out" / "index.html"):
        text = page.read_text()
        assert "<script>alert" not in text
        assert "Lobby &#34;A&#34; &amp; &lt;script&gt;" in text
        assert "\u202e" not in text


def test_files_are_whole_and_leave_no_drafts(tmp_path: Path, services: Services, world: World) -> None:
    from airflow.sdk import ObjectStoragePath

    target = ObjectStorageTarget(ObjectStoragePath(f"file://{tmp_path}/out"))
    publish(services, "monday", target, mint(services, "monday", [ONE]).items)
    found = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == ["embed.html", "index.html", "link.json", "pme-embed.js"]
    record = json.loads((tmp_path / "out" / ONE / "link.json").read_text())
    assert set(record) == {"model_id", "audience", "link", "access_token", "valid_until"}
    assert record["access_token"] == next(iter(world.tokens))
