"""Reading what a person or an event names as leaked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.leaks.encodings import tokens_in
from pme_airflow.model_ids import model_id_of
from pme_airflow.sealing import fingerprint, is_fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["Flagging", "fingerprints_of"]


def fingerprints_of(tokens: Iterable[object]) -> tuple[list[str], int]:
    """Return the fingerprints of raw tokens, links in any encoding and fingerprints, and how many texts hold none."""
    found: dict[str, None] = {}
    empty = 0
    for given in tokens:
        text = given.strip() if isinstance(given, str) else ""
        if is_fingerprint(text.lower()):
            found[text.lower()] = None
            continue
        tokens_here = tokens_in(text, bare=True)
        empty += not tokens_here
        found.update((fingerprint(AccessToken(token)), None) for token in tokens_here)
    return list(found), empty


@dataclass(frozen=True)
class Flagging:
    """What leaked, by fingerprint, link id, model and audience; never a token in clear."""

    fingerprints: tuple[str, ...] = ()
    link_ids: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()

    @property
    def criteria(self) -> dict[str, tuple[str, ...]]:
        """The criteria by name, as the ledger's queries take them."""
        return {
            "fingerprints": self.fingerprints,
            "link_ids": self.link_ids,
            "models": self.models,
            "audiences": self.audiences,
        }

    @classmethod
    def gather(cls, given: Mapping[str, Iterable[object]], problems: list[PMEError]) -> Flagging | None:
        """Read what is given. Raw tokens are replaced by their fingerprints here.

        :param given: ``tokens``, ``models``, ``audiences`` and ``link_ids``.
        :param problems: what cannot be read is added here; the rest is kept.
        :return: ``None`` where nothing is left to flag.
        """
        texts = {name: _texts(name, values, problems) for name, values in given.items()}
        fingerprints, unread = fingerprints_of(texts.get("tokens", []))
        if unread:
            problems.append(
                PMEInputError(
                    f"tokens: {unread} of {len(texts['tokens'])} hold no token. Give raw tokens, links with "
                    "auth=Bearer+…, or fingerprints (sha256:…)."
                )
            )
        models: list[str] = []
        for value in texts.get("models", []):
            try:
                models.append(model_id_of(value))
            except PMEInputError as error:
                problems.append(error)
        gathered = cls(
            tuple(fingerprints), tuple(texts.get("link_ids", [])), tuple(models), tuple(texts.get("audiences", []))
        )
        return None if gathered == cls() else gathered


def _texts(name: str, values: Iterable[object], problems: list[PMEError]) -> list[str]:
    read = [values] if isinstance(values, str) else list(values)
    wrong = sorted({type(value).__name__ for value in read if not isinstance(value, str)})
    if wrong:
        problems.append(PMEInputError(f"{name}: expected texts, got {', '.join(wrong)} among them."))
    return [value for value in read if isinstance(value, str) and value.strip()]
