"""A sweep of ten thousand leaked tokens over a network that fails in every way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.playground.home import SECRET
from pme_airflow.ledger import flags
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.rooms import demand, mint, rows, services_at, sweep
from tests.support.scale import scaled

LEAKED = scaled(400, 10_000)
BYSTANDERS = LEAKED // 10
FAULTS = {"bad_gateway": 0.1, "lost_after": 0.05, "lost_before": 0.05, "throttled": 0.05, "lying_false": 0.02}


@pytest.mark.timeout(scaled(300, 3000))
def test_nothing_is_left_alive_but_what_is_listed_as_irrevocable(tmp_path: Path) -> None:
    world = World(Settings(client_secret=SECRET, models=sample_models(LEAKED + BYSTANDERS)))
    models = list(world.models)
    with serving(world) as address:
        services = services_at(address, f"sqlite:///{tmp_path}/ledger.db", SECRET, batch_size=25, max_concurrency=16)
        database = services.database
        half = LEAKED // 2
        mint(services, "short", models[:half], demand("12h", audience="leaked"))
        mint(services, "long", models[half:LEAKED], demand("24h", audience="leaked"))
        mint(services, "bystanders", models[LEAKED:], demand(audience="kept"))
        world.set_faults(FAULTS)
        with database.write(RunContext("cli")) as tx:
            flags.flag(tx, "all of it leaked", audiences=["leaked"])
        begun = world.now()
        outcome = sweep(services)
        world.set_faults({})
        listed = {row.fingerprint for row in rows(services, "live") if row.irrevocable}
        kept = set(models[LEAKED:])
        alive = world.alive()
        assert [t for t in alive if t.model_id not in kept and fingerprint(AccessToken(t.token)) not in listed] == []
        assert {t.model_id for t in alive} >= kept
        died = {t.model_id: (t.revoked_at - begun).total_seconds() for t in world.tokens.values() if t.revoked_at}
        longer = sorted(died[model] for model in models[half:LEAKED] if model in died)
        shorter = sorted(died[model] for model in models[:half] if model in died)
        report = {"flagged": LEAKED, "revoked": len(outcome.revoked), "irrevocable": len(listed),
                  "seconds": round(max(died.values()), 1), "median of the longer-lived": round(longer[len(longer) // 2], 1),
                  "median of the shorter-lived": round(shorter[len(shorter) // 2], 1)}  # fmt: skip
        print(json.dumps(report))
        assert longer[len(longer) // 2] < shorter[len(shorter) // 2]
