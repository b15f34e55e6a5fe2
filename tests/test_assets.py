"""The assets equal those that Airflow makes of their URIs."""

from __future__ import annotations

import pytest
from airflow.sdk import Asset, AssetWatcher

from pme_airflow.assets import leaks_asset, links_asset, revoked_asset
from pme_airflow.triggers.reports import PMEReportTrigger


@pytest.mark.parametrize("audience", ["default", "broker-portal", "a.b_C", "50 %"])
def test_the_assets_of_an_audience_are_those_of_their_uris(audience: str) -> None:
    for made, uri in (
        (links_asset(audience), f"pme://links/{audience}"),
        (revoked_asset(audience), f"pme://revoked/{audience}"),
    ):
        assert (made, made.name, made.uri, hash(made)) == (Asset(uri), uri, Asset(uri).uri, hash(Asset(uri)))


def test_the_asset_of_leaks_is_that_of_its_uri() -> None:
    assert leaks_asset() == Asset("pme://leaks")
    assert leaks_asset().name == "pme://leaks"


def test_the_asset_of_leaks_takes_watchers() -> None:
    watcher = AssetWatcher(name="reports", trigger=PMEReportTrigger("/srv/reports"))
    assert leaks_asset(watchers=[watcher]).watchers == [watcher]
