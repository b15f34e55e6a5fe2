"""The result of minting."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pme_airflow.errors import PMEError
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.links import LinkRow, given_share, item_of
from pme_airflow.lifecycle.bounded_list import BoundedList
from pme_airflow.lifecycle.xcom_payload import MAX_XCOM_ITEMS, reference_to_links

__all__ = ["MintFailure", "MintResult", "MintTally"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MintFailure:
    """A model without a new link.

    :param permanent: whether trying again cannot help before a person changes something.
    """

    model_id: str
    reason: str
    permanent: bool


@dataclass(frozen=True)
class MintResult:
    """The links of the models asked for, and the models that have none.

    :param items: the links as XCom items; empty if there are more than an XCom should carry.
    :param reference: what refers to the links if there are more.
    :param links: how many links there are.
    :param failures: the models without a link; the first 1,000 of ``failures.total``.
    :param minted: how many links were minted.
    :param shared_tokens: how many tokens for several models were minted for these links.
    :param reused: how many live links were reused.
    :param lost: how many responses were lost, each of which may have left a live token.
    :param dead: how many links the API was found to accept no more, although nobody revoked them here.
    :param given_validity: the longest validity the API gave, if it was less than requested; else ``None``.
    """

    items: list[dict[str, Any]] = field(default_factory=list, repr=False)
    reference: dict[str, Any] | None = None
    links: int = 0
    failures: BoundedList[MintFailure] = field(default_factory=BoundedList)
    minted: int = 0
    reused: int = 0
    lost: int = 0
    dead: int = 0
    given_validity: timedelta | None = None
    shared_tokens: int = 0

    @property
    def xcom_payload(self) -> list[dict[str, Any]] | dict[str, Any]:
        """The value to push to XCom: the items, or the reference to them."""
        return self.items if self.reference is None else self.reference

    @property
    def promise_kept(self) -> bool:
        """Whether every model has a link."""
        return not self.failures

    @property
    def permanent(self) -> bool:
        """Whether trying again cannot help any model that failed."""
        return all(failure.permanent for failure in self.failures)


class MintTally:
    """Collects the results of a mint run. Items are kept only while all of them fit in one XCom.

    :param wanted: the models asked for, in order.
    """

    #: Whether the result lists the links themselves.
    keeps_items: bool

    def __init__(self, wanted: Sequence[str]) -> None:
        self.minted = self.reused = self.lost = self.shared_tokens = 0
        self._wanted = wanted
        self.keeps_items = len(wanted) <= MAX_XCOM_ITEMS
        self._items: dict[str, dict[str, Any] | None] = {}
        self._failures: BoundedList[MintFailure] = BoundedList()
        self._given_validity: timedelta | None = None

    def __contains__(self, model_id: str) -> bool:
        return model_id in self._items

    def add(self, model_id: str, row: LinkRow | None) -> None:
        """Note a model's link; its row is needed only where :attr:`keeps_items` is true."""
        self._items[model_id] = item_of(row, model_id) if self.keeps_items and row is not None else None

    def fail(self, model_id: str, error: PMEError) -> None:
        """Note that a model has no link."""
        self._failures.append(MintFailure(model_id, str(error), error.permanent))

    def note_validity(self, requested: timedelta, given: timedelta) -> None:
        """Note how long a new link lives, and warn once if the API gives less than was requested."""
        if given_share(requested, given) == 1.0:
            return
        if self._given_validity is None:
            log.warning(
                "The API gave a link of %s instead of %s. Links are renewed by the shorter time; request less with "
                "valid_for, or let the keeper run more often.",
                given,
                requested,
            )
        self._given_validity = max(given, self._given_validity or given)

    def result(self, database: Database, audience: str) -> MintResult:
        """Return the result, with links in the order their models were asked for."""
        have = [model_id for model_id in self._wanted if model_id in self._items]
        return MintResult(
            items=[item for model_id in have if (item := self._items[model_id]) is not None],
            reference=None if self.keeps_items else reference_to_links(database, audience, have),
            links=len(have),
            failures=self._failures,
            minted=self.minted,
            reused=self.reused,
            lost=self.lost,
            given_validity=self._given_validity,
            shared_tokens=self.shared_tokens,
        )
