"""Writes the reference pages from the code, so that they name every option, key, table and argument that there is."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import generate_runtime
from generate_markdown import clean, docstring, table

ROOT = Path(__file__).resolve().parent.parent


def repository_address() -> str:
    """Return the repository's address, which stands in pyproject.toml."""
    found = re.search(r'^Repository = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert found, "pyproject.toml names no Repository"
    return found[1]


def write_all(folder: Path, repository: str) -> None:
    """Write every generated page; a page that is the same already is left alone, so that it is not built again."""
    folder.mkdir(exist_ok=True)
    pages = {name: write() for name, write in PAGES.items()}
    pages |= {name.lower(): outside(ROOT / f"{name}.md", repository) for name in OUTSIDE}
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            written = path.with_suffix(f".{os.getpid()}")  # tests and builds may write it at the same time
            written.write_text(text, encoding="utf-8")
            written.replace(path)


def commands() -> str:
    """Return the page of the command line."""
    from pme_airflow.cli import main

    pages = [
        "# Commands",
        "",
        "Every command of `pme-airflow`, from `pme-airflow COMMAND --help`. Unless a command says otherwise, its exit",
        "status is 0 if all was done, 1 if a part was not, 2 if nothing could be. What programs read goes to standard",
        "output, and everything else to standard error.",
        "",
    ]
    for path, command in walk("pme-airflow", main):
        arguments = "".join(
            f" {'' if p.required else '['}{p.human_readable_name.upper()}{'' if p.required else ']'}"
            for p in command.params
            if isinstance(p, click.Argument)
        )
        pages += [f"## `{path}`", "", f"    {path} [OPTIONS]{arguments}", "", clean(command.help or ""), ""]
        rows = [(option_names(p), default_of(p), meaning_of(p)) for p in command.params if is_shown(p)]
        pages += table(("option", "default", "meaning"), rows) if rows else []
        examples = (command.epilog or "").partition("Examples:\n")[2]
        pages += ["Examples:", "", *(f"    {line.strip()}" for line in examples.splitlines()), ""] if examples else []
    return "\n".join(pages) + "\n"


def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is no group, with its whole name."""
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from walk(f"{path} {name}", command.commands[name])
    else:
        yield path, command


def is_shown(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and not parameter.hidden


def option_names(option: click.Parameter) -> str:
    assert isinstance(option, click.Option)
    kind = "" if option.is_flag else f" {option.make_metavar(click.Context(click.Command('x')))}"
    return f"`{', '.join(option.opts)}{kind.removesuffix(' RANGE')}`".replace("|", "\\|")


def meaning_of(option: click.Parameter) -> str:
    """Return the help of an option, the range of its number, and the variable that it is read from."""
    assert isinstance(option, click.Option)
    meaning = clean(option.help or "")
    if isinstance(option.type, (click.IntRange, click.FloatRange)):
        least, most = option.type.min, option.type.max
        bounds = f"From {least} to {most}." if most is not None else f"At least {least}."
        meaning = f"{meaning} {bounds}".strip()
    return f"{meaning} Or the variable `{option.envvar}`." if option.envvar else meaning


def default_of(option: click.Parameter) -> str:
    assert isinstance(option, click.Option)
    value = option.default
    plain = (
        value is None
        or value == ""
        or callable(value)
        or option.is_flag
        or str(value).startswith("Sentinel")
        or option.multiple
    )
    return "" if plain else f"`{value}`"


def public_operators() -> dict[str, list[str]]:
    """Return the operators, transfers and triggers, by the module that they are imported from."""
    from pme_airflow.operators import pme as face

    found = {face.__name__: [name for name in face.__all__ if name.endswith(("Operator", "Sensor"))]}
    for folder in ("transfers", "triggers"):
        for path in sorted((ROOT / "pme_airflow" / folder).glob("*.py")):
            defined = [
                node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)
            ]
            names = [name for name in defined if re.fullmatch(r"PME\w+(Operator|Trigger)", name)]
            if names and path.stem != "base":
                found[f"pme_airflow.{folder}.{path.stem}"] = names
    return found


def operators() -> str:
    """Return the page of operators, transfers and triggers."""
    pages = [
        "# Operators, transfers and triggers",
        "",
        "Each argument, and whether it is a template. Beside these each takes what every Airflow operator does.",
        "",
    ]
    for module, names in public_operators().items():
        for name in names:
            found = getattr(importlib.import_module(module), name)
            pages += [f"## `{name}`", "", f"    from {module} import {name}", "", *class_lines(found)]
    return "\n".join(pages) + "\n"


def class_lines(found: type) -> list[str]:
    text, described = docstring(found)
    templates = set(getattr(found, "template_fields", ()))
    parents = {key: value for base in found.__mro__[1:] for key, value in docstring(base)[1].items()}
    rows = []
    for parameter in parameters(found):
        meaning = described.get(parameter.name) or parents.get(parameter.name, "")
        default = "" if parameter.default is inspect.Parameter.empty else f"`{parameter.default!r}`"
        meaning = meaning.replace("(templated)", "").strip()
        rows.append((f"`{parameter.name}`", default, "yes" if parameter.name in templates else "", meaning))
    return [text, "", *table(("argument", "default", "template", "meaning"), rows)]


def parameters(found: type) -> list[inspect.Parameter]:
    """Return the arguments of a class, those of the package's base classes included."""
    seen: dict[str, inspect.Parameter] = {}
    for base in found.__mro__:
        if not base.__module__.startswith("pme_airflow") or "__init__" not in vars(base):
            continue
        function = inspect.unwrap(vars(base)["__init__"])
        for parameter in list(inspect.signature(function).parameters.values())[1:]:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                seen.setdefault(parameter.name, parameter)
    return list(seen.values())


def placements() -> str:
    """Return the page of the keys of ``placements.yaml``."""
    from pme_airflow.placements import parsing, target_specs, transfers

    rows = [(f"`{key}`", KEYS.get(key, "")) for key in sorted(parsing._KEYS)]
    pages = [
        "# Keys of placements.yaml",
        "",
        "The file holds one placement or a list of them, an audience each. A key that is not named here is refused.",
        "",
        *table(("key", "meaning and default"), rows),
        "Durations are written as `24h`, `90m`, `30s` or ISO 8601 (`PT24H`).",
        "",
    ]
    for kind, options in sorted(target_specs._KINDS.items()):
        module, _, name = transfers._OPERATORS[kind].rpartition(".")
        found = getattr(importlib.import_module(module), name)
        described = docstring(found)[1]
        pages += [f"## `kind: {kind}`", "", f"Published by `{name}`.", ""]
        rows = []
        if kind == "http":
            pages += ["With `steps` in place of `endpoint` and `json` see [recipes](../reference/recipes.md).", ""]
        for key in [*sorted(options.required), *sorted(options.optional)]:
            argument = transfers._ARGUMENTS.get((kind, key), key)
            meaning = described.get(argument, "").replace("(templated)", "").strip()
            note = f" (the operator's argument `{argument}`)" if argument != key else ""
            rows.append((f"`{key}`", "required" if key in options.required else "", meaning + note))
        pages += table(("key", "", "meaning"), rows)
    return "\n".join(pages) + "\n"


#: What each key of a placement means; a key that is missing here fails tests/docs/test_reference.py.
KEYS: Mapping[str, str] = {
    "token": "`shared` for tokens that open up to `models_per_token` models each, `single` for a link for each model. "
    "Default `single`.",
    "models_per_token": "How many models may share a token, up to 100. Default 25.",
    "allow_clearing": "`true` lets more than half of the audience's slots be cleared at once. Default `false`.",
    "allow_gaps": "`true` accepts a schedule that must leave slots dark. Default `false`.",
    "audience": "A label for who the links are for: 1 to 64 letters, digits, dots, dashes, underscores. `default`.",
    "exclude": "Model ids that are left out of the list or query. None by default.",
    "keep_every": "How often the keeper looks; `false` for never. The smallest value of all placements counts.",
    "models": 'A list of model ids, or `{query: "…"}`: the search of the account, `"*"` for all. `[]` shows nothing.',
    "params": "Showcase parameters of the links, as `play=1&lang=de` or a mapping. None by default.",
    "pme_conn_id": "The PME connection. Default `pme_default`.",
    "renew_before": "A link with less time left is renewed by the keeper. Default: half of `valid_for`.",
    "targets": "Where the links are shown: a list of at least one, each with its `kind`.",
    "timezone": "An IANA time zone, in which the nightly run is at 02:00. Default `UTC`.",
    "valid_for": "The validity that links are requested with, 24 h at most. Default `24h`.",
}


def connection() -> str:
    """Return the page of the connection's fields."""
    from pme_airflow.hooks.connection_fields import API_ADDRESS, CLIENT_ID, CLIENT_SECRET, EXTRAS, PORT

    rows = [
        (CLIENT_ID, "`login`", "string", "The id of your PME client."),
        (CLIENT_SECRET, "`password`", "string", "Its secret, shown once when it is reset."),
        (API_ADDRESS, "`host`", "string", "Empty for `https://api.matterport.com`; plain http on this machine alone."),
        (PORT, "`port`", "integer", "Empty; Airflow 3.3's Test button needs the number (443)."),
    ]
    for name, field in EXTRAS.items():
        bounds = f" {field.least:g} to {field.most:g}." if field.most else ""
        rows.append((field.label, f"extra `{name}`", field.kind, field.description + bounds))
    return "\n".join(
        [
            "# The PME connection",
            "",
            "Connection type `pme`, id `pme_default` unless another is named. As an environment variable:",
            "",
            '    AIRFLOW_CONN_PME_DEFAULT=\'{"conn_type": "pme", "login": "…", "password": "…",',
            '      "extra": {"ledger_conn_id": "pme_ledger"}}\'',
            "",
            *table(("field", "in JSON", "type", "meaning"), rows),
            "An extra that is not named here is refused. The Test button (`[core] test_connection = Enabled`) checks",
            "the credentials, the address, that PME is enabled for the account, and the ledger.",
            "",
        ]
    )


def ledger_tables() -> str:
    """Return the page of the ledger's tables."""
    from pme_airflow.ledger.tables import HEAD_REVISION, metadata

    pages = [
        "# Tables of the ledger",
        "",
        f"Version {HEAD_REVISION} of the tables. No column holds a token or a link in clear: `pme_links` has links",
        "sealed, and erases them once they are revoked or expired. Times are microseconds since 1970, UTC. See the",
        "[glossary](../glossary.md) for states and events.",
        "",
        "## States of `pme_links`",
        "",
        *generate_runtime.states(),
    ]
    for found in metadata.sorted_tables:
        rows = [
            (
                f"`{column.name}`",
                type(column.type).__name__,
                "primary key" if column.primary_key else "" if column.nullable else "not null",
            )
            for column in found.columns
        ]
        pages += [f"## `{found.name}`", "", *table(("column", "type", ""), rows)]
    return "\n".join(pages) + "\n"


def dags() -> str:
    """Return the page of the shipped DAGs."""
    pages = [
        "# The shipped DAGs",
        "",
        "`pme-airflow init FOLDER` writes them. Airflow pauses new DAGs: unpause them.",
        "",
    ]
    for path in sorted((ROOT / "dags").glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        pages += [f"## `{path.stem}`", "", clean(text), ""]
    return "\n".join(pages) + "\n"


def emulator() -> str:
    """Return the page of the emulator's faults."""
    from pme_airflow.dev import FAULTS

    rows = [(f"`{name}`", meaning) for name, meaning in FAULTS.items()]
    return "\n".join(
        [
            "# Faults of the emulator",
            "",
            "`pme-airflow emulator --fault NAME=RATE` makes a share of the requests fail, from 0 to 1:",
            "",
            *table(("fault", "what happens"), rows),
        ]
    )


def outside(path: Path, repository: str) -> str:
    """Return a page of the repository's root, with its links as the site needs them."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](../", text)
    return re.sub(r"\]\((?!https?:|mailto:|#|\.\./)([^)]+)\)", rf"]({repository}/blob/main/\1)", text)


#: The generated pages, by their names in `docs/generated`, and the pages of the repository's root that join them.
PAGES = {
    "commands": commands,
    "operators": operators,
    "placements": placements,
    "connection": connection,
    "ledger-tables": ledger_tables,
    "dags": dags,
    "emulator": emulator,
    **generate_runtime.PAGES,
}
OUTSIDE = ("SECURITY", "CONTRIBUTING", "CHANGELOG")
