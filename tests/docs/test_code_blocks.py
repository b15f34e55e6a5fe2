"""Every code block of the docs is checked: commands and their options, YAML, Python, JavaScript, HTML."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml

from pme_airflow.cli import main
from pme_airflow.dev.playground.home import ROOT
from pme_airflow.extras import EXTRAS
from pme_airflow.hooks import connection_fields
from pme_airflow.placements import check
from tests.support.docs_pages import Block, blocks_of, inline_commands, pages, without_blocks

PAGES = {page: path.read_text(encoding="utf-8") for page, path in pages().items()}
BLOCKS = [block for page, text in PAGES.items() for block in blocks_of(page, text)]
INLINE = [Block(page, 0, "sh", command) for page, text in PAGES.items() for command in inline_commands(text)]
MAKE_TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
#: What a command line may start with, besides those that are parsed: programs of others, whose options are theirs.
OTHERS = {
    ".venv/bin/python", "astro", "cp", "curl", "docker", "echo", "export", "git", "kill", "kubectl", "python3", "source",
    "sqlite3", "uv", ".",
}  # fmt: skip


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def each(blocks: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks, ids=lambda block: block.name)


def test_every_language_is_checked_and_no_block_is_indented_alone() -> None:
    known = {"sh", "yaml", "python", "js", "json", "html", "text", "docker", "mermaid", "{toctree}"}
    assert {block.name: block.language for block in BLOCKS if block.language not in known} == {}
    indented = [
        (page, line)
        for page, text in PAGES.items()
        for line in re.findall(r"\n\n( {4,}\S.*)", without_blocks(text))
        if not re.match(r" +(\d+\.|-|[A-Z(`\[*])", line)
    ]
    assert indented == [], "fence it, with its language"


# commands


def simple_commands(block: Block) -> list[list[str]]:
    """Return the words of each simple command of a block: pipes, lists and redirections are taken apart."""
    lines = re.sub(r"\\\n\s*", " ", block.text).splitlines()
    found = []
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for token in lexer:
            if token in ("|", "&&", "||", ";", "&"):
                found.append(words)
                words = []
            else:
                words.append(token)
        found.append(words)
    return [_without_redirections(words) for words in found if words]


def _without_redirections(words: list[str]) -> list[str]:
    text = " ".join(map(shlex.quote, words))
    text = re.sub(r"(?:\b[012] )?'[<>]+&?' (?:\S+|'[^']*')|\b2 '>&' 1", "", text)
    kept = shlex.split(text)
    return kept[1:] if kept and re.fullmatch(r"[A-Z_]+=.*", kept[0]) else kept


def parse_own(words: list[str]) -> None:
    """Parse a command of ``pme-airflow`` as the command line does, without running it."""
    command: click.Command = main
    context = click.Context(main, info_name="pme-airflow")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"{command.name} has no command {name}"
        command, context = found, click.Context(found, parent=context, info_name=name)
    if isinstance(command, click.Group) or words == ["…"]:
        return
    try:
        command.make_context(command.name, [word for word in words if word != "…"], parent=context)
    except click.BadParameter as error:
        is_incomplete = bool(words) and "…" not in words and isinstance(error, click.MissingParameter)
        if is_incomplete or not isinstance(getattr(error.param, "type", None), (click.Path, click.File)):
            raise


def parse_airflow(words: list[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    output = io.StringIO()
    try:
        with redirect_stderr(output), redirect_stdout(output):
            get_parser().parse_args(words)
    except SystemExit as error:
        if error.code:
            raise AssertionError(output.getvalue()) from None


def parse_pip(words: list[str]) -> None:
    assert words[0] in ("install", "uninstall")
    for extras in re.findall(r"pme-airflow\[([\w,]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= {*EXTRAS, "all"}


def parse_make(words: list[str]) -> None:
    for word in words:
        assert "=" in word or word in MAKE_TARGETS or word.startswith(".venv"), f"the Makefile has no target {word}"


PARSERS: dict[str, Callable[[list[str]], None]] = {
    "pme-airflow": parse_own, "airflow": parse_airflow, "pip": parse_pip, "make": parse_make,
}  # fmt: skip


def check_commands(block: Block) -> None:
    for words in simple_commands(block):
        if not words:
            continue
        program, *arguments = words
        if "--" in arguments and "pme-airflow" in arguments:  # kubectl exec … -- pme-airflow doctor
            program, *arguments = arguments[arguments.index("--") + 1 :]
        if program in PARSERS:
            PARSERS[program](arguments)
        else:
            assert program in OTHERS, f"what is {program}?"


@each(of("sh"))
def test_every_command_and_option_exists(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check_commands(block)
    for name, value in re.findall(r"(AIRFLOW_CONN_\w+)='(.*?)'", block.text, re.DOTALL):
        fields = json.loads(value)
        if fields["conn_type"] == "pme":
            assert set(fields) <= {"conn_type", "login", "password", "host", "port", "extra"}, name
            assert set(fields.get("extra", {})) <= set(connection_fields.EXTRAS), name


def test_every_command_in_a_sentence_exists() -> None:
    assert len(INLINE) > 40
    wrong = []
    for block in INLINE:
        try:
            check_commands(block)
        except click.MissingParameter as error:
            if " -" in block.text and "…" not in block.text:  # else a command is named, not typed
                wrong.append((block.page, block.text, str(error)))
        except (AssertionError, click.UsageError, ValueError) as error:
            wrong.append((block.page, block.text, str(error)))
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "pme-airflow nothing", "pme-airflow plan --nothing", "pme-airflow doctor --only nothing", "make nothing",
        "airflow dags nothing", "pip install 'pme-airflow[nothing]'", "nothing", "echo x | pme-airflow ledger flag --nope",
    ],
)  # fmt: skip
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        check_commands(Block("page", 1, "sh", line))


# everything else


@each(of("yaml"))
def test_every_placement_is_accepted(block: Block) -> None:
    loaded = yaml.safe_load(block.text)
    if isinstance(loaded, list) and all("kind" in entry for entry in loaded):
        loaded = [{"audience": f"a{n}", "models": ["yyHDFKzPzvN"], "targets": [one]} for n, one in enumerate(loaded)]
    entries = loaded if isinstance(loaded, list) else [loaded]
    if any("targets" in entry or "models" in entry for entry in entries):
        assert check(yaml.safe_dump(loaded))
    else:
        assert block.page == "docs/how-to/kubernetes.md"  # the chart's values


def test_every_python_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_SECRET_KEY", "a key for this test alone")
    monkeypatch.setattr("pme_airflow.refresh._of_connection", lambda _: None)
    namespaces: dict[str, dict[str, Any]] = {}  # the blocks of a page build on one another
    for block in of("python"):
        namespace = namespaces.setdefault(block.page, {})
        own = ModuleType("my_targets")  # what a page calls the reader's module
        own.__dict__.update(namespace)
        monkeypatch.setitem(sys.modules, own.__name__, own)
        exec(compile(block.text, block.name, "exec"), namespace)
    assert len(of("python")) > 4
    assert len(namespaces) > 3


@each(of("json"))
def test_every_json_block_is_json(block: Block) -> None:
    json.loads(block.text)


@each(of("js"))
def test_every_script_is_javascript(block: Block, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    (tmp_path / "block.cjs").write_text(block.text)
    done = subprocess.run([node, "--check", tmp_path / "block.cjs"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Elements(HTMLParser):
    """Collects the attributes of a text, and checks that each element that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@each(of("html"))
def test_every_attribute_is_one_that_the_script_reads(block: Block) -> None:
    elements = Elements()
    elements.feed(block.text)
    assert elements.open == []
    script = (ROOT / "pme_airflow/targets/pages/pme-embed.js").read_text()
    ours = {name for name in elements.attributes if name.startswith("data-pme-")}
    assert ours
    for name in ours:
        camel = re.sub(r"-(\w)", lambda found: found[1].upper(), name.removeprefix("data-"))
        assert name in script or camel in script
