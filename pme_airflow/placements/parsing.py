"""Reading placements from YAML, and checking them as a whole."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pme_airflow.durations import SHORT_VALIDITY, Validity, parse_duration
from pme_airflow.embed_params import EmbedParams
from pme_airflow.errors import PMEInputError
from pme_airflow.leaks.encodings import redact
from pme_airflow.model_ids import model_id_of
from pme_airflow.placements.outage import plan
from pme_airflow.placements.placement import DEFAULT_TIMEZONE, Placement
from pme_airflow.placements.problems import MAX_PROBLEMS, ProblemCollector, TooManyProblemsError, shown
from pme_airflow.placements.target_specs import read_targets
from pme_airflow.placements.token_sharing import read_sharing
from pme_airflow.placements.yaml_text import read_yaml
from pme_airflow.printable import printable

__all__ = ["check", "connections", "load", "placements_file"]

_KEYS = frozenset(
    {
        "allow_clearing",
        "allow_gaps",
        "audience",
        "exclude",
        "keep_every",
        "models",
        "models_per_token",
        "params",
        "pme_conn_id",
        "renew_before",
        "targets",
        "timezone",
        "token",
        "valid_for",
    }
)
_AUDIENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
#: Others, such as a thousand dots, are module names to ``zoneinfo``.
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,3}")
_KEEP_EVERY = timedelta(minutes=30)
_DEFAULT_CONNECTION = "pme_default"

log = logging.getLogger(__name__)


def load(dag_file: str | Path) -> list[Placement]:
    """Return the placements in the file ``$PME_PLACEMENTS`` names, or in ``placements.yaml`` in a DAG file's folder.

    :raises PMEInputError: with a line for each thing that is wrong.
    """
    path = placements_file(dag_file)
    return check(_text_of(path), str(path))


def connections(dag_file: str | Path) -> list[str]:
    """Return the ids of the PME connections that the placements of a DAG file name; ``pme_default`` if they name none.

    A mistake in the placements is logged, and does not stop what must run in spite of it: the leak response and the
    sweep. Of placements that cannot be used the connections are read alone.
    """
    try:
        named = {placement.pme_conn_id for placement in load(dag_file)}
    except PMEInputError as error:
        log.error("%s", error)
        named = _named_connections(dag_file)
    return sorted(named) or [_DEFAULT_CONNECTION]


def _named_connections(dag_file: str | Path) -> set[str]:
    with suppress(PMEInputError):
        path = placements_file(dag_file)
        raw = read_yaml(_text_of(path), str(path), unique_keys=False)
        entries = [entry for entry in (raw if isinstance(raw, list) else [raw]) if isinstance(entry, Mapping)]
        named = [entry.get("pme_conn_id", _DEFAULT_CONNECTION) for entry in entries]
        return {conn_id for conn_id in named if isinstance(conn_id, str) and conn_id}
    return set()


def placements_file(dag_file: str | Path) -> Path:
    """Return the file that ``$PME_PLACEMENTS`` names, or ``placements.yaml`` in a DAG file's folder."""
    return Path(os.environ.get("PME_PLACEMENTS") or Path(dag_file).parent / "placements.yaml")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PMEInputError(
            f"placements: {path} cannot be read ({type(error).__name__}). Write it, or name another in PME_PLACEMENTS."
        ) from None


def check(text: str, name: str = "placements.yaml") -> list[Placement]:
    """Read and check placements. A file that holds none, or an empty list, publishes nothing.

    :raises PMEInputError: with a line for each thing that is wrong, of the first hundred.
    """
    raw = read_yaml(text, name)
    entries = raw if isinstance(raw, list) else [] if raw is None else [raw]
    problems = ProblemCollector()
    placements: list[Placement] = []
    with suppress(TooManyProblemsError):
        placements = _read_placements(entries, problems)
    if problems.problems:
        lines = "\n".join(f"  - {printable(redact(problem))}" for problem in problems.problems)
        if len(problems.problems) >= MAX_PROBLEMS:
            lines += f"\n  - it was not read further after {MAX_PROBLEMS} mistakes"
        raise PMEInputError(f"placements: {name} cannot be used:\n{lines}")
    if not placements:
        log.info("placements: %s names none, so nothing is published.", name)
    return placements


def _read_placements(entries: Sequence[Any], problems: ProblemCollector) -> list[Placement]:
    read = [
        _read_placement(entry, problems.at(f"[{index}]" if len(entries) > 1 else ""))
        for index, entry in enumerate(entries)
    ]
    placements = [placement for placement in read if placement is not None]
    _check_together(placements, problems)
    return placements


def _read_placement(entry: Any, problems: ProblemCollector) -> Placement | None:
    if not isinstance(entry, Mapping):
        problems.add("placement", f"expected a mapping, got a {type(entry).__name__}")
        return None
    before = len(problems.problems)
    for key in sorted(set(map(str, entry)) - _KEYS):
        problems.add(key, f"is unknown; the keys are {', '.join(sorted(_KEYS))}")
    placement = _placement_of(entry, problems)
    if len(problems.problems) > before:
        return None
    if placement.valid_for.is_short:
        log.warning("placements: %s: valid_for: %s. %s", placement.audience, placement.valid_for, SHORT_VALIDITY)
    outcome = plan(placement)
    if outcome.leaves_gap and not placement.allow_gaps:
        problems.add("valid_for", f"{outcome.in_words()} {outcome.cure}, or accept it with allow_gaps: true")
    return placement


def _placement_of(entry: Mapping[str, Any], problems: ProblemCollector) -> Placement:
    """Read every key; one that is wrong is in the problems, and its default is used."""
    given = entry.get("audience", "default")
    audience = str(given) if isinstance(given, str | int | float) else ""
    if not _AUDIENCE.match(audience):
        problems.add("audience", "give 1 to 64 letters, digits, dots, dashes or underscores")
    conn_id = entry.get("pme_conn_id", _DEFAULT_CONNECTION)
    if not isinstance(conn_id, str) or not conn_id:
        problems.add("pme_conn_id", "give the id of a connection")
        conn_id = "pme_default"
    schedule = _read_schedule(entry, problems)
    exclude = _read_ids(entry["exclude"], "exclude", problems) if entry.get("exclude") is not None else []
    models = _read_models(entry.get("models"), problems)
    left_out = frozenset(exclude)
    ids = None if models.query is not None else [model_id for model_id in models.ids if model_id not in left_out]
    listed = None if ids is None else dict.fromkeys(ids)  # each is looked up for each page and parameter
    targets = read_targets(entry.get("targets"), audience, listed, left_out, problems)
    allow_clearing = _read_flag(entry, "allow_clearing", problems)
    return Placement(
        audience,
        schedule.validity,
        _query(models.query, exclude, allow_clearing) if ids is None else ids,
        targets,
        conn_id,
        schedule.renew_before,
        schedule.keep_every,
        _read_flag(entry, "allow_gaps", problems),
        tuple(exclude),
        allow_clearing,
        _read_timezone(entry, problems),
        _read_params(entry.get("params"), listed, left_out, problems),
        read_sharing(entry, problems),
    )


@dataclass(frozen=True)
class _Schedule:
    """How long links live, when they are due, and how often the keeper looks."""

    validity: Validity
    renew_before: timedelta
    keep_every: timedelta | None


def _read_schedule(entry: Mapping[str, Any], problems: ProblemCollector) -> _Schedule:
    validity = _read_validity(entry, problems)
    renew_before = _read_duration(entry, "renew_before", validity.duration / 2, problems)
    if renew_before >= validity.duration:
        problem = f"{renew_before} is not less than valid_for ({validity}): every run would mint anew"
        problems.add("renew_before", problem)
    if entry.get("keep_every") is False:
        return _Schedule(validity, renew_before, None)
    return _Schedule(validity, renew_before, _read_duration(entry, "keep_every", _KEEP_EVERY, problems))


def _query(query: str | None, exclude: Sequence[str], allow_clearing: bool) -> dict[str, Any]:
    """Return a query as the operators take it."""
    return {
        "query": query,
        **({"exclude": list(exclude)} if exclude else {}),
        **({"allow_clearing": True} if allow_clearing else {}),
    }


def _read_validity(entry: Mapping[str, Any], problems: ProblemCollector) -> Validity:
    try:
        return Validity.parse(entry.get("valid_for", "24h"))
    except PMEInputError as error:
        problems.add_error("valid_for", error)
        return Validity.parse("24h")


def _read_duration(entry: Mapping[str, Any], key: str, default: timedelta, problems: ProblemCollector) -> timedelta:
    if entry.get(key) is None:
        return default
    try:
        return parse_duration(entry[key], key)
    except PMEInputError as error:
        problems.add_error(key, error)
        return default


def _read_flag(entry: Mapping[str, Any], key: str, problems: ProblemCollector) -> bool:
    value = entry.get(key, False)
    if not isinstance(value, bool):
        problems.add(key, "give true or false")
        return False
    return value


def _read_params(
    raw: Any, models: Collection[str] | None, exclude: Collection[str], problems: ProblemCollector
) -> EmbedParams:
    """Read the Showcase parameters of links.

    :param models: the ids of the placement's models; ``None`` if a query finds them.
    """
    try:
        params = EmbedParams.parse(raw)
    except PMEInputError as error:
        problems.add_error(error.field or "params", error)
        return EmbedParams()
    for model_id in params.single:
        if models is not None and model_id not in models and model_id not in exclude:
            problems.add(f"params.{model_id}", "is for a model that is not listed in models")
    return params


def _read_timezone(entry: Mapping[str, Any], problems: ProblemCollector) -> str:
    name = entry.get("timezone", DEFAULT_TIMEZONE)
    # ZoneInfoNotFoundError is a KeyError; a folder's name is an OSError, a path a ValueError
    with suppress(KeyError, OSError, ValueError):
        if isinstance(name, str) and _ZONE.fullmatch(name):
            return str(ZoneInfo(name))
    problems.add("timezone", f"{shown(name)} is unknown; give an IANA time zone such as Europe/Berlin")
    return DEFAULT_TIMEZONE


@dataclass(frozen=True)
class _Models:
    """What ``models`` holds: ids, or a query."""

    ids: Sequence[str] = ()
    query: str | None = None


def _read_models(raw: Any, problems: ProblemCollector) -> _Models:
    if isinstance(raw, Mapping):
        if set(raw) == {"query"} and isinstance(raw["query"], str) and raw["query"].strip():
            return _Models(query=raw["query"])
        problems.add("models", 'a mapping must be {query: "…"}, with "*" for all')
        return _Models()
    if not isinstance(raw, list):
        problems.add("models", 'give a list of model ids, an empty one to show nothing, or {query: "*"}')
        return _Models()
    return _Models(_read_ids(raw, "models", problems))


def _read_ids(raw: Any, key: str, problems: ProblemCollector) -> list[str]:
    if not isinstance(raw, list):
        problems.add(key, "give a list of model ids")
        return []
    found: dict[str, None] = {}  # in the order given
    for index, value in enumerate(raw):
        try:
            model_id = model_id_of(value)
        except PMEInputError as error:
            problems.add_error(f"{key}[{index}]", error)
            continue
        if model_id in found:
            problems.add(f"{key}[{index}]", f"{model_id} is listed twice")
        found[model_id] = None
    return list(found)


def _check_together(placements: Sequence[Placement], problems: ProblemCollector) -> None:
    """Check what placements of one file must not have, or must have, in common."""
    audiences: set[str] = set()
    owners: dict[str, str] = {}
    for placement in placements:
        if placement.audience in audiences:
            problems.add("audience", f"{placement.audience} stands twice; give each audience one placement")
        audiences.add(placement.audience)
        _check_locations(placement, owners, problems)
    zones = sorted({placement.timezone for placement in placements})
    if len(zones) > 1:
        problems.add(
            "timezone",
            f"{' and '.join(zones)} are given; one nightly run serves all placements of a file, so give them the same",
        )


def _check_locations(placement: Placement, owners: dict[str, str], problems: ProblemCollector) -> None:
    """Check that no two targets write the same slots."""
    seen: set[str] = set()
    for target in placement.targets:
        if target.location in seen:
            problems.add("targets", f"{target.kind} stands twice with the same place for {placement.audience}")
            continue
        seen.add(target.location)
        for slots in target.slots_of_one_audience:
            owner = owners.setdefault(slots, placement.audience)
            if owner != placement.audience:
                problem = f"{target.kind} shows both {owner} and {placement.audience} in the same place"
                problems.add("targets", f"{problem}; give each its own")
                break
