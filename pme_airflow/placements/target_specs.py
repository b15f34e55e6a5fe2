"""Reading a placement's targets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pme_airflow.concurrency import read_at_once
from pme_airflow.errors import PMEInputError
from pme_airflow.extras import require_extra, require_store
from pme_airflow.placements.placement import TargetSpec, task_id_part
from pme_airflow.placements.problems import ProblemCollector, shown
from pme_airflow.recipes import RECIPE_KEYS, check_request, check_timeout, read_recipe
from pme_airflow.recipes.fields import Fields
from pme_airflow.recipes.parsing import SIGNERS

__all__ = ["read_targets"]


@dataclass(frozen=True)
class _Kind:
    """The options of a kind of target."""

    required: frozenset[str]
    optional: frozenset[str]


_KINDS: Mapping[str, _Kind] = {
    "object_storage": _Kind(
        frozenset({"path"}), frozenset({"conn_id", "sdk_url", "sdk_key", "public_url", "storage_options", "at_once"})
    ),
    "slack": _Kind(frozenset({"channel"}), frozenset({"slack_conn_id", "layout"})),
    "wordpress": _Kind(frozenset(), frozenset({"pages", "wordpress_conn_id", "type", "mode", "at_once"})),
    "http": _Kind(
        frozenset({"endpoint", "json"}),
        frozenset(
            {
                "at_once",
                "each",
                "group",
                "http_conn_id",
                "method",
                "headers",
                "expected_statuses",
                "read_endpoint",
                "clear_json",
                "signer",
                "timeout",
            }
        ),
    ),
    "custom": _Kind(frozenset({"class"}), frozenset({"options"})),
}
#: ``kind: http`` with a list of steps in place of one request.
_HTTP_STEPS = _Kind(frozenset({"steps"}), frozenset({"http_conn_id", "timeout", "at_once", *RECIPE_KEYS}) - {"steps"})
_WORDPRESS_MODES = ("auto", "plugin", "content")
#: How links are shown in a Slack channel.
_LAYOUTS = ("message", "list")


def read_targets(
    raw: Any, audience: str, models: Collection[str] | None, exclude: Collection[str], problems: ProblemCollector
) -> tuple[TargetSpec, ...]:
    """Read a placement's list of targets; what is wrong is added to the problems.

    :param models: the ids of the placement's models; ``None`` if a query finds them.
    :param exclude: the ids of models that are not published.
    """
    if not isinstance(raw, list) or not raw:
        problems.add("targets", "give a list of at least one target, each with its kind")
        return ()
    specs = [
        _read_target(entry, f"targets[{index}]", f"publish_{task_id_part(audience)}_{index}", models, exclude, problems)
        for index, entry in enumerate(raw)
    ]
    return tuple(spec for spec in specs if spec is not None)


def _read_target(
    entry: Any,
    where: str,
    task_id: str,
    models: Collection[str] | None,
    exclude: Collection[str],
    problems: ProblemCollector,
) -> TargetSpec | None:
    name = entry.get("kind") if isinstance(entry, Mapping) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if not isinstance(entry, Mapping) or kind is None:
        problems.add(f"{where}.kind", f"{shown(name)} is unknown; the kinds are {', '.join(sorted(_KINDS))}")
        return None
    options = {str(key): value for key, value in entry.items() if key != "kind"}
    if name == "http" and "steps" in options:
        kind = _HTTP_STEPS
    for key in sorted(kind.required - set(options)):
        problems.add(f"{where}.{key}", f"is missing; a target of kind {name} needs it")
    for key in sorted(set(options) - kind.required - kind.optional):
        known = ", ".join(sorted(kind.required | kind.optional))
        problems.add(f"{where}.{key}", f"is unknown for {name}; it takes {known}")
    _check_installed(str(name), options, where, problems)
    _check_at_once(options, where, problems)
    if name == "http":
        _check_http(options, where, problems)
    if name == "slack" and options.get("layout", "message") not in _LAYOUTS:
        problems.add(f"{where}.layout", f"give {' or '.join(_LAYOUTS)}")
    if name == "wordpress":
        _check_mode(options, where, problems)
        _check_pages(options, f"{where}.pages", models, exclude, problems)
    return TargetSpec(str(name), options, f"{task_id}_{name}")


def _check_http(options: Mapping[str, Any], where: str, problems: ProblemCollector) -> None:
    """Add what is wrong with a recipe, or with a single request."""
    fields = Fields()
    if "steps" in options:
        read_recipe(options, fields)
        check_timeout(options, fields)
    else:
        check_request(options, fields)
        if options.get("signer", "") not in ["", *SIGNERS]:
            fields.add("signer", f"is unknown; the signers are {', '.join(sorted(SIGNERS))}")
    if not isinstance(options.get("http_conn_id", ""), str):
        fields.add("http_conn_id", "give the id of a connection")
    for key, problem in [*fields.problems, *_problems_of_group(options)]:
        problems.add(f"{where}.{key}", problem)


def _problems_of_group(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a request for all models of an audience."""
    if not isinstance(options.get("group", False), bool):
        yield "group", "give true or false"
    elif not options.get("group"):
        if "each" in options:
            yield "each", "needs group: true"
    else:
        for key in ("clear_json", "at_once"):
            if key in options:
                yield key, "has no meaning with group: true, where one request writes all models"


def _check_installed(kind: str, options: Mapping[str, Any], where: str, problems: ProblemCollector) -> None:
    """Add a problem if a target needs a package that is not installed, before any link is minted for it."""
    try:
        if kind == "slack":
            require_extra("slack")
        elif kind == "object_storage":
            require_store(options.get("path"), "path")
    except PMEInputError as error:
        problems.add(f"{where}.{error.field}".rstrip("."), error.problem)


def _check_mode(options: Mapping[str, Any], where: str, problems: ProblemCollector) -> None:
    mode = options.get("mode", "auto")
    if mode not in _WORDPRESS_MODES:
        problems.add(f"{where}.mode", f"{shown(mode)} is unknown; give {', '.join(_WORDPRESS_MODES)}")
    if mode != "plugin" and "pages" not in options:
        problems.add(f"{where}.pages", "is missing; a target of kind wordpress needs it")


def _check_at_once(options: Mapping[str, Any], where: str, problems: ProblemCollector) -> None:
    try:
        if "at_once" in options:
            read_at_once(options["at_once"])
    except PMEInputError as error:
        problems.add(f"{where}.{error.field}", error.problem)


def _check_pages(
    options: Mapping[str, Any],
    where: str,
    models: Collection[str] | None,
    exclude: Collection[str],
    problems: ProblemCollector,
) -> None:
    pages, optional = options.get("pages"), options.get("mode") == "plugin"
    if not isinstance(pages, Mapping):
        if pages is not None:
            problems.add(where, "give a mapping of model id to page number")
        return
    for model, page in pages.items():
        if isinstance(page, bool) or not isinstance(page, int) or page <= 0:
            problems.add(f"{where}.{model}", "give the page's number")
        if models is not None and str(model) not in models and str(model) not in exclude:
            problems.add(f"{where}.{model}", "is a page for a model that is not listed in models")
    for model in models or ():
        if model not in pages and not optional:
            problems.add(f"{where}.{model}", "is missing: every listed model needs a page")
