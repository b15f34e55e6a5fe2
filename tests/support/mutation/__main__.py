"""The command: draw mutants, try each, and print those that no test notices."""

from __future__ import annotations

import argparse
import difflib
import math
import queue
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from tests.support.mutation.coverage_map import CoverageMap, measure, on_all, test_file_of
from tests.support.mutation.equivalent import is_named, read_equivalent
from tests.support.mutation.mutants import Mutant, is_valid, mutants_of
from tests.support.mutation.tree import Copy, copy_project, workers_in

DEFAULT = ("ledger", "lifecycle", "targets", "leaks", "api")
CACHE = ".mutants/coverage.json"
#: Folders of tests that start an Airflow or run for minutes.
SLOW = ("tests/airflow/", "tests/campaigns/", "tests/support/")


#: The source of each module that is changed, by its path, as it was when the run began.
Sources = Mapping[str, bytes]


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    :ivar result: ``caught``, ``timeout`` (which counts as caught), ``survived``, ``undecided`` (no test that was run
        failed, and the budget left out others) or ``not executed``.
    :ivar by: the test that failed.
    """

    mutant: Mutant
    result: str
    by: str = ""

    @property
    def is_caught(self) -> bool:
        return self.result in ("caught", "timeout")


@dataclass(frozen=True)
class Part:
    """A module, or some lines of one."""

    path: str
    first: int = 1
    last: int = sys.maxsize

    def holds(self, mutant: Mutant) -> bool:
        return mutant.path == self.path and self.first <= mutant.first_line <= self.last


def parts_of(root: Path, package: str, names: list[str]) -> list[Part]:
    """Turn ``ledger``, ``ledger.mints`` or ``pme_airflow/ledger/mints.py:120-140`` into modules and lines."""
    parts = []
    for name in names:
        place, _, lines = name.partition(":")
        stem = place.removesuffix(".py").removeprefix(f"{package}/").removeprefix(f"{package}.").replace(".", "/")
        folder, file = root / package / ("" if stem == package else stem), root / package / f"{stem}.py"
        found = sorted(folder.rglob("*.py")) if folder.is_dir() else [file] if file.exists() else []
        if not found:
            raise SystemExit(f"no module or package of {package} is named {name}")
        first, _, last = lines.partition("-")
        bounds = (int(first), int(last or first)) if first else (1, sys.maxsize)
        parts += [Part(str(path.relative_to(root)), *bounds) for path in found if "versions" not in path.parts]
    return parts


def changed_since(root: Path, package: str, revision: str) -> list[str]:
    """List the modules of a package that differ from a revision and still exist."""
    command = ["git", "diff", "--name-only", "--diff-filter=d", revision, "--", f"{package}/*.py"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if "migrations" not in name]


def draw(root: Path, sources: Sources, parts: list[Part], number: int, seed: int) -> list[Mutant]:
    """Draw so many mutants at random (0: take all), those named as equivalent left out."""
    found = [mutant for path, source in sorted(sources.items()) for mutant in mutants_of(path, source)]
    found = [mutant for mutant in found if any(part.holds(mutant) for part in parts)]
    named = read_equivalent(root)
    if number:
        random.Random(seed).shuffle(found)
    drawn = []
    for mutant in found:
        if number and len(drawn) == number:
            break
        if not is_named(mutant, sources[mutant.path], named) and is_valid(mutant, sources[mutant.path]):
            drawn.append(mutant)
    return drawn


def attempt(
    source: bytes, mutant: Mutant, coverage: CoverageMap, worker: Copy, grace: float, budget: float = math.inf
) -> Outcome:
    """Run the tests that execute a mutant until one fails: the nearest to the module first.

    :param budget: how many seconds, as measured, the tests outside the module's own test file may take: those of its
        folder first, the fastest of them first.
    """
    tests = coverage.tests_for(mutant)
    if not tests:
        return Outcome(mutant, "not executed")
    own, *others = nearest_first(tests, mutant.path)
    affordable = within(budget, others, coverage)
    for some in (own, *([test for test in some if test in affordable] for some in others)):
        outcome = attempt_with(some, source, mutant, coverage, worker, grace) if some else None
        if outcome is not None:
            return outcome
    return Outcome(mutant, "survived" if len(own) + len(affordable) == len(tests) else "undecided")


def nearest_first(tests: list[str], path: str) -> list[list[str]]:
    """Split tests into those of a module's own test file, those in the folder of that file, and the others."""
    file = test_file_of(path)
    near = (f"{file}::", f"{file.removesuffix('.py')}_"), (f"{Path(file).parent}/",)
    found, left = [], tests
    for prefixes in near:
        found.append([test for test in left if test.startswith(prefixes)])
        left = [test for test in left if not test.startswith(prefixes)]
    return [*found, left]


def within(budget: float, groups: list[list[str]], coverage: CoverageMap) -> set[str]:
    """Return the tests that take no longer than the budget together: the first group first, its fastest first."""
    ordered = [test for group in groups for test in sorted(group, key=lambda test: coverage.seconds[test])]
    spent = accumulate(coverage.seconds[test] for test in ordered)
    return {test for test, total in zip(ordered, spent, strict=True) if total <= budget}


def attempt_with(
    tests: list[str], source: bytes, mutant: Mutant, coverage: CoverageMap, worker: Copy, grace: float
) -> Outcome | None:
    """Run some tests until one fails, or takes four times its usual time and the grace seconds; ``None`` if all pass.

    Where time is up, it is tried once more with three times as much: the machine may have been busy.
    """
    text = mutant.apply(source).decode()
    for patience in (1, 3):
        limits = {test: patience * (grace + 4 * coverage.seconds[test]) for test in tests}
        limit = patience * (60 + 4 * sum(coverage.seconds[test] for test in tests))
        result = worker.do(run=limits, path=mutant.path, text=text, limit=limit)
        if not result.get("timeout"):
            break
    else:
        return Outcome(mutant, "timeout")
    if result["exit"] == 5:
        raise RuntimeError(f"pytest found none of the {len(tests)} tests of {mutant.path}:{mutant.first_line}")
    return Outcome(mutant, "caught", result["failed"]) if result["exit"] else None


def diff_of(source: bytes, mutant: Mutant) -> str:
    """Show a mutant as a diff without context."""
    old, new = (text.decode().splitlines() for text in (source, mutant.apply(source)))
    return "\n".join(f"    {line}" for line in list(difflib.unified_diff(old, new, n=0, lineterm=""))[3:])


def try_all(
    sources: Sources, drawn: list[Mutant], coverage: CoverageMap, workers: list[Copy], options: argparse.Namespace
) -> list[Outcome]:
    """Try every mutant, one at a time in each copy; print what becomes of it."""
    todo: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in drawn:
        todo.put(mutant)
    outcomes: list[Outcome] = []

    def work(worker: Copy) -> None:
        while True:
            try:
                mutant = todo.get_nowait()
            except queue.Empty:
                return
            outcome = attempt(sources[mutant.path], mutant, coverage, worker, options.grace, options.budget)
            outcomes.append(outcome)
            at = f"{mutant.path}:{mutant.first_line}"
            log(f"[{len(outcomes)}/{len(drawn)}] {outcome.result}: {at}: {mutant.change[:100]}  {outcome.by}")

    on_all(workers, work)
    return sorted(outcomes, key=lambda outcome: (outcome.mutant.path, outcome.mutant.start))


def report(sources: Sources, outcomes: list[Outcome], threshold: float) -> int:
    """Print the survivors and the score; return the exit status."""
    survivors = [outcome for outcome in outcomes if not outcome.is_caught]
    for outcome in survivors:
        mutant = outcome.mutant
        print(
            f"\n{mutant.path}:{mutant.first_line}: {outcome.result}: {mutant.change}\n{diff_of(sources[mutant.path], mutant)}"
        )
    caught = len(outcomes) - len(survivors)
    counts = Counter(outcome.result for outcome in outcomes)
    score = 100 * caught / len(outcomes) if outcomes else 100.0
    by_limit, undecided = counts["timeout"], counts["undecided"]
    print(f"\n{caught} of {len(outcomes)} mutants caught ({by_limit} of them by the time limit): {score:.1f} %")
    if undecided:
        print(f"{undecided} of the others are undecided: the budget left out tests that execute them")
    return int(score < threshold)


def log(line: str) -> None:
    """Print progress."""
    print(line, file=sys.stderr, flush=True)


def run(root: Path, package: str, options: argparse.Namespace) -> int:
    """Draw and try mutants of a package; return the exit status. Later changes of the project have no effect on it."""
    names = changed_since(root, package, options.since) if options.since else options.modules
    if not names:
        print(f"no module of {package} differs from {options.since}")
        return 0
    with tempfile.TemporaryDirectory(prefix="pme-mutants-") as scratch:
        folders = copy_project(root, Path(scratch), options.jobs)
        parts = parts_of(folders[0], package, names)
        sources = {part.path: (folders[0] / part.path).read_bytes() for part in parts}
        drawn = draw(folders[0], sources, parts, options.number, options.seed)
        if options.list:
            for mutant in drawn:
                print(f"{mutant.path}:{mutant.first_line}: {mutant.change}")
            return 0
        with workers_in(folders, servers=options.servers) as workers:
            files = fast_tests(folders[0], options.tests)
            coverage = measure(folders[0], package, files, workers, root / CACHE, log)
            for test in coverage.failing:
                log(f"fails without any change, and is left out: {test}")
            outcomes = try_all(sources, drawn, coverage, workers, options)
    return report(sources, outcomes, options.threshold)


def fast_tests(root: Path, wanted: list[str]) -> list[str]:
    """List the test files that are run: those under the wanted paths, or all but the slow ones."""
    files = sorted(str(path.relative_to(root)) for path in (root / "tests").rglob("test_*.py"))
    if wanted:
        return [file for file in files if file.startswith(tuple(wanted))]
    return [file for file in files if not file.startswith(SLOW)]


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.support.mutation", description=__doc__)
    parser.add_argument(
        "modules", nargs="*", default=list(DEFAULT), help="ledger, ledger.mints, or a file:first-last line"
    )
    parser.add_argument("-n", "--number", type=int, default=200, help="how many mutants to draw; 0 takes all of them")
    parser.add_argument("--seed", type=int, default=1, help="which mutants are drawn")
    parser.add_argument("--since", metavar="REVISION", help="only modules that differ from this revision")
    parser.add_argument("--tests", nargs="*", default=[], help="only these test files or folders")
    parser.add_argument("--servers", action="store_true", help="also tests that start database servers or WordPress")
    parser.add_argument("--jobs", type=int, default=3, help="how many mutants to try at once")
    parser.add_argument(
        "--grace", type=float, default=15, help="seconds that a test may take beyond four times its usual"
    )
    parser.add_argument(
        "--budget", type=float, default=math.inf, metavar="SECONDS",
        help="how long the tests outside a module's own file may take for one mutant; it is undecided where some are left out",
    )  # fmt: skip
    parser.add_argument("--threshold", type=float, default=95, help="exit with 1 below this percentage")
    parser.add_argument("--list", action="store_true", help="only list the mutants that would be tried")
    return parser


if __name__ == "__main__":
    sys.exit(run(Path.cwd(), "pme_airflow", arguments().parse_args()))
