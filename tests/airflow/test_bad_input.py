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
from pme_airflow.operators.pme import PMEMintLinksOperator, PMERevocationSweepOperator
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
