"""Read the criteria that select leaked links: tokens, fingerprints, link ids, models and audiences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pme_airflow.errors import PMEError, PMEInputError, PMEReportError
from pme_airflow.leaks.encodings import tokens_in, unwrapped
from pme_airflow.leaks.reports import PartialReportError, read_report
from pme_airflow.model_ids import model_id_of
from pme_airflow.sealing import fingerprint, is_fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["LeakCriteria", "candidates_of", "fingerprints_of", "lines_of"]


def lines_of(text: str) -> list[str]:
    """Return the lines of a text that are not blank; those of a wrapped link or token are one line again."""
    return [line for line in unwrapped(text).splitlines() if line.strip()]


def candidates_of(text: str) -> tuple[str, ...]:
    """Return the fingerprints of all words of a text that may be tokens; most are none, and only the ledger can say."""
    try:
        return read_report(text.encode("utf-8", "replace")).fingerprints
    except PartialReportError as error:
        return error.findings.fingerprints
    except PMEReportError:
        return ()


def fingerprints_of(tokens: Iterable[object]) -> tuple[list[str], int]:
    """Return the fingerprints of raw tokens, links in any encoding, and fingerprints; and how many values held none."""
    fingerprints: dict[str, None] = {}
    without = 0
    for value in tokens:
        text = value.strip() if isinstance(value, str) else ""
        if is_fingerprint(text.lower()):
            fingerprints[text.lower()] = None
            continue
        found = tokens_in(unwrapped(text), bare=True)
        without += not found
        fingerprints.update((fingerprint(AccessToken(token)), None) for token in found)
    return list(fingerprints), without


@dataclass(frozen=True)
class LeakCriteria:
    """The criteria that select leaked links. Tokens are kept as fingerprints.

    ``repr`` shows fingerprints alone: a token may have been given as a model, whose Views have ids of the same shape,
    or as an audience.
    """

    fingerprints: tuple[str, ...] = ()
    link_ids: tuple[str, ...] = field(default=(), repr=False)
    models: tuple[str, ...] = field(default=(), repr=False)
    audiences: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, given: Mapping[str, Iterable[object]], problems: list[PMEError]) -> LeakCriteria:
        """Read the criteria that a user gives. Raw tokens are replaced by their fingerprints here.

        :param given: ``tokens``, ``models``, ``audiences`` and ``link_ids``.
        :param problems: what cannot be read is added here; the rest is kept.
        """
        texts = {name: _texts(name, values, problems) for name, values in given.items()}
        tokens = texts.get("tokens", [])
        fingerprints, without = fingerprints_of(tokens)
        if without:
            problem = (
                f"{without} of {len(tokens)} hold no token. Give raw tokens, links with auth=Bearer+…, or fingerprints "
                "(sha256:…)."
            )
            problems.append(PMEInputError(problem, "tokens"))
        models: list[str] = []
        for value in texts.get("models", []):
            try:
                models.append(model_id_of(value))
            except PMEInputError as error:
                problems.append(error)
        return cls(
            tuple(fingerprints), tuple(texts.get("link_ids", [])), tuple(models), tuple(texts.get("audiences", []))
        )

    @property
    def by_name(self) -> dict[str, tuple[str, ...]]:
        """The criteria as the ledger's queries take them."""
        return {
            "fingerprints": self.fingerprints,
            "link_ids": self.link_ids,
            "models": self.models,
            "audiences": self.audiences,
        }

    @property
    def is_empty(self) -> bool:
        """Whether nothing is named."""
        return not any(self.by_name.values())

    @property
    def names_links(self) -> bool:
        """Whether single links are named."""
        return bool(self.fingerprints or self.link_ids)

    @property
    def names_groups(self) -> bool:
        """Whether models or audiences are named, whose links are meant."""
        return bool(self.models or self.audiences)

    def one_by_one(self) -> list[LeakCriteria]:
        """Return each criterion alone."""
        return [LeakCriteria(**{name: values}) for name, values in self.by_name.items() if values]


def _texts(name: str, values: Iterable[object], problems: list[PMEError]) -> list[str]:
    """Return the strings among some values; values of other types are a problem, and empty strings are skipped."""
    read = [values] if isinstance(values, str) else list(values)
    wrong = sorted({type(value).__name__ for value in read if not isinstance(value, str)})
    if wrong:
        problems.append(PMEInputError(f"expected texts, got {', '.join(wrong)} among them.", name))
    return [value.strip() for value in read if isinstance(value, str) and value.strip()]
