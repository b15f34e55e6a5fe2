"""The base of every target: a place that shows links in slots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pme_airflow.ledger.publications import Publication
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["ShownLink", "SlotCheck", "Target"]


@dataclass(frozen=True)
class ShownLink:
    """An opened link on its way into a slot. ``url`` and ``token`` are hidden: reveal them where they are written.

    :param name: what people call the model: its name where the API told it, else its id. It is what somebody typed:
        escape it as the place wants it.
    """

    link_id: str
    model_id: str
    audience: str
    url: SecretStr
    token: AccessToken
    valid_until: datetime
    name: str = ""


@dataclass(frozen=True)
class SlotCheck:
    """What a check of slots found. A slot that is named in neither field shows its link as it was recorded.

    :param lost: the slots that no longer show their link.
    :param details: new details of slots that still show their link, as :meth:`Target.put` returns them.
    """

    lost: Collection[str] = ()
    details: Mapping[str, dict[str, Any]] = field(default_factory=dict, repr=False)


class Target(ABC):
    """A place that shows links. Write your own by giving it a name, slots, and a way to put, read back and take away.

    A method that fails raises :class:`SlotError`; any other exception is reported by its type alone, since its text
    may hold the link.
    """

    #: Names the target in the ledger; two targets that show in the same place must have the same name.
    name: str
    #: Whether models are shown by name, which the API is asked for.
    shows_names: bool = False
    #: How many slots may be written at the same time, each in a thread of its own.
    at_once: int = 1

    def slots(self, item: Mapping[str, Any]) -> Sequence[str]:
        """The slots an item is shown in; one named by the model unless overridden."""
        return [str(item["model_id"])]

    @abstractmethod
    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        """Show a link in a slot, in place of what it shows.

        :param previous: what the last ``put`` returned for this slot; empty the first time.
        :return: JSON the next ``put`` needs to edit in place; never a link or token. With the key ``left_behind`` set,
            the old link still stands somewhere in the target (a page's revision, say): it is retired without grace.
        """

    @abstractmethod
    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        """Read the slot as a reader would, and raise unless it shows this link and no other one of ours."""

    def take_away(self, slot: str, details: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Clear a slot that is to show nothing any more; may return ``left_behind`` as :meth:`put` does."""

    def finish(self, shown: Sequence[Publication]) -> None:
        """Called once after the slots, with all the target shows; for an index, say."""

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        """Check whether slots still show the link that was published there, cheaply: one request for many slots.

        :param shown: what the ledger holds for shown; at most 500 slots, each at most once in 10 minutes.
        :return: what was found; ``None`` where it cannot be found out cheaply.
        """
        return None
