"""Resealing: seal every live link for the connection's current keys, after a change of secret or keys."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pme_airflow.errors import PMECredentialsError, PMEError, PMESealError, PMEUnavailableError
from pme_airflow.ledger import audit
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import key_ids_of

__all__ = ["KeyUse", "ResealResult", "reseal"]

#: How many times to query for links that another run sealed for earlier keys meanwhile.
_MAX_PASSES = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyUse:
    """Live links that are sealed for other keys than the current ones.

    :param key_ids: the ids of the keys, each of which alone opens them.
    :param links: how many links there are.
    :param until: the latest time at which one of them expires.
    :param held: whether the connection holds one of the keys.
    """

    key_ids: str
    links: int
    until: datetime
    held: bool


@dataclass(frozen=True)
class ResealResult:
    """The result of a reseal, and which keys are still needed.

    :param moved: how many links are sealed for the current keys now and were not before.
    :param still_needed: the links that are still sealed for other keys, by these keys.
    :param in_flight: how many mints were under way, which may be sealed for earlier keys yet.
    :param unchecked: why the API has not confirmed the client secret; empty if it has.
    """

    moved: int
    still_needed: tuple[KeyUse, ...] = ()
    in_flight: int = 0
    unchecked: str = ""

    @property
    def unopened(self) -> int:
        """How many live links no key of the connection opens."""
        return sum(use.links for use in self.still_needed if not use.held)

    @property
    def promise_kept(self) -> bool:
        """Whether every earlier key may be removed now."""
        return not self.still_needed and not self.in_flight and not self.unchecked

    def lines(self) -> list[str]:
        """Return what to do before a key is removed, one sentence each."""
        lines = []
        if self.unchecked:
            lines.append(
                f"The client secret was not checked: {self.unchecked} The links are sealed with it all the same. Run "
                "`pme-airflow doctor --only connection` when the API answers; if the secret is wrong, keep it at the "
                "end of seal_keys as open:SECRET when you correct it, and run reseal again."
            )
        lines += [
            f"{use.links} links are sealed with key {use.key_ids}, which this connection does not hold, so they can "
            "neither be shown nor revoked. Add that key to the end of seal_keys (an earlier client secret as "
            f"open:SECRET) and run reseal again; else the mint replaces them, and the last ends at "
            f"{use.until:%Y-%m-%d %H:%M} UTC."
            for use in self.still_needed
            if not use.held
        ]
        lines += [
            f"{use.links} links were sealed with key {use.key_ids} by another run meanwhile. Run reseal again before "
            "you take that key out."
            for use in self.still_needed
            if use.held
        ]
        if self.in_flight:
            lines.append(
                f"{self.in_flight} mints are under way in tasks that may have started with earlier keys. Run reseal "
                "again when they have ended, before you take a key out."
            )
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "moved": self.moved,
            "unopened": self.unopened,
            "in_flight": self.in_flight,
            "unchecked": self.unchecked,
            "still_needed": [
                {"key_ids": use.key_ids, "links": use.links, "until": use.until.isoformat(), "held": use.held}
                for use in self.still_needed
            ],
        }


def reseal(services: Services, run_context: RunContext, *, unchecked: bool = False) -> ResealResult:
    """Seal every live link for the current keys, of whichever client as far as the connection's keys open it.

    :param unchecked: whether to go on where the API cannot confirm the client secret, because it does not answer.
    :raises PMECredentialsError: if the API refuses the client secret; nothing is moved.
    :raises PMEUnavailableError: if the API does not answer as it should, unless ``unchecked``; nothing is moved.
    :raises LedgerUnavailableError: if the ledger cannot be read or written; what was moved before stays moved.
    """
    problem = _secret_problem(services)
    if problem and not unchecked:
        raise PMEUnavailableError(
            f"Nothing was resealed, since the client secret could not be checked: {problem} Links that are sealed with "
            "a mistyped secret can neither be shown nor revoked once it is corrected. Try again when the API answers, "
            "or give --unchecked if you know that the secret is right."
        )
    moved = 0
    for _ in range(_MAX_PASSES):
        moved += _move_all(services, run_context)
        still_needed = _still_needed(services)
        if not any(use.held for use in still_needed):
            break
    with services.database.read() as tx:
        in_flight = audit.count_in_flight(tx, services.client.client_id)
    result = ResealResult(moved, still_needed, in_flight, problem)
    for line in result.lines():
        log.warning("%s", line)
    return result


def _secret_problem(services: Services) -> str:
    """Return why the API cannot confirm the client secret now; nothing if it does.

    :raises PMECredentialsError: if it refuses the secret.
    """
    try:
        services.client.check_credentials()
    except PMECredentialsError:
        raise
    except PMEError as error:
        return str(error)
    return ""


def _move_all(services: Services, run_context: RunContext) -> int:
    moved = 0
    for rows in _pages(services):
        fresh = [(row, sealed) for row in rows if (sealed := _fresh(services, row)) is not None]
        if not fresh:
            continue
        services.database.run(run_context, partial(_replace, fresh))
        moved += len(fresh)
    return moved


def _replace(fresh: Sequence[tuple[LinkRow, str]], tx: WriteTransaction) -> None:
    now = tx.now()
    for row, sealed in fresh:
        audit.replace_sealed(tx, row, sealed, now)


def _fresh(services: Services, row: LinkRow) -> str | None:
    """Return a link's text sealed for the current keys; ``None`` if it is already, or no key opens it."""
    sealed = row.sealed or ""
    if services.sealer.is_current(sealed):
        return None
    try:
        opened = services.open_row(row)
    except PMESealError as error:
        log.error("%s", error)
        return None
    return services.sealer.seal(opened, row.link_id, row.model_id)


def _still_needed(services: Services) -> tuple[KeyUse, ...]:
    """Find the links sealed for other keys. Another client's that no key opens are its own connection's to move."""
    uses: dict[str, KeyUse] = {}
    for rows in _pages(services):
        for row in rows:
            sealed = row.sealed or ""
            held = services.sealer.knows(sealed)
            if services.sealer.is_current(sealed) or (not held and row.client_id != services.client.client_id):
                continue
            name = " or ".join(key_ids_of(sealed)) or "unknown"
            before = uses.get(name, KeyUse(name, 0, row.valid_until, held))
            uses[name] = KeyUse(name, before.links + 1, max(before.until, row.valid_until), held)
    return tuple(uses[name] for name in sorted(uses))


def _pages(services: Services) -> Iterator[list[LinkRow]]:
    after = 0
    while True:
        with services.database.read() as tx:
            rows = audit.sealed_rows(tx, after)
        if not rows:
            return
        after = rows[-1].seq
        yield rows
