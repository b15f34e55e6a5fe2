"""Reading what somebody pastes: tokens, links, fingerprints or a scanner's report; and which known links it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pme_airflow.errors import PMEInputError, PMEReportError
from pme_airflow.leaks.reports import Findings, PartialReportError, read_report
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.lookup import links_of
from pme_airflow.ledger.model_names import known_names
from pme_airflow.ledger.read_model.leaks import shown_counts
from pme_airflow.lifecycle.leak_criteria import fingerprints_of, lines_of
from pme_airflow.lifecycle.overview import LedgerView, leaked_link

__all__ = ["MAX_PASTE_BYTES", "Paste", "pasted_links", "read_paste"]

#: Reading 5 MB takes up to 9 s of processor time, which the API server has no room for.
MAX_PASTE_BYTES = 1024 * 1024
#: More lines than these are a report or a log, whose words are not all taken for tokens.
_MOST_LINES = 500
_MOST_LISTED = 500


@dataclass(frozen=True)
class Paste:
    """What a text contains; fingerprints, never a token.

    :param named: fingerprints of what was given as a token, whether or not the ledger knows it.
    :param candidates: fingerprints of further words that may be tokens.
    :param form: what it was read as.
    :param problems: what of it could not be read.
    """

    named: tuple[str, ...]
    candidates: tuple[str, ...]
    form: str
    problems: tuple[str, ...] = ()


def read_paste(text: str) -> Paste:
    """Fingerprint the tokens in a text.

    :raises PMEInputError: if it is empty or too long.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_PASTE_BYTES:
        raise PMEInputError(
            f"it has {size} bytes, over the limit of {MAX_PASTE_BYTES}. Put the file into the folder that PME_REPORTS "
            "names, or run `pme-airflow ledger flag --findings FILE --sweep`.",
            "text",
        )
    lines = [line.strip() for line in lines_of(text)]
    if not lines:
        raise PMEInputError("it is empty. Paste tokens, links, fingerprints or a scanner's report.", "text")
    problems: list[str] = []
    findings = _findings(text, problems)
    is_text = findings is None or findings.form == "plain text"
    named = fingerprints_of(_words(lines))[0] if is_text and len(lines) <= _MOST_LINES else []
    candidates = findings.fingerprints if findings is not None else ()
    if findings is not None and findings.sha1:
        problems.append(
            f"{len(findings.sha1)} findings are SHA-1 digests, which are not compared here: run `pme-airflow ledger "
            "flag --findings FILE --sweep`."
        )
    return Paste(tuple(named), tuple(candidates), findings.form if findings else "plain text", tuple(problems))


def _words(lines: Sequence[str]) -> list[str]:
    """Return lines, and each line of several words by its words: people paste tokens side by side."""
    return [word for line in lines for word in (line.replace(",", " ").split() if _is_list(line) else [line])]


def _is_list(line: str) -> bool:
    """Return whether each word of a line has the length of a token, so that it is no sentence."""
    words = line.replace(",", " ").split()
    return len(words) > 1 and all(len(word) >= 16 for word in words)


def _findings(text: str, problems: list[str]) -> Findings | None:
    try:
        return read_report(text.encode("utf-8", "replace"))
    except PartialReportError as error:
        problems.append(str(error))
        return error.findings
    except PMEReportError as error:
        problems.append(str(error))
    return None


def pasted_links(view: LedgerView, paste: Paste) -> dict[str, Any]:
    """Return the connection's links whose tokens a text contains, the ones that may be alive first."""
    wanted = list(dict.fromkeys([*paste.named, *paste.candidates]))
    with view.database.read() as tx:
        rows = [row for row in links_of(tx, wanted) if row.client_id == view.client_id]
        shown = shown_counts(tx, [row.link_id for row in rows[:_MOST_LISTED]])
        names = known_names(tx, view.client_id, sorted({model_id for row in rows for model_id in row.opens}))
        now = tx.now()
    links = [
        {
            **leaked_link(row, now),
            "conn_id": view.conn_id,
            "model_name": _name(row, names),
            "slots": shown.get(row.link_id, 0),
        }
        for row in rows[:_MOST_LISTED]
    ]
    return {"conn_id": view.conn_id, "total": len(rows), "links": links}


def _name(row: LinkRow, names: Mapping[str, str]) -> str | None:
    """Return the names of a link's models; ``None`` if none of them has one."""
    named = [names.get(model_id) for model_id in row.opens]
    return ", ".join(n or model_id for n, model_id in zip(named, row.opens, strict=True)) if any(named) else None
