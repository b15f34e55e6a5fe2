"""Placements: for one audience, which models' links are shown where. Read from YAML and checked as a whole."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from pme_airflow.durations import Validity, parse_duration
from pme_airflow.errors import PMEInputError
from pme_airflow.model_ids import model_id_of
from pme_airflow.placements.outage import plan
from pme_airflow.placements.placement import Placement, TargetSpec, task_id_part

__all__ = ["check", "load"]

#: What each kind of target must and may be told.
_KINDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "object_storage": (
        frozenset({"path"}),
        frozenset({"conn_id", "sdk_url", "sdk_key", "public_url", "storage_options"}),
    ),
    "slack": (frozenset({"channel"}), frozenset({"slack_conn_id"})),
    "wordpress": (frozenset({"pages"}), frozenset({"wordpress_conn_id", "type"})),
    "http": (
        frozenset({"endpoint", "json"}),
        frozenset({"http_conn_id", "method", "headers", "expected_statuses", "read_endpoint", "clear_json"}),
    ),
    "custom": (frozenset({"class"}), frozenset({"options"})),
}
_KEYS = frozenset(
    {"audience", "valid_for", "models", "targets", "pme_conn_id", "renew_before", "keep_every", "allow_gaps"}
)
_AUDIENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_KEEP_EVERY = timedelta(minutes=15)


def load(beside: str | Path) -> list[Placement]:
    """The placements in the file ``$PME_PLACEMENTS`` names, or in ``placements.yaml`` beside a DAG file.

    :raises PMEInputError: with a line for each thing that is wrong.
    """
    path = Path(os.environ.get("PME_PLACEMENTS") or Path(beside).parent / "placements.yaml")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PMEInputError(
            f"placements: {path} cannot be read ({type(error).__name__}). Write it, or name another in PME_PLACEMENTS."
        ) from None
    return check(text, str(path))


def check(text: str, name: str = "placements.yaml") -> list[Placement]:
    """Read and check placements.

    :raises PMEInputError: with a line for each thing that is wrong.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise PMEInputError(f"placements: {name} is no YAML{where}.") from None
    entries = raw if isinstance(raw, list) else [raw]
    problems: list[str] = []
    if not raw:
        problems.append("it is empty: give one mapping with audience, models and targets, or a list of them")
    placements = [_placement(entry, ProblemCollector(problems, f"[{i}]" if len(entries) > 1 else "")) for i, entry in
                  enumerate(entries)] if raw else []  # fmt: skip
    good = [placement for placement in placements if placement is not None]
    _check_together(good, problems)
    if problems:
        raise PMEInputError(f"placements: {name} cannot be used:\n" + "\n".join(f"  - {p}" for p in problems))
    return good


@dataclass(frozen=True)
class ProblemCollector:
    problems: list[str]
    where: str

    def __call__(self, key: str, problem: str) -> None:
        self.problems.append(f"{self.where}{'.' if self.where else ''}{key}: {problem}")


def _placement(entry: Any, say: ProblemCollector) -> Placement | None:
    if not isinstance(entry, Mapping):
        say("placement", f"expected a mapping, got a {type(entry).__name__}")
        return None
    before = len(say.problems)
    for key in sorted(set(map(str, entry)) - _KEYS):
        say(key, f"is unknown; the keys are {', '.join(sorted(_KEYS))}")
    audience = str(entry.get("audience", "default"))
    if not _AUDIENCE.match(audience):
        say("audience", "give 1 to 64 letters, digits, dots, dashes or underscores")
    validity = _validity(entry, say)
    models = _models(entry.get("models"), say)
    renew_before = _duration(entry, "renew_before", validity.duration / 2, say)
    keep_every = None if entry.get("keep_every") is False else _duration(entry, "keep_every", _KEEP_EVERY, say)
    if renew_before >= validity.duration:
        say("renew_before", f"{renew_before} is not less than valid_for ({validity}): every look would mint anew")
    targets = _targets(entry.get("targets"), audience, models, say)
    allow = entry.get("allow_gaps", False)
    if not isinstance(allow, bool):
        say("allow_gaps", "give true or false")
    if len(say.problems) > before:
        return None
    conn_id = str(entry.get("pme_conn_id", "pme_default"))
    placement = Placement(audience, validity, models, targets, conn_id, renew_before, keep_every, bool(allow))
    _check_gap(placement, say)
    return placement


def _check_gap(placement: Placement, say: ProblemCollector) -> None:
    outcome = plan(placement)
    if outcome.leaves_gap and not placement.allow_gaps:
        say("valid_for", f"{outcome.in_words()} {outcome.cure}, or say allow_gaps: true")


def _validity(entry: Mapping[str, Any], say: ProblemCollector) -> Validity:
    try:
        return Validity.parse(entry.get("valid_for", "24h"))
    except PMEInputError as error:
        say("valid_for", str(error).removeprefix("valid_for: "))
        return Validity.parse("24h")


def _duration(entry: Mapping[str, Any], key: str, default: timedelta, say: ProblemCollector) -> timedelta:
    if entry.get(key) is None:
        return default
    try:
        return parse_duration(entry[key], key)
    except PMEInputError as error:
        say(key, str(error).removeprefix(f"{key}: "))
        return default


def _models(raw: Any, say: ProblemCollector) -> Sequence[str] | Mapping[str, str]:
    if isinstance(raw, Mapping):
        if set(raw) == {"query"} and isinstance(raw["query"], str) and raw["query"].strip():
            return {"query": raw["query"]}
        say("models", 'a mapping must be {query: "…"}, with "*" for all')
        return []
    if not isinstance(raw, list) or not raw:
        say("models", 'give a list of model ids, or {query: "*"}')
        return []
    found: list[str] = []
    for index, value in enumerate(raw):
        try:
            model_id = model_id_of(value)
        except PMEInputError as error:
            say(f"models[{index}]", str(error).removeprefix("models: "))
            continue
        if model_id in found:
            say(f"models[{index}]", f"{model_id} is listed twice")
        found.append(model_id)
    return found


def _targets(
    raw: Any, audience: str, models: Sequence[str] | Mapping[str, str], say: ProblemCollector
) -> tuple[TargetSpec, ...]:
    if not isinstance(raw, list) or not raw:
        say("targets", "give a list of at least one target, each with its kind")
        return ()
    specs = [_target(entry, f"targets[{index}]", index, audience, models, say) for index, entry in enumerate(raw)]
    return tuple(spec for spec in specs if spec is not None)


def _target(
    entry: Any, where: str, index: int, audience: str, models: Sequence[str] | Mapping[str, str], say: ProblemCollector
) -> TargetSpec | None:
    kind = entry.get("kind") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(kind, str) or kind not in _KINDS:
        say(f"{where}.kind", f"{kind!r} is unknown; the kinds are {', '.join(sorted(_KINDS))}")
        return None
    must, may = _KINDS[kind]
    options = {str(key): value for key, value in entry.items() if key != "kind"}
    for key in sorted(must - set(options)):
        say(f"{where}.{key}", f"is missing; a target of kind {kind} needs it")
    for key in sorted(set(options) - must - may):
        say(f"{where}.{key}", f"is unknown for {kind}; it takes {', '.join(sorted(must | may))}")
    if kind == "wordpress":
        _check_pages(options.get("pages"), f"{where}.pages", models, say)
    return TargetSpec(kind, options, f"publish_{task_id_part(audience)}_{index}_{kind}")


def _check_pages(pages: Any, where: str, models: Sequence[str] | Mapping[str, str], say: ProblemCollector) -> None:
    if not isinstance(pages, Mapping):
        if pages is not None:
            say(where, "give a mapping of model id to page number")
        return
    for model, page in pages.items():
        if isinstance(page, bool) or not isinstance(page, int) or page <= 0:
            say(f"{where}.{model}", "give the page's number")
        if not isinstance(models, Mapping) and str(model) not in models:
            say(f"{where}.{model}", "is a page for a model that is not listed in models")
    for model in () if isinstance(models, Mapping) else models:
        if model not in pages:
            say(f"{where}.{model}", "is missing: every listed model needs a page")


def _check_together(placements: Sequence[Placement], problems: list[str]) -> None:
    audiences: set[str] = set()
    places: dict[str, str] = {}
    for placement in placements:
        if placement.audience in audiences:
            problems.append(f"audience: {placement.audience} stands twice; give each audience one placement")
        audiences.add(placement.audience)
        for target in placement.targets:
            owner = places.setdefault(target.place, placement.audience)
            if target.kind in ("object_storage", "http", "custom") and owner != placement.audience:
                problems.append(
                    f"targets: {target.kind} shows both {owner} and {placement.audience} in the same place; give each "
                    "a place of its own"
                )
            elif owner == placement.audience and [t.place for t in placement.targets].count(target.place) > 1:
                line = f"targets: {target.kind} stands twice with the same place for {placement.audience}"
                if line not in problems:
                    problems.append(line)
