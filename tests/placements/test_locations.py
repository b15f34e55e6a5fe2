"""Two targets that would write the same slots have one location, however they are written."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.placements.locations import location_of

PATHS = ["/srv/embeds", "/srv/embeds/", "file:///srv/embeds", "/srv//embeds", "/srv/x/../embeds"]


@pytest.mark.parametrize("path", PATHS)
def test_one_folder_is_one_location(path: str) -> None:
    assert location_of("object_storage", {"path": path}) == location_of("object_storage", {"path": PATHS[0]})


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("slack", {"channel": "#tours"}, {"channel": "Tours", "slack_conn_id": "slack_api_default"}),
        ("wordpress", {"pages": {}}, {"type": "pages", "wordpress_conn_id": "wordpress_default"}),
        ("http", {"endpoint": "items/{model_id}"}, {"endpoint": "/items/{model_id}/", "http_conn_id": "http_default"}),
        ("custom", {"class": "a.B", "options": {"x": 1, "y": 2}}, {"class": "a.B", "options": {"y": 2, "x": 1}}),
        ("object_storage", {"path": "s3://bucket/a", "conn_id": ""}, {"path": "s3://bucket/a/"}),
    ],
)
def test_defaults_and_spellings_do_not_matter(kind: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    assert location_of(kind, first) == location_of(kind, second)


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("slack", {"channel": "#tours"}, {"channel": "#tours", "slack_conn_id": "other"}),
        ("slack", {"channel": "#tours"}, {"channel": "#other"}),
        ("wordpress", {}, {"type": "posts"}),
        ("wordpress", {}, {"wordpress_conn_id": "other"}),
        ("http", {"endpoint": "a"}, {"endpoint": "b"}),
        ("http", {"endpoint": "a"}, {"endpoint": "a", "http_conn_id": "other"}),
        ("custom", {"class": "a.B"}, {"class": "a.C"}),
        ("custom", {"class": "a.B", "options": {"x": 1}}, {"class": "a.B", "options": {"x": 2}}),
        ("object_storage", {"path": "s3://bucket/a"}, {"path": "s3://bucket/b"}),
        ("object_storage", {"path": "s3://bucket/a"}, {"path": "gs://bucket/a"}),
        ("object_storage", {"path": "s3://bucket/a"}, {"path": "s3://bucket/a", "conn_id": "other"}),
        ("object_storage", {"path": "/srv/A"}, {"path": "/srv/a"}),
    ],
)
def test_different_places_are_different_locations(kind: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    assert location_of(kind, first) != location_of(kind, second)
