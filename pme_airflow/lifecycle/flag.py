"""Flagging: reading what somebody hands in, and one commit before anything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.leaks.encodings import tokens_in
from pme_airflow.ledger import flags
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.flags import Flagged
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.reasons import stored_reason
from pme_airflow.model_ids import model_id_of
from pme_airflow.sealing import fingerprint, is_fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["Flagging", "fingerprints_of"]


def fingerprints_of(tokens: Iterable[object]) -> tuple[list[str], int]:
    """The fingerprints of raw tokens, whole links in any disguise, and fingerprints; and how many held none."""
    marks: dict[str, None] = {}
    empty = 0
    for given in tokens:
        text = given.strip() if isinstance(given, str) else ""
        if is_fingerprint(text.lower()):
            marks[text.lower()] = None
            continue
        found = tokens_in(text, bare=True)
        empty += not found
        marks.update((fingerprint(AccessToken(token)), None) for token in found)
    return list(marks), empty


@dataclass(frozen=True)
class Flagging:
    """What is to be flagged; holds fingerprints, never a token."""

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
        """Read what somebody hands in. Raw tokens are fingerprinted here and go no further.

        :param given: ``tokens``, ``models``, ``audiences`` and ``link_ids``.
        :param problems: what cannot be read is added here; the rest is kept.
        :return: ``None`` where nothing is left to flag.
        """
        texts = {name: _texts(name, values, problems) for name, values in given.items()}
        marks, unread = fingerprints_of(texts.get("tokens", []))
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
        gathered = cls(tuple(marks), tuple(texts.get("link_ids", [])), tuple(models), tuple(texts.get("audiences", [])))
        return None if gathered == cls() else gathered

    def commit(self, database: Database, run_context: RunContext, reason: str) -> Flagged:
        """Flag in one transaction.

        :raises LedgerUnavailableError: where the ledger cannot be written; nothing is flagged then.
        """
        with database.write(run_context) as tx:
            return flags.flag(
                tx,
                stored_reason(reason, "flagged without a reason"),
                fingerprints=self.fingerprints,
                link_ids=self.link_ids,
                models=self.models,
                audiences=self.audiences,
            )


def _texts(name: str, values: Iterable[object], problems: list[PMEError]) -> list[str]:
    read = [values] if isinstance(values, str) else list(values)
    wrong = sorted({type(value).__name__ for value in read if not isinstance(value, str)})
    if wrong:
        problems.append(PMEInputError(f"{name}: expected texts, got {', '.join(wrong)} among them."))
    return [value for value in read if isinstance(value, str) and value.strip()]
