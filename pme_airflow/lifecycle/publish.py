"""Publishing: put links into a target's slots, and keep each old link until the new one is shown."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import filterfalse, islice
from typing import Any

from pme_airflow.embed_params import EmbedParams
from pme_airflow.errors import PMEError
from pme_airflow.ledger import audience_models, publications
from pme_airflow.ledger.model_names import record_names
from pme_airflow.ledger.publications import Publication, SlotLink, SlotOwner
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.selections import Selection, count_shown
from pme_airflow.lifecycle.clearing import clear_slots
from pme_airflow.lifecycle.clearing_guard import clearing_refused, too_many
from pme_airflow.lifecycle.document_listener import DocumentListener
from pme_airflow.lifecycle.document_worker import DocumentWriter
from pme_airflow.lifecycle.link_opener import LinkOpener, on_one_line
from pme_airflow.lifecycle.moved_slots import moved_slots
from pme_airflow.lifecycle.progress import Progress
from pme_airflow.lifecycle.publish_items import BadItem, read_items
from pme_airflow.lifecycle.publish_result import PublishResult
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.slot_checks import find_lost_slots
from pme_airflow.lifecycle.slot_worker import SlotWriter
from pme_airflow.lifecycle.target_calls import TargetCalls, slot_error
from pme_airflow.lifecycle.target_index import finish_target
from pme_airflow.sealing import OpenedLink
from pme_airflow.targets.base import SlotResult, Target

__all__ = ["PublishResult", "Publisher"]

#: How many items are published at a time.
_PAGE_SIZE = 500

log = logging.getLogger(__name__)
Item = Mapping[str, Any]


def _nothing(_: Publication) -> bool:
    return False


class Publisher(DocumentListener):
    """Publishes items to one target.

    :param services: the connection's client, ledger and keys.
    :param run_context: who publishes.
    :param target: where to.
    :param open_item: opens a sealed item; a caller that keeps logs masks what it opened.
    :param publishers: the ids of further DAGs that publish for the same placement: what they show is cleared like what
        this DAG shows.
    :param audiences: the audiences that this DAG publishes for; ``None`` if they are not known. A slot that shows one
        of them a later link fails for the others.
    :param allow_clearing: whether more than half of what is shown may be cleared at once.
    :param params: the Showcase parameters that are appended to the links.
    """

    def __init__(
        self,
        services: Services,
        run_context: RunContext,
        target: Target,
        open_item: Callable[[Item], OpenedLink] | None = None,
        *,
        publishers: Iterable[str] = (),
        audiences: frozenset[str] | None = None,
        allow_clearing: bool = False,
        params: EmbedParams | None = None,
    ) -> None:
        self._services = services
        self._run_context = run_context
        self._target = target
        self._opener = LinkOpener(open_item or (lambda item: services.open_item(dict(item))), params)
        self._result = PublishResult(target.name)
        self._publishers = frozenset(publishers)
        self._audiences = audiences
        self._allow_clearing = allow_clearing
        #: The slots of each model that had an item, by audience.
        self._slots_of: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._failed_models: set[str] = set()
        self._calls = TargetCalls(target.name, services.clock)
        self._progress = Progress(log, "publishing", 0, services.clock)

    def publish(self, items: Iterable[object], *, finish: bool = False) -> PublishResult:
        """Put every item into its slots. One bad item or slot does not stop the rest: it is in the result.

        :param items: read a page at a time.
        :param finish: whether :meth:`Target.finish` is called although nothing was put, since an earlier try may have
            failed in it.
        """
        self._services.database.prepare()
        target = self._target
        writer = SlotWriter(
            self._services,
            self._run_context,
            target.name,
            target.at_once,
            self._put,
            self._grace,
            self,
            self._own_publishers(),
            self._audiences,
        )
        documents = DocumentWriter(
            self._services,
            self._run_context,
            target,
            self._opener,
            self,
            publishers=self._own_publishers(),
            audiences=self._audiences,
        )
        with writer, documents:
            remaining = iter(items)
            while page := list(islice(remaining, _PAGE_SIZE)):
                self._publish_page(writer, documents, page)
        if finish or self._result.published:
            self._finish()
        return self._result

    def _publish_page(self, writer: SlotWriter, documents: DocumentWriter, page: Sequence[object]) -> None:
        self._result.links += len(page)
        wanted: list[tuple[str, Item]] = []
        for item in read_items(self._services, page):
            if isinstance(item, BadItem):
                self._fail("?", item.model_id, item.error)
                continue
            slots = self._slots(item)
            self._slots_of[str(item["audience"])][str(item["model_id"])].update(slots)
            wanted += [(slot, item) for slot in slots]
        remaining = self._without_unchanged(wanted)
        if remaining and self._target.shows_names:
            self._learn_names(sorted({str(item["model_id"]) for _, item in remaining}))
        shared = [self._target.document(slot) is not None for slot, _ in remaining]
        writer.write([entry for entry, is_shared in zip(remaining, shared, strict=True) if not is_shared])
        documents.write([entry for entry, is_shared in zip(remaining, shared, strict=True) if is_shared])
        self._progress.step(len(page))

    def _learn_names(self, model_ids: Sequence[str]) -> None:
        """Request the names of models, and record them in the ledger, where the page and the commands read them."""
        services = self._services
        self._opener.names = services.client.model_names(model_ids)
        named = {model_id: on_one_line(name) for model_id, name in self._opener.names.items()}
        record_names(services.database, self._run_context, services.client.client_id, named)

    def _slots(self, item: Item) -> Sequence[str]:
        problem: PMEError
        try:
            return self._target.slots(item)
        except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
            problem = slot_error(error)
        self._fail("?", str(item["model_id"]), problem)
        return []

    def _without_unchanged(self, wanted: Sequence[tuple[str, Item]]) -> list[tuple[str, Item]]:
        """Return the items to write. Slots that show their live link already are found by two reads for all of them."""
        with self._services.database.read() as tx:
            shown = publications.shown_in(tx, self._target.name, [slot for slot, _ in wanted])
            same = [item["link_id"] for slot, item in wanted if shown.get(slot) == _slot_link(item)]
            live = publications.still_live(tx, same, self._services.server_time_lower_bound())
        unchanged = [slot for slot, item in wanted if shown.get(slot) == _slot_link(item) and item["link_id"] in live]
        kept = set(unchanged) - find_lost_slots(self._services, self._run_context, self._target, unchanged)
        remaining: list[tuple[str, Item]] = []
        for slot, item in wanted:
            if shown.get(slot) == _slot_link(item) and slot in kept:
                self.slot_unchanged(slot, item)
            else:
                remaining.append((slot, item))
        return remaining

    # ------------------------------------------------------------- one slot

    def _put(self, slot: str, item: Item, previous: Publication | None) -> SlotResult:
        """Put a link into a slot and read it back, in a thread.

        :raises SlotError: if the slot does not show it.
        """
        link = self._opener.open(item)
        details = dict(previous.details) if previous is not None else {}
        problem: PMEError
        try:
            result = SlotResult.of(self._calls.call(lambda: self._target.put(slot, link, details)))
            self._calls.call(lambda: self._target.read_back(slot, link, result.details))
            return result
        except Exception as error:  # noqa: BLE001 - a target of any author may raise anything
            problem = slot_error(error)
        raise problem

    def _grace(self, result: SlotResult) -> timedelta:
        return timedelta(0) if result.old_link_remains else self._services.grace

    def slot_published(self, slot: str, item: Item) -> None:
        """See :class:`~.slot_worker.SlotListener`."""
        name = self._target.name
        log.info("%s shows model %s at %s until %s.", name, item["model_id"], slot, item["valid_until"])
        self._result.published.append(_entry(slot, item))

    def slot_unchanged(self, slot: str, item: Item) -> None:
        """See :class:`~.slot_worker.SlotListener`."""
        self._result.unchanged.append(_entry(slot, item))

    def slot_failed(self, slot: str, item: Item, error: PMEError) -> None:
        """See :class:`~.slot_worker.SlotListener`."""
        self._fail(slot, str(item["model_id"]), error)

    def _fail(self, slot: str, model_id: str, error: PMEError) -> None:
        log.error("%s, %s: model %s is not shown: %s", self._target.name, slot, model_id, error)
        self._failed_models.add(model_id)
        self._result.fail(slot, model_id, error)

    # ------------------------------------------------------------- clearing

    def retire_moved(self, is_wanted: Callable[[Publication], bool] = _nothing) -> PublishResult:
        """Clear the slots that this target still shows of models that have other slots now, a page of another number.

        Only models whose slots were all written just now count. Of an audience's slots, more than half are not cleared
        at once.

        :param is_wanted: returns whether a slot is wanted all the same, by another transfer of the DAG for example.
        """
        for audience, slots_of in self._slots_of.items():
            owner = SlotOwner(self._services.client.client_id, audience, self._own_publishers())
            written = {model_id: slots for model_id, slots in slots_of.items() if model_id not in self._failed_models}
            found = moved_slots(self._services.database, self._target.name, owner, written)
            going = [publication for publication in found if not is_wanted(publication)]
            if going and self._may_clear(len(going), self._count_shown(owner), f"slots of audience {audience}"):
                self._clear_slots(going, "its model has another slot")
        return self._result

    def retire_delisted(self, audience: str) -> PublishResult:
        """Clear the slots that this target still shows for models that the account has stopped listing.

        Models that had an item just now are kept, even if they were recorded as no longer listed.
        """
        owner = SlotOwner(self._services.client.client_id, audience)
        with self._services.database.read() as tx:
            published_at = publications.models_at(tx, self._target.name, owner)
            earliest = min(published_at.values(), default=None)
            delisted_at = audience_models.delisted_since(tx, owner.client_id, audience, earliest) if earliest else {}
        kept = self._slots_of[audience]
        gone = [
            model_id
            for model_id, at in delisted_at.items()
            if model_id in published_at and at >= published_at[model_id] and model_id not in kept
        ]
        return self._clear(owner, gone, len(published_at))

    def retire_others(
        self, audience: str, model_ids: Iterable[str], is_wanted: Callable[[Publication], bool] = _nothing
    ) -> PublishResult:
        """Clear the slots that this target still shows for an audience's models other than these.

        A DAG clears what it published itself, and what the DAGs named as ``publishers`` did: another one may show the
        audience more. More than half of the models are not cleared at once, unless none is wanted any more.

        :param is_wanted: returns whether a slot is wanted all the same, by another transfer of the DAG for example.
        """
        owner = SlotOwner(self._services.client.client_id, audience, self._own_publishers())
        with self._services.database.read() as tx:
            shown = set(publications.models_at(tx, self._target.name, owner))
        wanted = set(model_ids)
        others = sorted(shown - wanted)
        going = [model_id for model_id in others if not all(map(is_wanted, self._shown(owner, model_id)))]
        own = len(shown & wanted) + len(going)
        return self._clear(owner, going, own if wanted else 0, is_wanted)

    def _own_publishers(self) -> frozenset[str] | None:
        """The DAGs whose slots may be cleared; ``None``, which is all of them, for a command."""
        own = self._run_context.publisher
        return None if own is None else frozenset({own, *self._publishers})

    def _clear(
        self,
        owner: SlotOwner,
        model_ids: Sequence[str],
        shown: int,
        is_wanted: Callable[[Publication], bool] = _nothing,
    ) -> PublishResult:
        """Clear the slots of models, but those that are wanted all the same.

        :param shown: how many models are shown; 0 to clear however many are to be cleared.
        """
        if self._may_clear(len(model_ids), shown, f"models of audience {owner.audience}"):
            found = (publication for model_id in model_ids for publication in self._shown(owner, model_id))
            self._clear_slots(filterfalse(is_wanted, found), "not listed any more")
        return self._result

    def _may_clear(self, going: int, shown: int, what: str) -> bool:
        if not shown or self._allow_clearing or not too_many(going, shown):
            return True
        self._fail("?", "all", clearing_refused(going, shown, what))
        return False

    def _clear_slots(self, going: Iterable[Publication], reason: str) -> None:
        clear_slots(
            self._services, self._run_context, self._target, going, reason, self._result, opener=self._opener
        )  # fmt: skip

    def _count_shown(self, owner: SlotOwner) -> int:
        selection = Selection(
            owner.client_id, frozenset({owner.audience}), targets=frozenset({self._target.name}),
            publishers=owner.publishers,
        )  # fmt: skip
        with self._services.database.read() as tx:
            return count_shown(tx, selection)

    def _shown(self, owner: SlotOwner, model_id: str) -> Sequence[Publication]:
        with self._services.database.read() as tx:
            return publications.shown_at(tx, self._target.name, owner, model_id)

    def _finish(self) -> None:
        problem = finish_target(self._services, self._run_context, self._target)
        if problem is not None:
            self._fail("index", "all", problem)


def _slot_link(item: Item) -> SlotLink:
    return SlotLink(item["link_id"], item["model_id"])


def _entry(slot: str, item: Item) -> dict[str, Any]:
    return {"slot": slot, "link_id": str(item["link_id"]), "model_id": str(item["model_id"])}
