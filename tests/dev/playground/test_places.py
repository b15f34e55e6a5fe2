"""The playground's targets are served with their connections; without a WordPress the reason is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
import yaml
from slack_sdk import WebClient

from pme_airflow.dev.playground import places
from pme_airflow.dev.playground.home import PlaygroundError
from pme_airflow.dev.playground.places import Places, serving_places, serving_showroom

MODELS = {"Model000000": "Hall"}


def test_without_wordpress_the_channel_is_the_target_and_the_reason_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.wordpress, "missing", lambda: "there is no PHP")
    with serving_places(MODELS) as found:
        assert (found.page, found.why, found.site) == (None, "there is no PHP", None)
        assert yaml.safe_load(found.targets) == [{"kind": "slack", "channel": "#tours"}]
        assert list(found.environment) == ["AIRFLOW_CONN_SLACK_API_DEFAULT"]
        fields = json.loads(found.environment["AIRFLOW_CONN_SLACK_API_DEFAULT"])
        client = WebClient(fields["password"], base_url=fields["extra"]["base_url"])
        client.chat_postMessage(channel="#tours", text="x", blocks=[])
        assert "<h1># tours</h1>" in requests.get(found.channel, timeout=20).text


def test_a_wordpress_that_does_not_start_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise PlaygroundError("no port")

    monkeypatch.setattr(places.wordpress, "missing", lambda: None)
    monkeypatch.setattr(places.wordpress, "serving_wordpress", broken)
    with serving_places(MODELS) as found:
        assert found.why == "it did not start (PlaygroundError)"
        assert "wordpress" not in found.targets


@pytest.mark.parametrize("page", [None, "http://127.0.0.1:1/?page_id=4"])
def test_the_showroom_shows_the_targets_that_there_are(tmp_path: Path, page: str | None) -> None:
    shown = Places("http://127.0.0.1:1/", page, "", {}, "")
    with serving_showroom(tmp_path / "published", shown) as address:
        (tmp_path / "published" / "index.html").write_text("the gallery")
        html = requests.get(address, timeout=20).text
        assert requests.get(f"{address}/gallery/index.html", timeout=20).text == "the gallery"
        assert requests.get(f"{address}/gallery/../secret", timeout=20).status_code == 404
    assert "/gallery/index.html" in html
    assert shown.channel in html
    assert ("WordPress page" in html) is (page is not None)
