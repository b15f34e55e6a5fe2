"""The base class of every target, and the values that it exchanges with the publisher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pme_airflow.checks import CheckResult
from pme_airflow.errors import SlotError
from pme_airflow.iso_times import iso_text
from pme_airflow.ledger.publications import Publication
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["DocumentSlot", "ShownLink", "SlotCheck", "SlotResult", "Target"]

#: The key by which a plain dict returned by ``put`` or ``take_away`` reports that the old link can still be read.
_REMAINS = "left_behind"


@dataclass(frozen=True)
class ShownLink:
    """An opened link that is about to be written into a slot. Reveal ``url`` and ``token`` only where they are written.

    :param name: the model's name where the API gave one, else its id. People type it: escape it for the place.
    :param params: the Showcase parameters that were appended to ``url``, as a query.
    """

    link_id: str
    model_id: str
    audience: str
    url: SecretStr
    token: AccessToken
    valid_until: datetime
    name: str = ""
    params: str = ""


@dataclass(frozen=True)
class DocumentSlot:
    """A slot of a document that is about to be written, with all slots that share the document.

    :param slot: the slot's name.
    :param model_id: the model that it shows.
    :param link: the link that it is to show. ``None`` for a slot that is to show nothing any more, and for one that is
        not changed and whose link is dead.
    :param details: what the last write returned for it, and the model's ``name``; empty the first time.
    :param changed: whether it is to show something else than it does now.
    :param former: the link that a changed slot shows now, if it is alive. A target that cannot show ``link`` goes on
        showing this one.
    """

    slot: str
    model_id: str
    link: ShownLink | None
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    changed: bool = True
    former: ShownLink | None = None

    @property
    def gone(self) -> bool:
        """Whether it is to show nothing any more."""
        return self.link is None and self.changed

    def keeps_former(self, error: SlotError) -> SlotError:
        """Return the error of a slot whose ``link`` cannot be shown, with what it goes on showing."""
        if self.former is None:
            return error
        until = iso_text(self.former.valid_until)
        return SlotError(f"{error}; the former link stays shown until {until}", passing=not error.permanent)


@dataclass(frozen=True)
class SlotCheck:
    """What a check of slots found. A slot that is named in neither field shows its link as it was recorded.

    :param lost: the slots that no longer show their link.
    :param details: new details of slots that still show their link, as :meth:`Target.put` returns them.
    """

    lost: Collection[str] = ()
    details: Mapping[str, dict[str, Any]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class SlotResult:
    """The result of writing or clearing a slot.

    :param details: JSON that the next ``put`` needs to edit the slot in place; never a link or a token.
    :param old_link_remains: whether the replaced link can still be read somewhere in the target, in a page's revision
        for example. Such a link is revoked without a grace period.
    """

    details: dict[str, Any] = field(default_factory=dict, repr=False)
    old_link_remains: bool = False

    @classmethod
    def of(cls, returned: object) -> SlotResult:
        """Convert what a target's ``put`` or ``take_away`` returned: a result, a dict, or nothing.

        :raises SlotError: if it is something else.
        """
        if isinstance(returned, SlotResult):
            return returned
        if returned is None:
            return cls()
        if not isinstance(returned, Mapping):
            raise SlotError(f"the target returned a {type(returned).__name__}: return a SlotResult or a dict")
        details = {key: value for key, value in returned.items() if key != _REMAINS}
        return cls(details, bool(returned.get(_REMAINS)))


class Target(ABC):
    """A place that shows links in slots. Subclass it with a name, and methods that write, read and clear a slot.

    A method that fails raises :class:`SlotError`. Any other exception is reported by its type alone, because its text
    may contain the link.
    """

    #: The target's name in the ledger. Two targets that write to the same place must have the same name.
    name: str
    #: Names that earlier versions gave this target. What the ledger holds under them is moved to ``name``.
    former_names: Sequence[str] = ()
    #: Whether models are shown by name; the names are then read from the API.
    shows_names: bool = False
    #: How many slots may be written at the same time, each in its own thread.
    at_once: int = 1

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        """Return the slots that show an item; by default one slot with the model's id as its name."""
        return [str(item["model_id"])]

    def adopts(self, publication: Publication) -> bool:
        """Return whether a publication under one of ``former_names`` is in this target and not in another one."""
        item = {"model_id": publication.model_id, "audience": publication.audience}
        return publication.slot in self.slots(item)

    @abstractmethod
    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult | dict[str, Any]:
        """Show a link in a slot, in place of the link that it shows now.

        :param previous: the details that the last ``put`` of this slot returned; empty the first time.
        :return: the result, or only its details as a dict. In a dict the key ``left_behind`` means
            ``old_link_remains``.
        """

    @abstractmethod
    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        """Read the slot as a reader would, and raise unless it shows this link and no other link of the model."""

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult | Mapping[str, Any] | None:
        """Clear a slot, so that it shows no link; return a result as :meth:`put` does, or nothing."""

    def place(self, publication: Publication) -> str:
        """Return a text that two slots share if they are one place under two names, by default the slot's name.

        Where another slot shows a link at the place of a slot that this target has no more, the former slot is
        withdrawn without :meth:`take_away`, which would clear the other one's link.
        """
        return publication.slot

    def document(self, slot: str) -> str | None:
        """Return the document that shows a slot together with others; ``None`` for a slot by itself.

        The slots of one document are claimed, written, read back and recorded together, with :meth:`write_document` and
        :meth:`read_document` in place of ``put``, ``read_back`` and ``take_away``. A document's name is the beginning
        of the names of its slots.
        """
        return None

    def write_document(self, document: str, slots: Sequence[DocumentSlot]) -> Mapping[str, SlotResult | SlotError]:
        """Write a document, so that each of its slots shows its link.

        No other run writes it at the same time. It may be called again after a temporary failure.

        :param slots: all slots of the document, those that stay as they are as well.
        :return: what became of each slot that is changed, as :meth:`put` returns it, or the error of one that failed
            alone. Slots that are not changed may be left out.
        """
        raise NotImplementedError

    def read_document(self, document: str, slots: Sequence[DocumentSlot]) -> Mapping[str, SlotError]:
        """Read a document as a reader would, and return the slots that do not show their link alone.

        :param slots: the slots that were written and show a link, each with the details that writing it returned.
        """
        raise NotImplementedError

    def is_current(self, shown: Publication) -> bool:
        """Return whether a slot shows its link in the form that this target gives it; if not, it is written anew."""
        return True

    def finish(self, shown: Sequence[Publication]) -> None:
        """Write what depends on all slots together, an index for example; called once after the slots."""

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        """Check whether slots still show the link that was published there, cheaply: one request for many slots.

        :param shown: slots that show their link according to the ledger; at most 500, each at most once in 10 minutes.
        :return: what was found; ``None`` where it cannot be found out cheaply.
        """
        return None

    def check(self, items: Sequence[Mapping[str, Any]] = ()) -> Sequence[CheckResult] | None:
        """Check, without publishing anything, whether links can be shown here; `pme-airflow doctor` calls it.

        Leave nothing changed. A target of your own overrides it; a check that raises :class:`SlotError` is bad, and
        one that returns nothing found nothing wrong.

        :param items: what is to be shown, each with ``model_id`` and ``audience``.
        """
        finding = "This target has no check of its own, so only publishing shows whether it works."
        cure = f"Write a method check() in {type(self).__name__} to have it checked before the first link."
        return [CheckResult.warning("check", finding, cure)]
