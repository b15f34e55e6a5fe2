"""Broken copies of the rules, each of which a strike must expose, and the scenarios that do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest import mock

from sqlalchemy import update

from pme_airflow.api.client import PMEClient
from pme_airflow.api.outcomes import NotRevoked, Revoked, Unknown
from pme_airflow.ledger import (
    audit,
    claims,
    mint_requests,
    publications,
    revocations,
    selections,
    sweep_queue,
)
from pme_airflow.ledger.migrations import steps
from pme_airflow.ledger.tables import links
from pme_airflow.lifecycle import clearing, mint_worker, retire, slot_worker, sweep
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.targets.base import SlotResult
from pme_airflow.targets.local_files import LocalFiles
from tests.support.crashes.seam import Strike
from tests.support.machine import MUTANTS

KILL, FAIL, FOR_GOOD = Strike.KILL, Strike.FAIL, Strike.FAIL_FOR_GOOD


@dataclass(frozen=True)
class Broken:
    """A broken copy of a rule.

    :param breaks: patches the rule while a block runs.
    :param scenario: the scenario that exposes it; ``two runs`` and ``migration`` are the special ones.
    :param strikes: how it is struck there.
    :param boundary: what the boundaries that expose it begin with; empty for any.
    :param elsewhere: whether the struck process is of another machine.
    """

    breaks: Callable[[], AbstractContextManager[Any]]
    scenario: str
    strikes: Sequence[Strike] = (KILL,)
    boundary: str = ""
    elsewhere: bool = False


def _changed(owner: Any, name: str, change: Callable[[Any], Any]) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: mock.patch.object(owner, name, change(getattr(owner, name)))


def _all(*patches: Callable[[], AbstractContextManager[Any]]) -> Callable[[], AbstractContextManager[Any]]:
    @contextmanager
    def together() -> Any:
        with ExitStack() as stack:
            for patch in patches:
                stack.enter_context(patch())
            yield

    return together


def _retires_first(original: Any) -> Any:
    def open_slots(tx: Any, target: str, wanted: Any, *rest: Any) -> Any:
        plans = original(tx, target, wanted, *rest)
        shown = [plan.previous.link_id for plan in plans.values() if plan.previous is not None]
        tx.execute(update(links).where(links.c.link_id.in_(shown)).values(retire_at=tx.now()))
        return plans

    return open_slots


def _swallows(original: Any) -> Any:
    def put(self: Any, *args: Any) -> SlotResult:
        try:
            return original(self, *args)  # type: ignore[no-any-return]
        except Exception:  # noqa: BLE001
            return SlotResult()

    return put


def _in_place(original: Any) -> Any:
    def write(self: Any, path: str, content: str) -> Any:
        self.delete(path)
        return original(self, path, content)

    return write


def _records_revoked_first(original: Any) -> Any:
    def send(self: Any, batch: Any) -> Any:
        rows = [staged.row for staged in batch]
        self._services.database.run(self._run_context, lambda tx: revocations.revoked(tx, rows, {}))
        return original(self, batch)

    return send


def _unreached_is_revoked(original: Any) -> Any:
    def revoke(self: Any, tokens: Any) -> Any:
        return [Revoked() if isinstance(v, NotRevoked) and not v.denied else v for v in original(self, tokens)]

    return revoke


def _sends_again(original: Any) -> Any:
    def send(self: Any, batch: Any) -> Any:
        verdicts = original(self, batch)
        return original(self, batch) if any(isinstance(v, Unknown) for v in verdicts) else verdicts

    return send


def _withdraws_first(original: Any) -> Any:
    def send(self: Any, batch: Any) -> Any:
        self._services.database.run(
            self._run_context, lambda tx: publications.withdraw(tx, list(batch), "a test", timedelta(0))
        )
        return original(self, batch)

    return send


def _sweeps_only_new(original: Any) -> Any:
    def revoke(services: Any, run_context: Any, request: Any, result: Any, gone: Any) -> Any:
        return original(services, run_context, request, result, gone) if result.links else result

    return revoke


def _forgets_the_flag(original: Any) -> Any:
    def take_due(tx: Any, client_id: str, limit: int, *, flagged_only: bool = False) -> Any:
        taken = original(tx, client_id, limit, flagged_only=flagged_only)
        tx.execute(update(links).where(links.c.seq.in_([d.row.seq for d in taken])).values(flagged_at=None))
        return taken

    return take_due


def _never_hopeless(original: Any) -> Any:
    return lambda tx, row, answer, most, now: original(tx, row, answer, 10**6, now)


def _purges_by_age_alone(_: Any) -> Any:
    return lambda before: links.c.requested_at < before + timedelta(days=2)


def _of_the_machine(name: str) -> Callable[[], AbstractContextManager[Any]]:
    return MUTANTS[name]


BROKEN: dict[str, Broken] = {
    # the same broken rules as the ledger machine's, here exposed by strikes
    "a lost answer counts as not made": Broken(_of_the_machine("a lost answer counts as not made"), "nightly", (FAIL,), "request"),
    "a lost answer's row ends too early": Broken(_of_the_machine("a lost answer's row ends too early"), "nightly", (FAIL,), "request"),
    "what a dead worker left counts as not made": Broken(_of_the_machine("what a dead worker left counts as not made"), "nightly", (KILL,), "request"),
    "a claim excludes nobody": Broken(_of_the_machine("a claim excludes nobody"), "two runs"),
    "a link another slot shows is retired": Broken(_of_the_machine("a link another slot shows is retired"), "nightly", (FOR_GOOD,), "site"),
    "a failed publish retires the old link": Broken(_of_the_machine("a failed publish retires the old link"), "nightly", (FOR_GOOD,), "site"),
    "anything but true counts as revoked": Broken(_of_the_machine("anything but true counts as revoked"), "sweep under denials"),
    "a revoked link's sealed text is kept": Broken(_of_the_machine("a revoked link's sealed text is kept"), "leak response"),
    "a link is closed before its end": Broken(_all(_of_the_machine("a link is closed before its end"), _changed(sweep.revocations, "anything_to_close", lambda _: lambda *a: True)), "nightly"),
    # what only a strike exposes
    "the row is recorded with the answer": Broken(_changed(mint_requests, "record", lambda f: lambda tx, demand, pending, at, why: f(tx, demand, pending, at, why) if "purged" in why else None), "nightly", (KILL,), "request"),
    "a retry mints anew": Broken(_changed(mint_requests, "_will_do", lambda _: lambda *a: False), "nightly", (KILL,), "commit after"),
    "a lost mint is sent again": Broken(_changed(mint_worker._MintWorker, "send", _sends_again), "nightly", (FAIL,), "request"),
    "the old link is retired before the new one is shown": Broken(_changed(slot_worker.slot_claims, "open_slots", _retires_first), "nightly", (FOR_GOOD,), "site"),
    "a slot that was not written counts as shown": Broken(_changed(Publisher, "_put", _swallows), "nightly", (FOR_GOOD,), "site"),
    "a file is deleted before its new version is there": Broken(_changed(LocalFiles, "write", _in_place), "nightly", (KILL,), "file before"),
    "claims last for ten minutes": Broken(lambda: mock.patch.object(claims, "CLAIM_TTL", timedelta(minutes=10)), "nightly", (KILL,), "request", elsewhere=True),
    "a killed sweep keeps its links for a day": Broken(lambda: mock.patch.object(sweep_queue, "_SWEEP_TTL", timedelta(days=1)), "sweep under denials", (KILL,), "request"),
    "a revocation is recorded before it is sent": Broken(_changed(sweep._SweepWorker, "send", _records_revoked_first), "leak response", (KILL,), "request before"),
    "a revocation without an answer counts as confirmed": Broken(_changed(PMEClient, "revoke", _unreached_is_revoked), "sweep under denials", (FAIL,), "request"),
    "a sweep forgets the flag of what it takes": Broken(_changed(sweep_queue, "take_due", _forgets_the_flag), "leak response", (KILL,), "request"),
    "what was denied is never irrevocable": Broken(_changed(revocations, "_deny", _never_hopeless), "sweep in vain"),
    "a slot's record is withdrawn before the slot is cleared": Broken(_changed(clearing._SlotClearer, "send", _withdraws_first), "retirement", (KILL,), "site"),
    "a retirement that runs again does not sweep": Broken(_all(_changed(retire, "_revoke", _sweeps_only_new), _changed(selections, "retired_links", lambda _: lambda *a: [])), "retirement", (KILL,), "commit after"),
    "a purge goes by age alone": Broken(_changed(audit, "_ended", _purges_by_age_alone), "purge"),
    "a step of a migration is not skipped": Broken(_all(_changed(steps, "_has_index", lambda _: lambda name, table: False)), "migration"),
}  # fmt: skip
