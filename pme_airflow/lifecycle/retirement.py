"""The request to retire links, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.selections import Selection
from pme_airflow.lifecycle.bounded_list import BoundedList
from pme_airflow.lifecycle.moved_slots import has_slot
from pme_airflow.lifecycle.sweep import SweepResult
from pme_airflow.targets.base import Target

__all__ = ["PlacementSlots", "RetireRequest", "RetireResult"]


@dataclass(frozen=True)
class PlacementSlots:
    """What a placement shows.

    :param targets: the names of its targets.
    :param models: ids of its models; ``None`` for all that a query lists but ``exclude``.
    :param at: its targets by name; several may have one name. Any slot of a name that is missing here is the
        placement's.
    """

    audience: str
    targets: frozenset[str]
    models: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    at: Mapping[str, Sequence[Target]] = field(default_factory=dict)

    def names(self, publication: Publication) -> bool:
        """Return whether the placement wants a slot to show what it shows."""
        wanted = self.wants(publication.audience, publication.model_id) and publication.target in self.targets
        made = self.at.get(publication.target, ())
        return wanted and (not made or any(has_slot(target, publication) for target in made))

    def wants(self, audience: str, model_id: str) -> bool:
        """Return whether the placement wants a model's link for an audience."""
        listed = self.models is None or model_id in self.models
        return audience == self.audience and listed and model_id not in self.exclude


@dataclass(frozen=True)
class RetireRequest:
    """Which slots to clear and which links to retire: those that match every criterion given.

    :param audiences: audiences.
    :param models: model ids.
    :param targets: names of targets, as the ledger has them.
    :param unnamed_only: retire only what none of ``placements`` names any more.
    :param placements: what is still wanted. Anything of theirs that is retired is reported, since the next run would
        publish it again.
    :param publishers: retire only what these DAGs published; ``None`` for all. With ``unnamed_only`` name the DAGs that
        publish the placements, else most of what other DAGs publish would be retired, which is refused.
    :param at: the targets whose slots can be cleared, by name. What other targets show goes dark.
    :param reason: why; stored in the ledger. Tokens in it are masked.
    :param sweep: whether to revoke the links at once rather than with the next sweep.
    :param deadline: how long the revocation may go on without a confirmation; ``None`` for no limit.
    :param allow_clearing: whether ``unnamed_only`` may clear more than half of the slots of an audience that a
        placement names, or that neither a placement nor ``audiences`` names.
    :param on_selected: called with the slots, the first 1,000 of them, before anything is cleared.
    """

    audiences: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    unnamed_only: bool = False
    placements: tuple[PlacementSlots, ...] = ()
    publishers: frozenset[str] | None = None
    at: Mapping[str, Target] = field(default_factory=dict)
    reason: str = ""
    sweep: bool = True
    deadline: timedelta | None = None
    allow_clearing: bool = False
    on_selected: Callable[[Sequence[Publication]], None] | None = None

    def selection(self, client_id: str) -> Selection:
        """Return the criteria that the ledger can answer.

        :raises PMEInputError: if no criterion is given.
        """
        if not (self.audiences or self.models or self.targets or self.unnamed_only):
            raise PMEInputError(
                "retire: nothing is named. Give an audience, a model or a target, or ask for what no placement names."
            )
        return Selection(
            client_id, frozenset(self.audiences), frozenset(self.models), frozenset(self.targets), self.publishers
        )

    def wants_gone(self, publication: Publication) -> bool:
        """Return whether a selected slot is to be cleared."""
        return not (self.unnamed_only and any(placement.names(publication) for placement in self.placements))


@dataclass(frozen=True)
class RetireResult:
    """The result of retiring links. Lists keep their first 1,000 entries; ``total`` counts all.

    :param cleared: the slots that show nothing any more, as JSON.
    :param dark: the slots of targets that could not be asked: they show a link that is revoked.
    :param failed: the slots that could not be cleared; they still show their links, which live on.
    :param still_named: models and audiences that a placement still names, so that the next run publishes them again.
    :param links: how many links were retired.
    :param not_revoked: the retired links that may be alive, and why.
    :param swept: whether revoking was asked for.
    :param sweep: what the sweep revoked; ``None`` if none ran to its end.
    :param sweep_error: why the sweep ended early.
    :param shared: the links whose token opens other models too that slots still show, so that they live on.
    """

    cleared: BoundedList[dict[str, Any]] = field(default_factory=BoundedList)
    dark: BoundedList[dict[str, Any]] = field(default_factory=BoundedList)
    failed: BoundedList[dict[str, Any]] = field(default_factory=BoundedList)
    still_named: tuple[str, ...] = ()
    links: int = 0
    not_revoked: BoundedList[LinkRow] = field(default_factory=BoundedList)
    swept: bool = False
    sweep: SweepResult | None = None
    sweep_error: PMEError | None = None
    shared: BoundedList[LinkRow] = field(default_factory=BoundedList)

    @property
    def promise_kept(self) -> bool:
        """Whether everything selected is cleared, and revoked where that was asked for."""
        return not (self.failed or self.sweep_error or (self.swept and (self.not_revoked or self.shared)))

    @property
    def summary(self) -> str:
        """One sentence for a person."""
        counts = f"{self.cleared.total} slots cleared, {self.dark.total} dark, {self.failed.total} not cleared"
        revoked = f", {self.not_revoked.total} NOT revoked" if self.swept and self.not_revoked else ""
        return f"{counts}; {self.links} links retired{revoked}"

    def lines(self) -> list[str]:
        """Return the messages that go with the summary, one sentence each."""
        lines = [f"NOT cleared: {slot['slot']} at {slot['target']}: {slot['reason']}." for slot in self.failed[:100]]
        lines += [
            f"Dark: {slot['slot']} at {slot['target']} still shows a link that is retired, since no placement says how "
            "to reach the target. Clear it there. --former-placements, with the file as it was, clears the next one."
            for slot in self.dark[:100]
        ]
        lines += [self._not_revoked_line(row) for row in (self.not_revoked[:100] if self.swept else [])]
        lines += [
            f"NOT retired: link {row.link_id}, audience {row.audience}: its token opens {row.named_models}, and slots "
            f"still show others of them. It lives until they have another one, {row.valid_until:%Y-%m-%d %H:%M} UTC at "
            "the latest. `pme-airflow ledger flag` with the link's id and --sweep revokes it now, and the rotation "
            "heals the others."
            for row in self.shared[:100]
        ]
        lines += [
            f"{named} is still named by a placement, so the next run publishes it again: take it out, or exclude it."
            for named in self.still_named
        ]
        return lines + ([f"The sweep ended early: {self.sweep_error}"] if self.sweep_error else [])

    def _not_revoked_line(self, row: LinkRow) -> str:
        reason = self.sweep.reason_of(row) if self.sweep else str(self.sweep_error or "")
        return (
            f"NOT revoked: link {row.link_id} of {row.named_models}, audience {row.audience}: "
            f"{reason.rstrip('.') or 'no revocation was confirmed'}. It may live until "
            f"{row.valid_until:%Y-%m-%d %H:%M} UTC. The next sweep tries again; `pme-airflow sweep` tries now."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the XCom form: JSON without links."""
        return {
            "summary": self.summary,
            "promise_kept": self.promise_kept,
            "cleared": list(self.cleared),
            "dark": list(self.dark),
            "failed": list(self.failed),
            "still_named": list(self.still_named),
            "links": self.links,
            "not_revoked": [row.link_id for row in self.not_revoked],
            "shared": [row.link_id for row in self.shared],
        }
