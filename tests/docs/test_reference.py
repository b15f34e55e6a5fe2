"""The reference of the documentation names all that the code has, and the questions are answered."""

from __future__ import annotations

import re
from importlib import import_module
from types import ModuleType

import click
import pytest

from pme_airflow.cli import main
from pme_airflow.dev.playground.home import ROOT
from pme_airflow.hooks.connection_fields import EXTRAS
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import metadata
from pme_airflow.placements import parsing, target_specs
from pme_airflow.provider import get_provider_info

DOCS = ROOT / "docs"
QUESTIONS = (DOCS / "how-to" / "questions.md").read_text()
SOURCES = "\n".join(path.read_text() for path in [*(ROOT / "pme_airflow").rglob("*.py"), *(ROOT / "dags").glob("*.py")])


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        return import_module("generate")


@pytest.fixture(scope="module")
def runtime(generate: ModuleType) -> ModuleType:
    module: ModuleType = generate.generate_runtime
    return module


def commands(name: str, command: click.Command) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(name, command)]
    return [found for key, inner in command.commands.items() for found in commands(f"{name} {key}", inner)]


def test_every_command_and_option_is_in_the_reference(generate: ModuleType) -> None:
    page = generate.commands()
    found = commands("pme-airflow", main)
    assert len(found) > 12
    for name, command in found:
        section = page.split(f"## `{name}`\n")[1].split("\n## ")[0]
        for option in (option for option in command.params if isinstance(option, click.Option) and not option.hidden):
            assert option.opts[-1] in section
            assert option.help, f"{name} {option.opts[-1]} has no help"


def test_every_key_of_placements_is_described(generate: ModuleType) -> None:
    assert set(generate.KEYS) == parsing._KEYS, "describe each key in KEYS of docs/generate.py"
    page = generate.placements()
    for kind, options in target_specs._KINDS.items():
        section = page.split(f"## `kind: {kind}`\n")[1].split("\n## ")[0]
        for key in options.required | options.optional:
            row = next(line for line in section.splitlines() if line.startswith(f"| `{key}` "))
            assert row.split("|")[3].strip(), f"{kind}.{key} has no :param: in its operator"


def test_every_argument_of_an_operator_is_described(generate: ModuleType) -> None:
    undescribed = [
        (name, line)
        for name, section in (part.split("`\n", 1) for part in generate.operators().split("\n## `")[1:])
        for line in section.splitlines()
        if line.startswith("| `") and not line.split("|")[4].strip()
    ]
    assert undescribed == [], "each argument needs a :param: in its class"


def test_every_public_operator_is_in_the_reference(generate: ModuleType) -> None:
    defined = set(re.findall(r"^class (PME\w+(?:Operator|Trigger))\(", SOURCES, re.MULTILINE)) - {"PMETransferOperator"}
    listed = {name for names in generate.public_operators().values() for name in names}
    assert defined == listed, "export each class in pme_airflow.operators.pme, or define it in a module of its own"


def test_every_table_and_field_is_in_the_reference(generate: ModuleType) -> None:
    tables = generate.ledger_tables()
    for table in metadata.sorted_tables:
        assert f"## `{table.name}`" in tables
        assert all(f"| `{column.name}` |" in tables for column in table.columns)
    assert all(f"extra `{name}`" in generate.connection() for name in EXTRAS)
    assert "while the API takes them. 1 to 1000." in generate.connection()
    assert len(re.findall(r"^## `pme_", generate.dags(), re.MULTILINE)) == len(list((ROOT / "dags").glob("*.py")))


def test_every_environment_variable_is_described(runtime: ModuleType) -> None:
    found = set(re.findall(r'"(PME_[A-Z_]+)"', SOURCES))
    assert len(found) > 3
    assert set(runtime.ENVIRONMENT) == found, "describe each variable in ENVIRONMENT of docs/generate_runtime.py"
    page = runtime.environment()
    assert all(f"| `{name}` |" in page for name in found)
    for option in get_provider_info()["config"]["pme"]["options"]:
        assert f"| `AIRFLOW__PME__{option.upper()}` |" in page


def test_every_metric_is_described_with_its_kind(runtime: ModuleType) -> None:
    emitted = set(re.findall(r'Stats\.\w+\("(pme\.\w+)"', SOURCES))
    emitted |= {f"pme.{name}" for name in re.findall(r'^\s+count\("(\w+)"', SOURCES, re.MULTILINE)}
    assert len(emitted) > 8
    assert emitted <= set(runtime.METRICS) == set(runtime.emitted_metrics()), (
        "describe each metric in METRICS of docs/generate_runtime.py, and emit it by a literal name"
    )
    page = runtime.metrics()
    assert "| `pme.exposure` | timer |" in page
    assert "| `pme.flagged_pending` | gauge |" in page
    assert "| `pme.minted` | counter |" in page


def test_every_asset_is_in_the_reference(runtime: ModuleType) -> None:
    page = runtime.assets()
    for uri in ("leaks", "links/<audience>", "revoked/<audience>", "due/sweep/<conn_id>", "due/renewal/<audience>"):
        assert f"| `pme://{uri}` |" in page
    assert page.count("| `pme://") == len(re.findall(r"^def \w+_asset\(", SOURCES, re.MULTILINE))


def test_every_field_of_an_item_is_described(runtime: ModuleType) -> None:
    item = {"link_id", "model_id", "audience", "fingerprint", "valid_until", "application", "link"}
    assert set(runtime.item_fields()) == item == set(runtime.ITEM_FIELDS)


def test_every_state_and_what_may_follow_is_in_the_reference(generate: ModuleType) -> None:
    page = generate.ledger_tables()
    assert all(f"| `{state.value}` |" in page for state in State)
    assert "| `live` | `revoked` (revoked), `expired` (expired) | yes |" in page


def test_every_public_method_of_the_hook_is_in_the_reference(runtime: ModuleType) -> None:
    page = runtime.python()
    for name in ("mint", "items", "open", "record_publication", "flag", "sweep", "test_connection"):
        assert f"### `{name}(" in page
    for name in ("slots", "put", "read_back", "take_away", "finish"):
        assert f"### `{name}(" in page


def test_twenty_questions_are_answered_two_clicks_away() -> None:
    sections = QUESTIONS.split("\n### ")[1:]
    assert len(sections) >= 20
    for section in sections:
        question, answer = section.split("\n", 1)
        assert question.endswith("?")
        assert len(answer.split("\n## ")[0].strip()) > 40
        assert answer.split("\n## ")[0].count("\n") < 30, f"{question} takes more than a screen"
    assert "(how-to/questions.md)" in (DOCS / "index.md").read_text()


def test_every_transfer_of_the_provider_has_a_guide() -> None:
    transfers = get_provider_info()["transfers"]
    assert len(transfers) >= 4
    assert [entry for entry in transfers if not (ROOT / entry["how-to-guide"].lstrip("/")).is_file()] == []


def test_every_trigger_module_is_in_the_metadata() -> None:
    (triggers,) = get_provider_info()["triggers"]
    modules = {path.stem for path in (ROOT / "pme_airflow" / "triggers").glob("*.py") if "Trigger(" in path.read_text()}
    assert modules == {name.rpartition(".")[2] for name in triggers["python-modules"]}


def test_every_page_is_in_the_contents() -> None:
    contents = re.findall(r"^[\w/-]+$", (DOCS / "index.md").read_text(), re.MULTILINE)
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")} - {"index"}
    written = {page for page in pages if not page.startswith(("generated/", "_build/"))}
    assert written == {name for name in contents if not name.startswith("generated/")}, "list it in docs/index.md"
