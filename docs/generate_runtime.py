"""Reference pages of what runs: metrics, environment variables, assets, XCom items, states, the Python interface."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from generate_markdown import clean, docstring, table

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pme_airflow"
#: What each metric means; one that is emitted and missing here fails tests/docs/test_reference.py.
METRICS: Mapping[str, str] = {
    "pme.alarms": "alarms raised",
    "pme.dead_links": "links that the API accepts no more although nobody revoked them here",
    "pme.expired": "links that ended by themselves",
    "pme.exposure": "milliseconds from a flag to the confirmed revocation, of each leaked link",
    "pme.flagged_pending": "flagged links that are not revoked yet",
    "pme.irrevocable": "links whose revocation was denied `max_attempts` times",
    "pme.links_flagged": "leaked links that are alive, shown or not",
    "pme.links_irrevocable": "links that the API would not revoke",
    "pme.links_oldest_flag_seconds": "seconds since the oldest flag on a live link; 0 if there is none",
    "pme.links_unaccounted": "links whose response was lost and that may be alive",
    "pme.lost_answers": "mints whose response was lost, so that a token may exist",
    "pme.mint_failures": "models for which no link could be minted",
    "pme.minted": "links minted",
    "pme.oldest_flag_seconds": "seconds since the oldest flag on a live link that a slot shows; 0 if there is none",
    "pme.publish_failures": "slots that failed",
    "pme.published": "slots that show their link",
    "pme.renewal_wakes": "keeper runs that the ledger trigger started",
    "pme.renewal_wakes_held_back": "looks of the ledger trigger at due renewals that a run was started for before",
    "pme.retirement_delay": "milliseconds from the time at which a replaced link was due to its confirmed revocation",
    "pme.revoked": "links that the API confirmed revoked",
    "pme.seconds_to_expiry": "seconds until the first link ends that is not over; 0 if all are",
    "pme.seconds_to_renewal": "seconds until the first link is due; 0 if one is",
    "pme.slots": "slots",
    "pme.slots_at_risk": "slots nearer to their end than the plan allows, or past it",
    "pme.slots_dark": "slots whose link is over",
    "pme.slots_due": "slots whose link is to be renewed now",
    "pme.slots_irrevocable": "slots that show a link the API would not revoke",
    "pme.slots_overdue": "slots whose link is due for longer than two runs of the keeper",
    "pme.slots_read_at": "when the slots were read, in seconds since 1970",
    "pme.slots_unaccounted": "slots whose last write was not confirmed",
    "pme.sweep_wakes": "sweep runs that the ledger trigger started",
    "pme.sweep_wakes_held_back": "looks of the ledger trigger at due links that a run was started for before",
}
_KINDS = {"incr": "counter", "decr": "counter", "gauge": "gauge", "timing": "timer", "timer": "timer"}
#: Who reads each environment variable, and what it means; one that is missing here fails the same test.
ENVIRONMENT: Mapping[str, tuple[str, str]] = {
    "PME_EMULATOR_SECRET": ("`pme-airflow emulator`", "the client secret of the emulator"),
    "PME_PLACEMENTS": (
        "the DAG processor and the workers, for the shipped DAGs; the API server, for the page; the commands `plan`, "
        "`doctor`, `status`, `retire` and `wordpress-move`",
        "the file with the placements, in place of the one next to the DAGs. The page else reads the one in the DAGs "
        "folder; a command reads the one in its working folder, or else in the DAGs folder",
    ),
    "PME_REPORTS": (
        "the DAG processor and the triggerer, for `pme_leak_response`",
        "a folder or bucket (`ObjectStoragePath`) that scanners' reports are dropped in",
    ),
    "PME_REPORT_HOSTS": (
        "operators and commands that read reports from URLs",
        "the hosts that they may be read from, with their ports, and commas between: "
        "`reports.example.com,ci.internal:8443`. No host by default",
    ),
}
#: What each field of an XCom item is.
ITEM_FIELDS: Mapping[str, str] = {
    "link_id": "the link's id in the ledger",
    "model_id": "the model",
    "audience": "the audience",
    "fingerprint": "`sha256:…` of the token",
    "valid_until": "the end of its life, ISO 8601 in UTC, by the API's clock",
    "application": "the kind of embed, as the API names it",
    "link": "the sealed link, `pme-sealed:v1:…`; `PMEHook().open(item)` returns the address",
}


def sources() -> Iterator[Path]:
    """Yield the package's Python files, without development tools, and those of the DAGs."""
    yield from sorted(path for path in PACKAGE.rglob("*.py") if "dev" not in path.relative_to(PACKAGE).parts)
    yield from sorted((ROOT / "dags").glob("*.py"))


def emitted_metrics() -> dict[str, str]:
    """Return the kind of each metric that the code emits: in calls of ``Stats`` and of ``count``, by a literal name.

    The gauges of slots and links are emitted from lists of their names.
    """
    from pme_airflow.operators.slot_metrics import LINK_GAUGES, READ_AT, SLOT_GAUGES

    found = {f"pme.{name}": "gauge" for name in (*SLOT_GAUGES, *LINK_GAUGES, READ_AT)}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                found.update(_metric_of(node))
    return found


def _metric_of(call: ast.Call) -> dict[str, str]:
    name = _literal(call.args[0])
    function = call.func
    if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "Stats" and function.attr in _KINDS:
        return {name: _KINDS[function.attr]} if name.startswith("pme.") else {}
    if isinstance(function, ast.Name) and function.id == "count" and name:
        return {f"pme.{name}": "counter"}
    return {}


def _literal(node: ast.expr) -> str:
    """Return a text that stands in the code, with ``<field>`` where an f-string has a value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (_literal(part) if isinstance(part, ast.Constant) else f"<{_field(part)}>" for part in node.values)
        text = "".join(parts)
        return "" if text == "pme.<name>" else text
    return ""


def _field(part: ast.expr) -> str:
    assert isinstance(part, ast.FormattedValue)
    return ast.unparse(part.value).rpartition(".")[2]


def metrics() -> str:
    """Return the page of metrics."""
    rows = [(f"`{name}`", kind, METRICS.get(name, "")) for name, kind in sorted(emitted_metrics().items())]
    lines = [
        "# Metrics",
        "",
        "The package adds these to Airflow's metrics (StatsD or OpenTelemetry, `[metrics]` in its configuration).",
        "",
        *table(("metric", "kind", "meaning"), rows),
        "[Monitoring](../how-to/monitoring.md) has the labels of the gauges, and how to be warned.",
    ]
    return "\n".join(lines) + "\n"


def read_variables() -> set[str]:
    """Return the environment variables of the package that its code names."""
    found: set[str] = set()
    for path in [*sources(), *(PACKAGE / "dev").rglob("*.py")]:
        found |= set(re.findall(r'"(PME_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    return found


def environment() -> str:
    """Return the page of environment variables and options of Airflow's configuration."""
    from pme_airflow.provider import get_provider_info

    rows = [(f"`{name}`", *ENVIRONMENT.get(name, ("", ""))) for name in sorted(read_variables())]
    for section, described in get_provider_info()["config"].items():
        for name, option in described["options"].items():
            meaning = f"{clean(option['description'])} Default `{option['default']}`"
            rows.append((f"`AIRFLOW__{section.upper()}__{name.upper()}`", f"`[{section}] {name}`", meaning))
    lines = [
        "# Environment variables and configuration",
        "",
        "Set them wherever the reader runs. Connections may be in the environment too:",
        "[The PME connection](connection.md).",
        "",
        *table(("variable", "read by, or its place in `airflow.cfg`", "meaning"), rows),
    ]
    return "\n".join(lines)


def assets() -> str:
    """Return the page of assets."""
    from pme_airflow import assets as module

    rows = []
    for name in sorted(module.__all__):
        text, _ = docstring(getattr(module, name))
        uri = re.search(r"`(pme://[^`]+)`", text)
        assert uri, f"the docstring of {name} names no asset"
        meaning = text.split(uri[0], 1)[1].strip(" ,.")
        rows.append((f"`{uri[1]}`", meaning[:1].upper() + meaning[1:], f"`{name}`"))
    lines = [
        "# Assets",
        "",
        "The shipped DAGs publish to these assets and start from them. A DAG of yours may do the same: use the",
        "function of `pme_airflow.assets` in its `schedule` or `outlets`. Airflow keeps events and their extras in",
        "clear: put no token into them.",
        "",
        *table(("asset", "when", "function"), rows),
    ]
    return "\n".join(lines)


def item_fields() -> list[str]:
    """Return the fields of an XCom item, in the order of the code."""
    tree = ast.parse((PACKAGE / "ledger" / "links.py").read_text(encoding="utf-8"))
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "item_of")
    (made,) = (node for node in ast.walk(function) if isinstance(node, ast.Dict))
    return [_literal(key) for key in made.keys if key is not None]


def xcom() -> str:
    """Return the page of XCom items."""
    from pme_airflow.lifecycle.xcom_payload import MAX_XCOM_ITEMS

    rows = [(f"`{name}`", ITEM_FIELDS.get(name, "")) for name in item_fields()]
    lines = [
        "# XCom items",
        "",
        "A mint task returns a list of items, one dict a link: JSON only, and never a token in clear. Transfers take",
        "them as `links=mint.output`.",
        "",
        *table(("field", "meaning"), rows),
        f"A mint of more than {MAX_XCOM_ITEMS:,} links returns a reference in their place: a dict with `manifest`",
        "(the name of a list that the ledger keeps for seven days), `audience` and `links` (how many). Transfers take",
        "it as they take items; `PMEHook().items(links)` yields the items of either, a page at a time.",
        "",
    ]
    return "\n".join(lines)


def python() -> str:
    """Return the page of the Python interface: the hook, targets, and the app for portals."""
    from pme_airflow import refresh
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.targets import ShownLink, SlotError, SlotResult, Target

    lines = [
        "# The Python interface",
        "",
        "What tasks, targets and portals of your own import. Everything else may move.",
        "",
    ]
    for module, found in (
        ("pme_airflow.hooks.pme", PMEHook),
        ("pme_airflow.targets", Target),
        ("pme_airflow.targets", ShownLink),
        ("pme_airflow.targets", SlotResult),
        ("pme_airflow.targets", SlotError),
        ("pme_airflow.refresh", refresh.create_refresh_app),
        *(("pme_airflow.refresh", getattr(refresh, name)) for name in refresh.__all__ if name != "create_refresh_app"),
    ):
        name = getattr(found, "__name__", str(found))
        if not inspect.isclass(found) and not inspect.isfunction(found):
            continue
        lines += [f"## `{name}`", "", f"    from {module} import {name}", "", *described(found)]
        lines += methods_of(found) if found in (PMEHook, Target) else []
    return "\n".join(lines) + "\n"


def described(found: Any) -> list[str]:
    """Return the text of a docstring, and a table of its parameters."""
    text, parameters = docstring(found)
    rows = [(f"`{name}`", meaning) for name, meaning in parameters.items()]
    return [text, "", *(table(("argument", "meaning"), rows) if rows else [])]


def methods_of(found: type) -> list[str]:
    """Return the public methods of a class that have a docstring."""
    lines = []
    for name, function in vars(found).items():
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            names = ", ".join(list(inspect.signature(function).parameters)[1:])
            lines += [f"### `{name}({names})`", "", *described(function)]
    return lines


def states() -> list[str]:
    """Return the table of a link's states and what may follow each."""
    from pme_airflow.ledger import states as module

    rows = []
    for state in module.State:
        following = [
            f"`{after.value}` ({event.value.replace('_', ' ')})"
            for (before, event), after in module._TRANSITIONS.items()
            if before is state
        ]
        rows.append((f"`{state.value}`", ", ".join(following), "yes" if state in module.ALIVE else ""))
    return table(("state", "may become (on the event)", "a token may be alive"), rows)


#: The pages, by their names in `docs/generated`.
PAGES = {"metrics": metrics, "environment": environment, "assets": assets, "xcom": xcom, "python": python}
