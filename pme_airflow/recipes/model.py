"""A recipe as checked, immutable values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pme_airflow.recipes.answers import Expectation, Keep
from pme_airflow.recipes.templates import Reference, Template, Text

__all__ = [
    "CONFLICT_STATUSES",
    "PUBLIC_VALUES",
    "SECRET_VALUES",
    "BodyKind",
    "Recipe",
    "Section",
    "Step",
    "fill",
    "texts_in",
]

#: Statuses of a concurrent change: the steps are sent again from the first one, which reads what is there now.
CONFLICT_STATUSES = frozenset({409, 412})
#: Values of a link that the ledger stores as well, so that a slot can be read and cleared without the link.
PUBLIC_VALUES = ("model_id", "audience", "link_id")
#: Values that are known while a link is published.
SECRET_VALUES = ("link", "access_token", "valid_until", "name")


class Section(Enum):
    """What steps are for; the value is the key in the recipe."""

    PUT = "steps"
    READ = "read_back"
    CLEAR = "take_away"
    CHECK = "check"

    @property
    def values(self) -> tuple[str, ...]:
        """The values of a link that templates of these steps may name."""
        if self in (Section.PUT, Section.READ):
            return (*PUBLIC_VALUES, *SECRET_VALUES)
        return PUBLIC_VALUES if self is Section.CLEAR else PUBLIC_VALUES[:2]


class BodyKind(Enum):
    """The form of a request's body."""

    NONE = "none"
    JSON = "json"
    FORM = "form"


@dataclass(frozen=True)
class Step:
    """One request.

    :param name: how later steps name it; empty in the single-request form.
    :param body: JSON with a :class:`Text` for each text in it.
    :param when: the request is left out where this is empty, ``false``, ``0`` or null.
    :param anonymous: whether it is sent without credentials, as a reader's is.
    :param accepts_text: whether the answer may be HTML or text, of which nothing but headers can be kept.
    :param conflict_statuses: the statuses that say that somebody changed the entry meanwhile.
    :param conflicts: values in an answer that say so, one is enough.
    :param optional: whether a permanent refusal is accepted, of which nothing but defaults is kept.
    :param required: values that an answer must have to be a success, all of them.
    """

    name: str
    method: str
    endpoint: Text
    headers: Mapping[str, Text] = field(default_factory=dict)
    body_kind: BodyKind = BodyKind.NONE
    body: Any = None
    expected: frozenset[int] = frozenset({200, 201, 202, 204})
    keep: tuple[Keep, ...] = ()
    when: Text | None = None
    anonymous: bool = False
    accepts_text: bool = False
    conflict_statuses: frozenset[int] = CONFLICT_STATUSES
    conflicts: tuple[Expectation, ...] = ()
    required: tuple[Expectation, ...] = ()
    optional: bool = False

    @property
    def writes(self) -> bool:
        """Whether the method changes something."""
        return self.method not in ("GET", "HEAD")

    @property
    def references(self) -> Iterator[Reference]:
        """The values that its templates name."""
        when = [] if self.when is None else [self.when]
        for text in (self.endpoint, *self.headers.values(), *texts_in(self.body), *when):
            yield from text.references


@dataclass(frozen=True)
class Recipe:
    """How links are shown, read and cleared over HTTP.

    :param slot: the name of a slot.
    :param sections: the steps of each section that the recipe has.
    :param texts: texts that the steps name, such as an iframe.
    :param signer: how requests are signed; empty for the connection's own credentials.
    :param keeps_old: whether the place keeps what was replaced, so that a replaced link is revoked at once.
    """

    slot: Text
    sections: Mapping[Section, tuple[Step, ...]]
    texts: Mapping[str, Template] = field(default_factory=dict)
    signer: str = ""
    keeps_old: bool = False

    def steps(self, section: Section) -> tuple[Step, ...]:
        """Return the steps of a section; empty if the recipe does not have it."""
        return self.sections.get(section, ())

    def names(self, section: Section) -> set[str]:
        """Return the names that the templates of a section use, directly or by ``texts``."""
        found = {reference.name for step in self.steps(section) for reference in step.references}
        for name in found & set(self.texts):
            found |= {reference.name for reference in self.texts[name].references}
        return found


def texts_in(body: Any) -> Sequence[Text]:
    """Return the texts of a body."""
    if isinstance(body, Text):
        return [body]
    inner = body.values() if isinstance(body, Mapping) else body if isinstance(body, list | tuple) else ()
    return [text for value in inner for text in texts_in(value)]


def fill(body: Any, render: Callable[[Text], Any]) -> Any:
    """Return a body with each text rendered."""
    if isinstance(body, Text):
        return render(body)
    if isinstance(body, Mapping):
        return {key: fill(value, render) for key, value in body.items()}
    if isinstance(body, list | tuple):
        return [fill(value, render) for value in body]
    return body
