"""Putting links into slots: one base for every target, and the order that keeps old links until new ones are shown."""

from __future__ import annotations

import logging
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

import pendulum
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pme_airflow.errors import PMEError, SlotError
from pme_airflow.ledger import audience_models, publications, slot_claims
from pme_airflow.ledger.publications import Publication, SlotOwner
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.progress import Progress
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.slot_checks import find_lost_slots
from pme_airflow.lifecycle.slot_jobs import BUSY_SECONDS, BUSY_TRIES, SlotWork
from pme_airflow.lifecycle.xcom_payload import MAX_XCOM_ITEMS
from pme_airflow.sealing import OpenedLink
from pme_airflow.targets.base import ShownLink, SlotResult, Target

__all__ = ["PublishOutcome", "Publisher", "retire_targets"]

_TRIES = 3
_PAGE = 500

log = logging.getLogger(__name__)


_PROBLEMS = {
    "dead": SlotError("the link is revoked, expired or flagged; the next run brings a new one"),
    "busy": SlotError("another run was at this slot all the while; try again", passing=True),
}


class BoundedList(list[dict[str, Any]]):
    """The first of many slots, and how many there are: XCom is no place for all of them.

    :ivar total: how many were told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def append(self, about: dict[str, Any]) -> None:
        """Count one, and keep it while there are few."""
        self.total += 1
        if self.total <= MAX_XCOM_ITEMS:
            super().append(about)


@dataclass
class PublishOutcome:
    """What publishing came to; JSON without links by :meth:`as_json`.

    :param links: how many items there were.
    """

    target: str
    links: int = 0
    published: BoundedList = field(default_factory=BoundedList)
    unchanged: BoundedList = field(default_factory=BoundedList)
    removed: BoundedList = field(default_factory=BoundedList)
    failed: BoundedList = field(default_factory=BoundedList)

    @property
    def permanent(self) -> bool:
        """Whether no failure would pass by itself."""
        return all(failure["permanent"] for failure in self.failed)

    def as_json(self) -> dict[str, Any]:
        """The XCom form: how many slots there were of each kind, and which, as far as there are few."""
        kinds = {"published": self.published, "unchanged": self.unchanged, "removed": self.removed,
                 "failed": self.failed}  # fmt: skip
        counts = {kind: told.total for kind, told in kinds.items()}
        return {"target": self.target, "counts": counts, **{kind: list(told) for kind, told in kinds.items()}}


class Publisher:
    """Publishes items to one target for one run_context.

    :param open_item: opens a sealed item; a caller that keeps logs has it mask what it opened.
    """

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        target: Target,
        open_item: Callable[[Mapping[str, Any]], OpenedLink] | None = None,
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._target = target
        self._open_item = open_item or (lambda item: services.open_item(dict(item)))
        self._outcome = PublishOutcome(target.name)
        self._names: dict[str, str] = {}
        self._listed: defaultdict[str, set[str]] = defaultdict(set)
        self._progress = Progress(log, "publishing", 0, services.clock)
        self._work = SlotWork(services, run_context, target.name, target.at_once, self._put, self._grace, self._tell)

    def publish(self, items: Iterable[Mapping[str, Any]], *, finish: bool = False) -> PublishOutcome:
        """Put every item into its slots. One bad slot does not stop the rest: it is in the outcome.

        :param items: taken a page at a time.
        :param finish: whether :meth:`Target.finish` is called although nothing was put, since an earlier try may have
            failed in it.
        """
        with ThreadPoolExecutor(self._target.at_once, thread_name_prefix="pme-publish") as pool:
            taken = iter(items)
            while page := list(islice(taken, _PAGE)):
                self._publish_page(pool, page)
        if finish or self._outcome.published:
            self._finish()
        return self._outcome

    def _publish_page(self, pool: ThreadPoolExecutor, items: Sequence[Mapping[str, Any]]) -> None:
        self._outcome.links += len(items)
        wanted: list[tuple[str, Mapping[str, Any]]] = []
        for item in items:
            self._listed[str(item["audience"])].add(str(item["model_id"]))
            slots, problem = self._slots(item)
            if problem is not None:
                self._fail("?", item, problem)
            wanted += [(slot, item) for slot in slots]
        left = self._all_but_shown(wanted)
        if left and self._target.shows_names:
            self._names = self._services.client.model_names(sorted({str(item["model_id"]) for _, item in left}))
        self._work.run(pool, left)
        self._progress.step(len(items))

    def _all_but_shown(self, wanted: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, Mapping[str, Any]]]:
        """What is left to do; slots that show their live link already cost one read together."""
        with self._services.database.read() as tx:
            shows = publications.shown_in(tx, self._target.name, [slot for slot, _ in wanted])
            same = [str(item["link_id"]) for slot, item in wanted if shows.get(slot) == item["link_id"]]
            live = publications.still_live(tx, same)
        unchanged = [s for s, item in wanted if shows.get(s) == item["link_id"] and str(item["link_id"]) in live]
        unchanged_slots = set(unchanged) - find_lost_slots(self._services, self._run_context, self._target, unchanged)
        left: list[tuple[str, Mapping[str, Any]]] = []
        for slot, item in wanted:
            if shows.get(slot) == item["link_id"] and slot in unchanged_slots:
                self._outcome.unchanged.append(_about(slot, item))
            else:
                left.append((slot, item))
        return left

    def retire_delisted(self, audience: str) -> PublishOutcome:
        """Clear the slots this target still shows for models that the account has stopped listing.

        Models that had an item just now are kept, whatever was noted before.
        """
        owner = SlotOwner(self._services.client.client_id, audience)
        with self._services.database.read() as tx:
            at = publications.models_at(tx, self._target.name, owner)
            gone = audience_models.delisted_since(tx, owner.client_id, audience, min(at.values())) if at else {}
        kept = self._listed[audience]
        return self._clear(owner, [m for m, when in gone.items() if m in at and when >= at[m] and m not in kept])

    def retire_others(self, audience: str, model_ids: Iterable[str]) -> PublishOutcome:
        """Clear the slots this target still shows for an audience's models that are not listed any more.

        Where a DAG clears them, they are those that it published itself: another DAG may show the audience more.
        """
        own = self._run_context.publisher
        owner = SlotOwner(self._services.client.client_id, audience, None if own is None else frozenset({own}))
        with self._services.database.read() as tx:
            at = publications.models_at(tx, self._target.name, owner)
        return self._clear(owner, sorted(set(at) - set(model_ids)))

    def _clear(self, owner: SlotOwner, model_ids: Sequence[str]) -> PublishOutcome:
        database = self._services.database
        removed_before = self._outcome.removed.total
        for model_id in model_ids:
            with database.read() as tx:
                shown = publications.shown_at(tx, self._target.name, owner, model_id)
            for publication in shown:
                self._take_away(publication)
        if self._outcome.removed.total > removed_before:
            self._finish()
        return self._outcome

    def _take_away(self, publication: Publication) -> None:
        database = self._services.database
        problem: PMEError | None = None
        cleared = SlotResult()
        try:
            cleared = SlotResult.of(self._target.take_away(publication.slot, publication.details))
        except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
            problem = _slot_error(error)
        if problem is not None:
            self._fail(publication.slot, {"model_id": publication.model_id}, problem)
            return
        with database.write(self._run_context) as tx:
            reason = "not listed any more"
            publications.withdraw(tx, [publication], reason, self._grace(cleared))
        self._outcome.removed.append({"slot": publication.slot, "model_id": publication.model_id})

    def _slots(self, item: Mapping[str, Any]) -> tuple[Sequence[str], PMEError | None]:
        try:
            return self._target.slots(item), None
        except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
            return [], _slot_error(error)

    def _put(self, slot: str, item: Mapping[str, Any], previous: Publication | None) -> SlotResult:
        link = self._opened(item)
        held = dict(previous.details) if previous is not None else {}
        problem: PMEError | None = None
        result = SlotResult()
        try:
            result = SlotResult.of(self._tried(lambda: self._target.put(slot, link, held)))
            self._tried(lambda: self._target.read_back(slot, link, result.details))
        except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
            problem = _slot_error(error)
        if problem is not None:
            raise problem
        return result

    def _grace(self, result: SlotResult) -> timedelta:
        return timedelta(0) if result.old_link_remains else self._services.grace

    def _tell(self, what: str, slot: str, item: Mapping[str, Any], problem: PMEError | None) -> None:
        if what == "published":
            name = self._target.name
            log.info("%s shows model %s at %s until %s.", name, item["model_id"], slot, item["valid_until"])
            self._outcome.published.append(_about(slot, item))
        elif what == "unchanged":
            self._outcome.unchanged.append(_about(slot, item))
        else:
            self._fail(slot, item, problem or _PROBLEMS[what])

    def _tried(self, call: Any) -> Any:
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, SlotError) and not error.permanent),
            stop=stop_after_attempt(_TRIES),
            wait=wait_random_exponential(multiplier=0.3, max=5),
            sleep=self._services.clock.sleep,
            reraise=True,
        )
        return retrying(call)

    def _opened(self, item: Mapping[str, Any]) -> ShownLink:
        opened = self._open_item(item)
        until = pendulum.parse(str(item["valid_until"]))
        assert isinstance(until, pendulum.DateTime)
        model_id = str(item["model_id"])
        name = _on_one_line(self._names.get(model_id, "")) or model_id
        return ShownLink(str(item["link_id"]), model_id, str(item["audience"]), opened.url, opened.token, until, name)

    def _finish(self) -> None:
        """Let the target finish, one task at a time: the last one has seen what all of them put."""
        database, name = self._services.database, self._target.name
        problem: PMEError | None = None
        try:
            self._begin_finish()
            with database.read() as tx:
                shown = publications.shown_at(tx, name)
            self._tried(lambda: self._target.finish(shown))
        except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
            problem = _slot_error(error)
        with database.write(self._run_context) as tx:
            slot_claims.release_index_lock(tx, name)
        if problem is not None:
            self._fail("index", {"model_id": "all"}, problem)

    def _begin_finish(self) -> None:
        database = self._services.database
        for _ in range(BUSY_TRIES):
            with database.write(self._run_context) as tx:
                if slot_claims.acquire_index_lock(tx, self._target.name):
                    return
            self._services.clock.sleep(BUSY_SECONDS)
        raise SlotError("another run was at it all the while; try again", passing=True)

    def _fail(self, slot: str, item: Mapping[str, Any], problem: PMEError) -> None:
        model_id = str(item.get("model_id", "?"))
        log.error("%s, %s: model %s was not shown: %s", self._target.name, slot, model_id, problem)
        self._outcome.failed.append(
            {"slot": slot, "model_id": model_id, "reason": str(problem), "permanent": problem.permanent}
        )


def _on_one_line(name: str) -> str:
    """A model's name without line breaks, control characters and turns of the writing direction, cut to 120."""
    plain = "".join(" " if c.isspace() else c for c in name if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(plain.split())[:120]


def _about(slot: str, item: Mapping[str, Any]) -> dict[str, str]:
    return {"slot": slot, "link_id": str(item["link_id"]), "model_id": str(item["model_id"])}


def retire_targets(
    services: Services, run_context: RunContext, audience: str, targets: Sequence[str], publishers: Sequence[str]
) -> list[Publication]:
    """Retire what an audience is shown at targets that nothing publishes to any more.

    What still stands there goes dark once the sweep revokes it after the grace: nobody is left who could clear it.

    :param targets: the targets that are still published to.
    :param publishers: the ids of the DAGs whose publications these are; those of other DAGs are left alone.
    """
    database = services.database
    owner = SlotOwner(services.client.client_id, audience, frozenset(publishers))
    with database.write(run_context) as tx:
        gone = [shown for shown in publications.shown_to(tx, owner) if shown.target not in set(targets)]
        if gone:
            reason = "its target is in no placement any more"
            publications.withdraw(tx, gone, reason, services.grace)
    return gone


def _slot_error(error: Exception) -> PMEError:
    """A target's failure in words that hold no link: its own where it raised ours, else the exception's type."""
    if isinstance(error, PMEError):
        return error
    if isinstance(error, PermissionError):
        return SlotError("it may not be written (permission denied): check the rights")
    if isinstance(error, OSError):
        return SlotError(f"it cannot be written ({error.strerror or type(error).__name__})", passing=True)
    return SlotError(f"the target failed ({type(error).__name__})", passing=True)
