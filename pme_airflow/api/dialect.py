"""Remember the API's current schema: the names of the mutations, and which optional fields exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from threading import Event, Lock
from typing import Protocol

from pme_airflow.errors import PMEError

__all__ = ["OPTIONAL_FIELDS", "SHARED_MINT", "Dialect", "DialectMemory", "FactStore", "MutationNames"]

#: The mutation that makes one token for several models. It is a beta, so it may be missing or go away.
SHARED_MINT = "createPrivateModelEmbedToken"
#: Fields that every caller can do without. A query that the API refuses for one of them is sent again without it.
OPTIONAL_FIELDS = frozenset({"application", "link", "name", "state", "validUntil", SHARED_MINT})
_REFUSED = "refused_field:"
_MODELS_PER_TOKEN = "models_per_token"
#: How long a caller waits for the first request of its kind, in seconds.
_FIRST_REQUEST_SECONDS = 2.0


class MutationNames(Enum):
    """The two pairs of names that the vendor's pages give the same two mutations."""

    #: The names of the guide "Private Model Embed".
    EMBED_LINK = ("createPrivateModelEmbedLink", "deletePrivateModelEmbedToken")
    #: The names of an earlier guide's FAQ and of the vendor's public sample.
    ACCESS_LINK = ("createPrivateModelAccessLink", "deletePrivateModelAccessToken")

    @property
    def mint(self) -> str:
        """The name of the mutation that mints a link."""
        return self.value[0]

    @property
    def revoke(self) -> str:
        """The name of the mutation that revokes a token."""
        return self.value[1]


@dataclass(frozen=True)
class Dialect:
    """The form of a document.

    :param names: the names of the mutations.
    :param refused: optional fields that the API does not have.
    """

    names: MutationNames = MutationNames.EMBED_LINK
    refused: frozenset[str] = frozenset()

    @property
    def shares_tokens(self) -> bool:
        """Whether the API is not known to lack the mutation for tokens of several models."""
        return SHARED_MINT not in self.refused

    def select(self, *fields: str) -> str:
        """Return a selection of those fields that the API has."""
        return " ".join(name for name in fields if name not in self.refused)


class FactStore(Protocol):
    """Stores what one process learned about the API for other processes, for a day."""

    def load(self) -> dict[str, str]:
        """Return the facts by name."""

    def save(self, facts: dict[str, str]) -> None:
        """Keep facts by name."""


class DialectMemory:
    """Remembers the form of documents that the API executes. Safe to share between threads and clients.

    :param store: where it is kept for other processes; a store that fails costs a request, and nothing else.
    """

    def __init__(self, store: FactStore | None = None) -> None:
        self._store = store
        self._lock = Lock()
        self._loaded = store is None
        self._refused: frozenset[str] = frozenset()
        self._saved: frozenset[str] = frozenset()
        self._names = MutationNames.EMBED_LINK
        self._models_per_token: int | None = None
        self.names_confirmed = False
        self._first = Lock()
        self._settled = Event()

    @property
    def dialect(self) -> Dialect:
        """The form to write documents in."""
        with self._lock:
            if not self._loaded:
                self._load()
            return Dialect(self._names, self._refused)

    @property
    def models_per_token(self) -> int | None:
        """For how many models the API makes a token at the most; ``None`` where no limit was found."""
        return 1 if not self.dialect.shares_tokens else self._models_per_token

    def limit_models_per_token(self, most: int) -> None:
        """Remember for how many models the API makes a token at the most; 1 where it makes none for several."""
        if most == 1:
            self.refuse([SHARED_MINT])
            return
        with self._lock:
            self._models_per_token = most
        self.keep({_MODELS_PER_TOKEN: str(most)})

    def _load(self) -> None:
        assert self._store is not None
        self._loaded = True
        with suppress(PMEError):
            facts = self._store.load()
            known = (name.removeprefix(_REFUSED) for name in facts if name.startswith(_REFUSED))
            self._saved = OPTIONAL_FIELDS.intersection(known)
            self._refused |= self._saved
            self._models_per_token = int(facts.get(_MODELS_PER_TOKEN, 0)) or None

    def refuse(self, fields: Iterable[str | None]) -> None:
        """Leave optional fields out of documents from now on."""
        with self._lock:
            self._refused |= OPTIONAL_FIELDS.intersection(fields)

    def executed(self, dialect: Dialect, *, mutation: bool) -> None:
        """Note that the API executed a document of this form."""
        with self._lock:
            if mutation:
                self._names, self.names_confirmed = dialect.names, True
            new = dialect.refused - self._saved
            self._saved |= new
        if new:
            self.keep({f"{_REFUSED}{field}": "" for field in sorted(new)})

    def keep(self, facts: dict[str, str]) -> None:
        """Keep facts for other processes, where there is a store."""
        if self._store is not None:
            with suppress(PMEError):
                self._store.save(facts)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Block other requests of the same form until :meth:`settle`, so that only one is refused for its form.

        The others wait for 2 s at most, so that a first request that hangs delays no other for longer.
        """
        leads = not self._settled.is_set() and self._first.acquire(blocking=False)
        if not leads:
            self._settled.wait(_FIRST_REQUEST_SECONDS)
        try:
            yield
        finally:
            if leads:
                self._first.release()

    def settle(self) -> None:
        """Unblock all requests: one was answered, and not refused for its form."""
        self._settled.set()
