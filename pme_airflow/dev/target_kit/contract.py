"""What each call of a target must keep, whatever the target does: examined without an API and a ledger."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import Any

from pme_airflow.dev.target_kit.documents import SlotBySlot
from pme_airflow.dev.target_kit.fake_clock import FakeClock
from pme_airflow.dev.target_kit.links import example_link
from pme_airflow.dev.target_kit.place import Place
from pme_airflow.lifecycle.target_calls import retried
from pme_airflow.targets.base import ShownLink, SlotResult, Target

__all__ = ["check_contract", "require"]


def require(condition: bool, message: str) -> None:
    """Raise unless a condition holds; unlike ``assert`` also where Python is optimized.

    :raises AssertionError: with the message.
    """
    if not condition:
        raise AssertionError(message)


def check_contract(place: Place, models: Sequence[str]) -> None:
    """Examine the calls of a place's target one by one, with links of the kit, and leave its slots clear.

    :param models: at least two models.
    :raises AssertionError: with what the target did wrong.
    """
    place.models = models
    contract = _Contract(place, models)
    with _no_token_printed(contract.links):
        contract.check_names()
        contract.check_put_and_read_back()
        contract.check_replacing()
        contract.check_several_at_once()
        contract.check_check()
        contract.check_clearing()
    place.check_untouched()


class _Contract:
    def __init__(self, place: Place, models: Sequence[str]) -> None:
        self.place, self.models = place, models
        self.target = SlotBySlot(place.target())
        self.old = {model_id: example_link(model_id, 1) for model_id in models}
        self.new = {model_id: example_link(model_id, 2) for model_id in models}
        self.links = [*self.old.values(), *self.new.values()]
        self.details: dict[str, dict[str, Any]] = {}

    def check_names(self) -> None:
        again = self.place.target()
        name = getattr(self.target, "name", "")
        require(isinstance(name, str) and bool(name), "the target has no name: set it in its constructor")
        require(again.name == name, "two targets of one place have different names, so a task would not know its slots")
        slots = {model_id: self._slots(self.target, model_id) for model_id in self.models}
        for model_id, found in slots.items():
            require(bool(found), f"slots() returns none for model {model_id}")
            require(self._slots(again, model_id) == found, "slots() differs from one target of the place to the next")
        every = [slot for found in slots.values() for slot in found]
        require(len(set(every)) == len(every), "two models have the same slot, so that one would hide the other")

    def check_put_and_read_back(self) -> None:
        for model_id, link in self.old.items():
            self._put(link)
            self._require_shown(model_id, link, None)
            self._require_refused(link, self.new[model_id], "was never put")

    def check_replacing(self) -> None:
        for model_id, link in self.new.items():
            self._put(link)
            self._require_shown(model_id, link, self.old[model_id])
            self._require_refused(link, self.old[model_id], "has been replaced")
        for model_id, link in self.new.items():
            self._require_shown(model_id, link, self.old[model_id])  # the other models' puts have left it alone

    def check_several_at_once(self) -> None:
        if self.target.at_once < 2:
            return
        with ThreadPoolExecutor(max_workers=self.target.at_once) as pool:
            list(pool.map(self._put, self.old.values()))
        for model_id, link in self.old.items():
            self._require_shown(model_id, link, self.new[model_id])

    def check_check(self) -> None:
        before = self.place.everything()
        items = [{"model_id": model_id, "audience": "intranet"} for model_id in self.models]
        results = self.target.check(items)
        self._require_no_token("what check() returns", json.dumps([str(result) for result in results or ()]))
        require(self.place.everything() == before, "check() changes what the place holds: let it read alone")

    def check_clearing(self) -> None:
        gone, *others = self.models
        for model_id in (gone, *others):
            for slot in self._slots(self.target, model_id):
                self._guarded("take_away", partial(self.target.take_away, slot, self.details[slot]))
            shown = self.place.shown(model_id)
            left = [link for link in self._links_of(model_id) if link.token.reveal() in shown]
            require(not left, f"take_away() leaves a link of model {model_id} in place")
            if model_id == gone:
                kept = all(self._shows_any(other) for other in others)
                require(kept, "take_away() of one slot clears the slots of other models")

    # ------------------------------------------------------------------ calls

    def _slots(self, target: Target, model_id: str) -> list[str]:
        return list(target.slots({"model_id": model_id, "audience": "intranet"}))

    def _put(self, link: ShownLink) -> None:
        for slot in self._slots(self.target, link.model_id):
            previous = self.details.get(slot, {})
            result = SlotResult.of(self._guarded("put", partial(self.target.put, slot, link, previous)))
            try:
                text = json.dumps(result.details)
            except (TypeError, ValueError):
                raise AssertionError("put() returns details that are no JSON: the ledger cannot store them") from None
            self._require_no_token("the details that put() returns", text)
            self.details[slot] = json.loads(text)
            self._guarded("read_back", partial(self.target.read_back, slot, link, self.details[slot]))

    def _require_shown(self, model_id: str, link: ShownLink, other: ShownLink | None) -> None:
        shown = self.place.shown(model_id)
        require(
            link.token.reveal() in shown,
            f"put() and read_back() say that the link of model {model_id} is shown, but readers do not see it: read "
            "back what readers get, after it was stored, and let no error of the place pass",
        )
        if other is not None:
            require(other.token.reveal() not in shown, f"readers of model {model_id} still see the link it replaced")

    def _require_refused(self, shown: ShownLink, link: ShownLink, why: str) -> None:
        """Require that a read-back of another link than the shown one raises."""
        for slot in self._slots(self.target, link.model_id):
            try:
                self.target.read_back(slot, link, self.details[slot])
            except Exception as error:  # noqa: BLE001 - a target may raise what it likes; the text is examined
                self._require_no_token("the error of read_back()", f"{error}")
                continue
            raise AssertionError(f"read_back() accepts a link that {why}: it must raise unless readers see that link")

    def _guarded(self, name: str, call: Callable[[], Any]) -> Any:
        """Call the target as the publisher does. An error with a token in its text is one of the target's faults."""
        try:
            return retried(FakeClock(), call)
        except Exception as error:
            self._require_no_token(f"the error of {name}()", f"{error}")
            raise

    def _shows_any(self, model_id: str) -> bool:
        shown = self.place.shown(model_id)
        return any(link.token.reveal() in shown for link in self._links_of(model_id))

    def _links_of(self, model_id: str) -> tuple[ShownLink, ShownLink]:
        return self.old[model_id], self.new[model_id]

    def _require_no_token(self, what: str, text: str) -> None:
        require(not any(link.token.reveal() in text for link in self.links), f"{what} have a link or its token in them")


@contextmanager
def _no_token_printed(links: Sequence[ShownLink]) -> Iterator[None]:
    """Raise if a link is logged or printed while the block runs."""
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)  # debug output of libraries is left to Airflow, which masks it
    try:
        with redirect_stdout(kept), redirect_stderr(kept):
            yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    printed = kept.getvalue()
    require(
        not any(link.token.reveal() in printed for link in links),
        "the target logs or prints a link: reveal it only where it is written",
    )
