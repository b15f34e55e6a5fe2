"""SIGKILL at random points of a rotation, each followed by a plain rerun."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import delete

from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.playground.home import SECRET, start_emulator, stop
from pme_airflow.ledger.tables import runs
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.databases import fresh
from tests.support.rooms import Shelf, demand, mint, publish, rows, services_at, sweep
from tests.support.scale import scaled

KILLS = scaled(12, 200)
MODELS = list(sample_models(12))


class Files(Shelf):
    """A shelf whose slots are files, so that they outlive the process that writes them."""

    def __init__(self, folder: Path) -> None:
        super().__init__("files")
        self.folder = folder

    def put(self, slot: str, link: Any, previous: Any) -> dict[str, Any]:
        draft = self.folder / f".{slot}.{os.getpid()}"
        draft.write_text(link.token.reveal())
        draft.rename(self.folder / slot)
        return {}

    def read_back(self, slot: str, link: Any, details: Any) -> None:
        assert (self.folder / slot).read_text() == link.token.reveal()


def services(address: str, ledger: str) -> Services:
    return services_at(address, ledger, SECRET, grace=timedelta(0), batch_size=3, max_concurrency=2)


def rotation(address: str, ledger: str, folder: Path, run: str, models_per_token: int = 1) -> None:
    made = services(address, ledger)
    outcome = mint(made, run, MODELS, demand(), models_per_token)
    publish(made, run, Files(folder), outcome.items)
    sweep(made)


def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.timeout(scaled(300, 3600))
@pytest.mark.parametrize(("kind", "models_per_token"), [("sqlite", 1), ("postgresql", 1), ("sqlite", 4)])
def test_a_killed_rotation_is_whole_after_a_plain_rerun(
    kind: str, models_per_token: int, servers: Callable[[str], str], tmp_path: Path
) -> None:
    ledger = fresh(servers(kind))
    emulator, address = start_emulator(tmp_path, "--models", str(len(MODELS)), "--latency", "0.01")
    folder = tmp_path / "slots"
    folder.mkdir()
    requests.post(f"{address}/_emulator/control", json={"shared_tokens": True}, timeout=30).raise_for_status()
    work = partial(rotation, address, ledger, folder, models_per_token=models_per_token)
    chance = random.Random(11)
    try:
        assert ended(forked(lambda: work("first"))) == 0
        begun = time.monotonic()
        assert ended(forked(lambda: work("second"))) == 0
        whole = time.monotonic() - begun
        killed = night = 0
        while killed < KILLS:
            night += 1
            a_day_passes(address, ledger)
            before = minted(address)
            pid = forked(lambda night=night: work(f"night{night}"))  # type: ignore[misc]
            time.sleep(chance.uniform(0.02, whole * 0.9))
            os.kill(pid, signal.SIGKILL)
            killed += ended(pid) == -signal.SIGKILL
            nobody_is_dark(address, folder)
            assert ended(forked(lambda night=night: work(f"night{night}"))) == 0  # type: ignore[misc]
            nobody_is_dark(address, folder)
            everything_is_known(address, ledger)
            again = {model: count - before[model] for model, count in minted(address).items()}
            assert max(again.values()) <= 2, "a model was minted for more often than runs reached it"
        print(json.dumps({"kind": kind, "killed": killed, "nights": night, "minted": sum(minted(address).values())}))
    finally:
        stop(emulator)


def a_day_passes(address: str, ledger: str) -> None:
    """What was under way a minute ago no longer runs at the same time as the next night's."""
    with services(address, ledger).database.write() as tx:
        tx.execute(delete(runs))


def truth(address: str) -> list[dict[str, Any]]:
    tokens: list[dict[str, Any]] = requests.get(f"{address}/_emulator/truth", timeout=30).json()["tokens"]
    return tokens


def minted(address: str) -> Counter[str]:
    return Counter(model for token in truth(address) for model in (token["model_id"], *token["more_models"]))


def nobody_is_dark(address: str, folder: Path) -> None:
    alive = {token["token"] for token in truth(address) if token["alive"]}
    assert [model for model in MODELS if (folder / model).read_text() not in alive] == []


def everything_is_known(address: str, ledger: str) -> None:
    made = services(address, ledger)
    known = rows(made)
    live = {row.fingerprint for row in known if row.state.value == "live"}
    hidden = Counter(
        min(t["model_id"], *t["more_models"], t["model_id"])
        for t in truth(address)
        if t["alive"] and fingerprint(AccessToken(t["token"])) not in live
    )
    cover = Counter(min(row.opens) for row in known if row.state.value in ("minting", "unaccounted"))
    assert not hidden - cover, "a live token is neither known nor covered"
