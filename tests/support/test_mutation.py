"""The mutation runner, on a package of one module: what it changes, what it catches, and what it must leave alone."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.playground.home import ROOT
from tests.support.mutation import __main__ as runner
from tests.support.mutation.__main__ import arguments, run
from tests.support.mutation.coverage_map import CoverageMap, measure
from tests.support.mutation.equivalent import FILE, read_equivalent
from tests.support.mutation.mutants import is_valid, mutants_of

TOY = '''
"""A toy: a docstring that must not change."""

from __future__ import annotations

import logging
import time

__all__ = ["price", "wait"]
log = logging.getLogger(__name__)


def price(age: int, kind: str = "adult") -> int:
    """Return a price."""
    log.info("a price for %s", 12)
    if kind == "child" or age < 6:
        return 0
    return 10


def wait(count: int) -> int:
    while count > 0:
        time.sleep(0.01)
        count -= 1
    return count


def unused(value: int) -> int:
    return value + 1
'''

TESTS = """
import shutil
import subprocess

from toy import price, wait


def test_a_child_pays_nothing():
    assert price(5) == 0
    assert price(6) == 10
    assert price(40, kind="child") == 0


def test_waiting_ends():
    assert wait(2) == 0


def test_a_servers_program_is_not_found():
    assert shutil.which("sh")
    assert not shutil.which("php")


def test_a_server_is_needed():
    subprocess.run(["php", "-S", "127.0.0.1:0"])
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").write_text(TOY.lstrip())
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_toy.py").write_text(TESTS)
    return tmp_path


def trial(toy: Path, *more: str) -> int:
    return run(toy, "toy", arguments().parse_args(["--jobs", "1", *more]))


def changes(source: str) -> set[str]:
    text = textwrap.dedent(source).encode()
    return {mutant.change for mutant in mutants_of("toy.py", text) if is_valid(mutant, text)}


def test_it_names_the_change_that_no_test_notices(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trial(toy, "__init__:13-18", "__init__:22", "toy/__init__.py:28", "-n", "0") == 1
    printed = capsys.readouterr()
    assert (
        "toy/__init__.py:28: not executed: value + -> - 1\n    -    return value + 1\n    +    return value - 1"
        in printed.out
    )
    assert "survived: time.sleep(0.01) -> pass" in printed.out
    assert 'kind == "child" or -> and age < 6' not in printed.out
    assert "age < -> <= 6" not in printed.out
    assert "php is left out" not in printed.err
    assert "fails without any change" not in printed.err
    assert (toy / "toy" / "__init__.py").read_text() == TOY.lstrip()
    kept = json.loads((toy / runner.CACHE).read_text())
    assert kept["files"]["tests/test_toy.py"]["imports"] == ["toy/__init__.py"]


def test_an_endless_loop_counts_as_caught(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = trial(toy, "toy/__init__.py:23", "-n", "0", "--threshold", "0", "--grace", "2")
    assert code == 0
    assert "timeout: toy/__init__.py:23: count -= 1 -> pass" in capsys.readouterr().err


def test_what_is_edited_during_a_run_does_not_matter(
    toy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure_late(*arguments: Any) -> CoverageMap:
        (toy / "toy" / "__init__.py").write_text("# an edit\n" + TOY.lstrip())
        return measure(*arguments)

    monkeypatch.setattr(runner, "measure", measure_late)
    trial(toy, "__init__:15", "-n", "0")
    printed = capsys.readouterr().out
    assert "0 of 0" not in printed
    assert "100.0 %" in printed


def test_only_the_tests_of_what_changed_are_measured_again(toy: Path) -> None:
    (toy / "toy" / "other.py").write_text("LIMIT = 3\n")
    (toy / "tests" / "test_other.py").write_text("from toy import other\n")
    (toy / "tests" / "test_start.py").write_text("a process of its own\n")
    imports = {
        "tests/test_toy.py": ["toy/__init__.py"], "tests/test_other.py": ["toy/other.py"], "tests/test_start.py": None,
    }  # fmt: skip
    recorded: list[str] = []

    class Recording:
        def do(self, **job: Any) -> dict[str, Any]:
            recorded.extend(job.get("record", ()))
            return {"tests": {}, "imports": imports[job["record"][0]]} if "record" in job else {}

    found = []
    for changed in (
        "toy/other.py",
        "toy/other.py",
        "tests/test_toy.py",
        "toy/__init__.py",
        "toy/new.py",
        "tests/conftest.py",
    ):
        (toy / changed).write_text(f"# edit {len(found)}\n")
        recorded.clear()
        measure(toy, "toy", sorted(imports), [Recording()], toy / "kept.json", lambda _: None)  # type: ignore[list-item]
        found.append([Path(name).stem.removeprefix("test_") for name in recorded])
    everything = ["other", "start", "toy"]
    assert found == [everything, ["other", "start"], ["toy"], everything, ["start"], everything]


def test_a_timeout_is_tried_once_more_with_more_time() -> None:
    asked: list[float] = []

    class BusyMachine:
        def do(self, **job: Any) -> dict[str, Any]:
            asked.append(job["run"]["test_it"])
            return {"timeout": True} if len(asked) == 1 else {"exit": 0, "failed": ""}

    source = TOY.encode()
    mutant = next(mutant for mutant in mutants_of("toy.py", source) if not mutant.at_import)
    every_line = {line: {"test_it"} for line in range(1, 40)}
    outcome = runner.attempt(source, mutant, CoverageMap({"test_it": 1}, {"toy.py": every_line}), BusyMachine(), 10)  # type: ignore[arg-type]
    assert outcome.result == "survived"
    assert asked == [14, 42]


def test_a_modules_own_tests_are_run_before_all_others() -> None:
    asked: list[list[str]] = []

    class Passing:
        def do(self, **job: Any) -> dict[str, Any]:
            asked.append(list(job["run"]))
            return {"exit": 0, "failed": ""}

    source = TOY.encode()
    mutant = next(mutant for mutant in mutants_of("toy/a/b.py", source) if not mutant.at_import)
    tests = {
        "tests/test_other.py::test_it": 1.0,
        "tests/a/test_b.py::test_it": 2.0,
        "tests/a/test_b.py::test_more": 3.0,
        "tests/a/test_c.py::test_it": 4.0,
    }
    by_line = {"toy/a/b.py": {line: set(tests) for line in range(1, 40)}}
    outcome = runner.attempt(source, mutant, CoverageMap(tests, by_line), Passing(), 10)  # type: ignore[arg-type]
    assert outcome.result == "survived"
    own = ["tests/a/test_b.py::test_it", "tests/a/test_b.py::test_more"]
    assert asked == [own, ["tests/a/test_c.py::test_it"], ["tests/test_other.py::test_it"]]


def test_a_default_is_tried_with_the_modules_own_tests_which_execute_none_of_its_lines() -> None:
    (mutant, *_) = mutants_of("toy/a/b.py", b"class Made:\n    is_complete: bool = True\n")
    tests = {"tests/a/test_b.py::test_it": 1.0, "tests/a/test_bc.py::test_it": 1.0}
    assert CoverageMap(tests).tests_for(mutant) == ["tests/a/test_b.py::test_it"]


def test_a_mutant_is_undecided_where_the_budget_leaves_out_a_test() -> None:
    asked: list[str] = []

    class Passing:
        def do(self, **job: Any) -> dict[str, Any]:
            asked.extend(job["run"])
            return {"exit": 0, "failed": ""}

    source = TOY.encode()
    mutant = next(mutant for mutant in mutants_of("toy/a/b.py", source) if not mutant.at_import)
    seconds = {
        "tests/a/test_b.py::test_it": 50.0,
        "tests/a/test_c.py::test_it": 9.0,
        "tests/test_other.py::test_it": 1.0,
    }
    coverage = CoverageMap(seconds, {"toy/a/b.py": {line: set(seconds) for line in range(1, 40)}})

    def result(budget: float) -> str:
        asked.clear()
        return runner.attempt(source, mutant, coverage, Passing(), 10, budget).result  # type: ignore[arg-type]

    assert result(10) == "survived"
    assert asked == ["tests/a/test_b.py::test_it", "tests/a/test_c.py::test_it", "tests/test_other.py::test_it"]
    assert result(9) == "undecided"
    assert asked == ["tests/a/test_b.py::test_it", "tests/a/test_c.py::test_it"]


def test_a_module_of_the_project_that_a_test_imports_hides_no_mutant(toy: Path) -> None:
    (toy / "helper.py").write_text("import toy\n")
    (toy / "tests" / "test_toy.py").write_text(TESTS.replace("import shutil", "import shutil\nimport helper"))
    assert trial(toy, "toy/__init__.py:16-17", "-n", "0", "--threshold", "100") == 0


def test_tests_that_failed_without_a_change_are_measured_again(toy: Path) -> None:
    ready, flaky = toy / "ready", toy / "tests" / "test_flaky.py"
    flaky.write_text(f"from pathlib import Path\n\n\ndef test_it():\n    assert Path({str(ready)!r}).exists()\n")

    def outcome() -> str:
        assert trial(toy, "toy/__init__.py:16", "-n", "1", "--threshold", "0") == 0
        kept = json.loads((toy / runner.CACHE).read_text())["files"]["tests/test_flaky.py"]
        return str(kept["tests"]["tests/test_flaky.py::test_it"]["outcome"])

    assert outcome() == "failed"
    ready.touch()
    assert outcome() == "passed"


def test_a_test_file_is_measured_again_when_what_it_imports_from_the_tests_changes(toy: Path) -> None:
    (toy / "tests" / "__init__.py").write_text("")
    (toy / "tests" / "shared.py").write_text("AGE = 40\n")
    (toy / "tests" / "test_shared.py").write_text(
        "from tests.shared import AGE\n\n\ndef test_it():\n    assert AGE == 40\n"
    )
    assert trial(toy, "toy/__init__.py:16", "-n", "1", "--threshold", "0") == 0
    imports = json.loads((toy / runner.CACHE).read_text())["files"]["tests/test_shared.py"]["imports"]
    assert "tests/shared.py" in imports


def test_a_named_equivalent_mutant_is_left_out(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = toy / FILE
    named.parent.mkdir(parents=True)
    named.write_text("toy/__init__.py\n  line: return value + 1\n  change: value + -> - 1\n  reason: nobody uses it\n")
    trial(toy, "toy/__init__.py:28", "-n", "0", "--list")
    listed = capsys.readouterr().out
    assert "value + -> - 1" not in listed
    assert "value + 1 -> None" in listed


def test_the_same_seed_draws_the_same_mutants(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = []
    for seed in ("1", "1", "2"):
        trial(toy, "toy", "-n", "5", "--seed", seed, "--list")
        drawn.append(capsys.readouterr().out)
    assert drawn[0] == drawn[1] != drawn[2]


def test_only_modules_that_differ_from_a_revision_are_changed(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    (toy / "toy" / "other.py").write_text("LIMIT = 3\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=toy, check=True)
    assert trial(toy, "--since", "HEAD", "--list") == 0
    assert "no module" in capsys.readouterr().out
    (toy / "toy" / "other.py").write_text("LIMIT = 4\n")
    trial(toy, "--since", "HEAD", "--list")
    listed = capsys.readouterr().out.splitlines()
    assert listed
    assert all(line.startswith("toy/other.py:1: 4 -> ") for line in listed)


def test_messages_types_and_logs_are_left_alone() -> None:
    assert changes(TOY) == {
        'kind == -> != "child"', "\"child\" -> 'childXX'", 'kind == "child" or -> and age < 6',
        'kind == "child" or age < 6 -> not (kind == "child" or age < 6)', "age < -> <= 6", "age < -> >= 6", "6 -> 7", "6 -> 5",
        "0 -> None", "0 -> 1", "10 -> None", "10 -> 11", "10 -> 9", "count > -> >= 0", "count > -> <= 0",
        "time.sleep(0.01) -> pass", "0.01 -> 1.01", "0.01 -> -0.99", "count -= 1 -> pass", "1 -> 2", "1 -> 0",
        "count -> None", "value + 1 -> None", "value + -> - 1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("f(a=1, b=2)", "a=1 left out"),
        ("query.where(x == 1, y)", "y left out"),
        ("f(a, b)", "a, b -> b, a"),
        ("x = a not in b", "a not in -> in b"),
        ("x = a is None", "a is -> is not None"),
        ("x = not a", "not a -> (a)"),
        ("x = [a for a in b if a]", "a -> not (a)"),
        ("del x.y", "del x.y -> pass"),
        ("x.y = 1", "x.y = 1 -> pass"),
        ("raise ValueError(x)", "raise ValueError(x) -> pass"),
        ("x = c.in_(y)", "in_ -> not_in"),
        ("x = max(y)", "max -> min"),
        ("x = True", "True -> False"),
        ("x = a in ('b', 'c')", "'c' -> 'cXX'"),
        ("x = 'é' == a < 2", "a < -> <= 2"),
    ],
)
def test_each_kind_of_change(source: str, expected: str) -> None:
    assert expected in changes(source)


def test_arguments_that_may_come_in_any_order_keep_theirs() -> None:
    assert changes("x = min(a, b)") == {"min -> max"}


def test_false_is_not_returned_as_nothing() -> None:
    assert changes("def f():\n    return False") == {"False -> True"}
    assert changes("def f():\n    return 0") == {"0 -> None", "0 -> 1"}


def test_every_named_equivalent_mutant_still_exists() -> None:
    for each in read_equivalent(ROOT):
        source = (ROOT / each.path).read_bytes()
        lines = source.splitlines()
        found = {(lines[m.first_line - 1].decode().strip(), m.change) for m in mutants_of(each.path, source)}
        assert (each.line, each.change) in found, f"{FILE} names a change that is gone: {each}"


def test_the_command_explains_itself() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tests.support.mutation", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--since" in printed.stdout
