"""What the operators refuse before any request, and what stays whole where a target fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.dev.emulator import World
from pme_airflow.operators.pme import PMEFlagTokensOperator, PMEMintLinksOperator, PMERevocationSweepOperator
from pme_airflow.transfers.pme_to_object_storage import PMEToObjectStorageOperator
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment

MODEL = next(iter(MODELS))


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str) -> dict[str, Any]:
    """A PME connection in the environment, and an Airflow home of the test's own."""
    fields = {"login": world.settings.client_id, "password": SECRET, "host": address}
    pme_in_environment(monkeypatch, tmp_path, **fields)
    return fields


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"models": []}, "models"),
        ({"models": ["short"]}, "models"),
        ({"models": [MODEL, 42]}, "models"),
        ({"models": {"query": ""}}, "models"),
        ({"models": [MODEL], "valid_for": "25h"}, "valid_for"),
        ({"models": [MODEL], "valid_for": "0s"}, "valid_for"),
        ({"models": [MODEL], "valid_for": "3 fortnights"}, "valid_for"),
        ({"models": [MODEL], "valid_for": "2h", "renew_before": "2h"}, "renew_before"),
        ({"models": [MODEL], "audience": "a b"}, "audience"),
    ],
)
def test_what_cannot_be_right_is_refused_before_any_request(arguments: Any, said: str, world: World) -> None:
    with pytest.raises(AirflowFailException, match=said):
        PMEMintLinksOperator(task_id="mint", **arguments).execute({})
    assert world.counts == {}


@pytest.mark.parametrize("host", ["http://api.example.test", "ftp://127.0.0.1", "https://a:b@api.example.test"])
def test_a_host_that_would_leak_the_secret_is_refused(
    host: str, connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pme_in_environment(monkeypatch, tmp_path, **{**connection, "host": host})
    with pytest.raises(AirflowFailException, match="API address"):
        PMEMintLinksOperator(task_id="mint", models=[MODEL]).execute({})


def test_a_flag_with_nothing_in_it_is_refused() -> None:
    with pytest.raises(AirflowFailException, match="nothing in it"):
        PMEFlagTokensOperator(task_id="flag").execute({})


def test_a_wrong_part_of_a_flag_fails_the_task_and_the_rest_is_flagged(world: World) -> None:
    (item,) = PMEMintLinksOperator(task_id="mint", models=[MODEL]).execute({})
    flag = PMEFlagTokensOperator(task_id="flag", tokens=[item["fingerprint"]], models=["short"], sweep=True)
    with pytest.raises(AirflowFailException, match="model"):
        flag.execute({})
    assert world.alive() == []


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """A folder in which nothing can be written, not by root either: what is to be written is a folder already."""
    for name in ("link.json", "embed.html"):
        (folder / name).rename(folder / f"{name}.kept")
        (folder / name).mkdir()
    yield
    for name in ("link.json", "embed.html"):
        (folder / name).rmdir()
        (folder / f"{name}.kept").rename(folder / name)


def test_a_path_that_cannot_be_written_leaves_the_mint_recorded_and_the_old_link_alive(
    tmp_path: Path, world: World
) -> None:
    mint = PMEMintLinksOperator(task_id="mint", models=[MODEL])
    publish = PMEToObjectStorageOperator(task_id="publish", links=mint.execute({}), path=f"file://{tmp_path}/out")
    publish.execute({})
    folder = tmp_path / "out" / MODEL
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    old = json.loads(before["link.json"])["access_token"]
    with unwritable(folder):
        publish.links = mint.execute({})
        with pytest.raises(AirflowException, match=f"{MODEL}.*cannot be written"):
            publish.execute({})
    PMERevocationSweepOperator(task_id="sweep").execute({})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert old in {issued.token for issued in world.alive()}


def test_an_item_that_is_none_is_refused_with_the_cure() -> None:
    publish = PMEToObjectStorageOperator(task_id="publish", links="{{ mint }}", path="file:///tmp/x")
    with pytest.raises(AirflowFailException, match=r"mint\.output"):
        publish.execute({})
