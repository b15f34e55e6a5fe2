"""What people do within the time: reset the client secret, move to another client, purge the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from pme_airflow.errors import LedgerUnavailableError, PMEUnavailableError
from pme_airflow.ledger import audit
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.lifecycle.leak_response import LeakRequest, respond
from pme_airflow.lifecycle.reseal import reseal
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.simulation.outages import DAY, Plans
from tests.support.simulation.vendor import Connection

if TYPE_CHECKING:
    from tests.support.simulation.run import Simulation

__all__ = ["People"]

#: How often the ledger is purged, in seconds, and what is kept: of five seeds three purge seldom, and two often.
_SELDOM, _OFTEN = (30 * DAY, timedelta(days=90)), (7 * DAY, timedelta(days=30))
_PURGES = (_SELDOM, _SELDOM, _SELDOM, _OFTEN, _OFTEN)


class People:
    """Follows docs/how-to/rotate-the-secret.md and docs/how-to/ledger.md, each step as soon as it can be done."""

    def __init__(self, sim: Simulation, plans: Plans, seed: int) -> None:
        self._sim = sim
        self._plans = plans
        self._former: Connection | None = None
        self._moved = 0
        self._purge_every, self._kept = _PURGES[seed % len(_PURGES)]
        self._purged_at = 0.0

    def act(self) -> None:
        """Do what is next; a ledger or an API that is away is tried again later."""
        try:
            self._rotate_secret()
            self._change_client()
            self._purge()
        except (LedgerUnavailableError, PMEUnavailableError):
            return

    def _rotate_secret(self) -> None:
        sim, report, reset = self._sim, self._sim.report, self._plans.reset
        if reset is None or sim.now < reset.begin or report.resealed is not None:
            return
        before = sim.connection
        if report.reset_at is None:
            report.reset_at = sim.now
            sim.vendor.secrets[before.client_id] = f"{before.secret}, reset"
        if sim.now < reset.end:
            return
        if not sim.vendor.accepts(before):
            kept = before.seal_keys or (f"open:{before.secret}",)
            sim.connection = replace(before, secret=sim.vendor.secrets[before.client_id], seal_keys=kept)
        result = reseal(sim.services(), self._by_hand("reseal"))
        self._moved += result.moved
        report.unopened += result.unopened
        if result.promise_kept:
            own = tuple(key for key in sim.connection.seal_keys if not key.startswith("open:"))
            sim.connection = replace(sim.connection, seal_keys=own)
            report.resealed = self._moved

    def _change_client(self) -> None:
        sim, report, at = self._sim, self._sim.report, self._plans.change
        if at is None or sim.now < at or report.former_revoked is not None:
            return
        if self._former is None:
            self._former, report.changed_at = sim.connection, sim.now
            sim.connection = Connection("pme_new", "another-client", "the secret of another client")
            sim.vendor.secrets[sim.connection.client_id] = sim.connection.secret
        former = self._former
        shown = [token for wall in sim.walls for token in wall.shown.values()]
        if any(sim.vendor.minted_by[token] == former.client_id for token in shown):
            return
        self._flag(former)
        with sim.database.read() as tx:
            known = [row for row in audit.list_links(tx) if row.client_id == former.client_id]
        if any(row.state is State.LIVE for row in known):
            return
        report.former_revoked = sum(row.state is State.REVOKED and row.flagged_at is not None for row in known)
        fingerprints = {row.fingerprint for row in known}
        report.former_alive = sum(
            fingerprint(AccessToken(issued.token)) in fingerprints for issued in sim.vendor.world.alive()
        )

    def _flag(self, former: Connection) -> None:
        """Do ``pme-airflow ledger flag --conn-id … --audience intranet --sweep`` with the former connection."""
        request = LeakRequest(audiences=("intranet",), reason="moved to another client", sweep=True)
        response = respond(self._sim.services(former), self._by_hand("flag"), request)
        assert not response.problems, response.problems

    def _purge(self) -> None:
        """Do ``pme-airflow ledger purge --older-than 90d`` once a month, or with ``30d`` once a week."""
        sim = self._sim
        if sim.now - self._purged_at < self._purge_every:
            return
        sim.database.run(self._by_hand("purge"), lambda tx: audit.purge(tx, sim.truth.now() - self._kept))
        self._purged_at = sim.now

    def _by_hand(self, command: str) -> RunContext:
        return RunContext(f"cli/{command}/{self._sim.now:.0f}/-1")
