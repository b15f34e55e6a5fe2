"""The result of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pme_airflow.ledger.exposed import FlaggedAlive
from pme_airflow.ledger.links import LinkRow
from pme_airflow.lifecycle.bounded_list import MAX_ENTRIES, BoundedList

__all__ = ["SweepResult", "summary"]

_Rows = BoundedList[LinkRow]


@dataclass
class SweepResult:
    """What a sweep revoked, closed and could not revoke. Lists keep their first 1,000 entries; ``total`` counts all.

    :param client_id: the client whose links were swept.
    :param revoked: the links that the API confirmed revoked.
    :param expired: how many links had ended by themselves and were closed.
    :param irrevocable: links that became irrevocable in this sweep.
    :param unopened: links that no key of the connection opens, so that they cannot be revoked.
    :param alive: the flagged links that are still live, by the client they were minted by.
    :param alive_unread: whether the ledger went away before it could be asked which flagged links are still live.
    :param reasons: why flagged links were not revoked, by link id.
    :param retirement_reasons: why other links were not revoked, by link id.
    :param exposure_seconds: seconds from flag to confirmation, by fingerprint.
    :param retirement_delays: seconds from the time at which a replaced link was due to its confirmed revocation, of
        each link.
    :param longest_exposure: the longest exposure of a token, in seconds.
    :param tombstones: the fingerprints among what was revoked that were flagged before they were known.
    """

    client_id: str = ""
    revoked: _Rows = field(default_factory=BoundedList)
    expired: int = 0
    irrevocable: _Rows = field(default_factory=BoundedList)
    unopened: _Rows = field(default_factory=BoundedList)
    alive: tuple[FlaggedAlive, ...] = ()
    alive_unread: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    retirement_reasons: dict[str, str] = field(default_factory=dict)
    exposure_seconds: dict[str, float] = field(default_factory=dict)
    retirement_delays: list[float] = field(default_factory=list)
    longest_exposure: float = 0.0
    tombstones: list[str] = field(default_factory=list)
    _dark: set[str] = field(default_factory=set)

    @property
    def audiences(self) -> list[str]:
        """The audiences in which a flagged link went dark."""
        return sorted(self._dark)

    @property
    def alive_count(self) -> int:
        """How many flagged links are still live, of any client, irrevocable ones included."""
        return sum(entry.count for entry in self.alive)

    @property
    def pending(self) -> int:
        """How many flagged links of this client the next sweeps try: those still live that are not irrevocable."""
        return sum(entry.count - entry.irrevocable for entry in self.alive if entry.client_id == self.client_id)

    @property
    def other_clients(self) -> tuple[FlaggedAlive, ...]:
        """The flagged live links of other clients: only the connections with their client ids can revoke them."""
        return tuple(entry for entry in self.alive if entry.client_id != self.client_id)

    @property
    def promise_kept(self) -> bool:
        """Whether no flagged link is live any more, of any client."""
        return not (self.alive or self.alive_unread or self.irrevocable or self.unopened)

    def note_revoked(self, rows: Sequence[LinkRow], at: datetime) -> None:
        """Note links that were confirmed revoked at a time."""
        for row in rows:
            self.revoked.append(row)
            if row.flagged_at is None:
                self._note_delay(row, at)
                continue
            if row.viewer is None:  # a viewer's own link is shown in no slot
                self._dark.add(row.audience)
            seconds = max(0.0, (at - row.flagged_at).total_seconds())
            self.longest_exposure = max(self.longest_exposure, seconds)
            if len(self.exposure_seconds) < MAX_ENTRIES:
                self.exposure_seconds[row.fingerprint or ""] = seconds

    def _note_delay(self, row: LinkRow, at: datetime) -> None:
        if row.retire_at is not None and len(self.retirement_delays) < MAX_ENTRIES:
            self.retirement_delays.append(max(0.0, (at - row.retire_at).total_seconds()))

    def note_reason(self, row: LinkRow, reason: str) -> None:
        """Note why a link was not revoked; the last reason counts."""
        reasons = self.retirement_reasons if row.flagged_at is None else self.reasons
        if row.link_id in reasons or len(reasons) < MAX_ENTRIES:
            reasons[row.link_id] = reason

    def reason_of(self, row: LinkRow) -> str:
        """Return why a link was not revoked; empty if this sweep did not try."""
        return self.reasons.get(row.link_id) or self.retirement_reasons.get(row.link_id, "")

    def lines(self) -> list[str]:
        """Return messages about the flagged links that are still live, one sentence each."""
        lines = [
            f"NOT revoked: {entry.count} flagged links of this connection's client are still live, {entry.irrevocable} "
            f"of them irrevocable; the last ends at {entry.until:%Y-%m-%d %H:%M} UTC. The next sweep tries again."
            for entry in self.alive
            if entry.client_id == self.client_id
        ]
        lines += [
            f"NOT revoked: {entry.count} flagged links of client {entry.client_id} are still live, which this "
            f"connection cannot revoke; the last ends at {entry.until:%Y-%m-%d %H:%M} UTC. Sweep with the connection "
            f"whose client id is {entry.client_id}."
            for entry in self.other_clients
        ]
        if self.alive_unread:
            lines.append(
                "Not known whether flagged links are still live: the ledger went away during the sweep. Sweep again "
                "once it can be reached."
            )
        return lines + [f"Link {link_id}: {reason}" for link_id, reason in list(self.reasons.items())[:20]]


def summary(result: SweepResult) -> dict[str, Any]:
    """Return a sweep's result as JSON, without links."""
    return {
        "revoked": [
            {
                "link_id": row.link_id,
                "model_id": row.opens[0],
                "models": list(row.opens),
                "audience": row.audience,
                "fingerprint": row.fingerprint,
                "flagged_at": row.flagged_at.isoformat() if row.flagged_at else None,
                "exposure": result.exposure_seconds.get(row.fingerprint or ""),
            }
            for row in result.revoked
        ],
        "revoked_count": result.revoked.total,
        "expired": result.expired,
        "irrevocable": [row.link_id for row in result.irrevocable],
        "unopened": [row.link_id for row in result.unopened],
        "tombstones_hit": result.tombstones,
        "pending": result.pending,
        "alive": result.alive_count,
        "other_clients": {entry.client_id: entry.count for entry in result.other_clients},
        "promise_kept": result.promise_kept,
    }
