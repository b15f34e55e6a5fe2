"""Which tests execute which lines: measured once, and kept for as long as the code and the tests stay the same."""

from __future__ import annotations

import ast
import hashlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.mutation.mutants import Mutant
from tests.support.mutation.tree import Copy

RECORD_SECONDS = 900.0
#: The map of 371 files has 36 MB, which take over a second to write.
_WRITTEN_EVERY_SECONDS = 20.0


@dataclass
class CoverageMap:
    """The tests that pass without any change, with the lines that each executes.

    :ivar seconds: how long each test takes.
    :ivar by_line: the tests of each line, by file.
    :ivar failing: tests that fail without any change; nothing can be learnt from them.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    by_line: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)
    importers: dict[str, set[str]] = field(default_factory=dict)

    def add(self, tests: dict[str, dict[str, Any]]) -> None:
        """Add the tests of a file."""
        for name, test in tests.items():
            if test["outcome"] == "failed":
                self.failing.append(name)
            if test["outcome"] != "passed":
                continue
            self.seconds[name] = test["seconds"]
            for path, lines in test["lines"].items():
                of_file = self.by_line.setdefault(path, {})
                for line in lines:
                    of_file.setdefault(line, set()).add(name)

    def tests_for(self, mutant: Mutant) -> list[str]:
        """Return the tests that execute what a mutant changes, fastest first."""
        if mutant.at_import:
            # the methods of a dataclass are generated: a test of its defaults executes no line of the module
            own = f"{test_file_of(mutant.path)}::"
            found = self._tests_of_file(mutant.path) | {test for test in self.seconds if test.startswith(own)}
            for importer in self.importers.get(mutant.path, ()):
                found = found | self._tests_of_file(importer)
        else:
            found = self._tests_of_lines(mutant.path, mutant.first_line, mutant.last_line)
            found = found or self._tests_of_lines(mutant.path, *mutant.statement)
        return sorted(found, key=lambda test: (self.seconds[test], test))

    def _tests_of_lines(self, path: str, first: int, last: int) -> set[str]:
        of_file = self.by_line.get(path, {})
        return set().union(*(of_file.get(line, set()) for line in range(first, last + 1)))

    def _tests_of_file(self, path: str) -> set[str]:
        return set().union(*self.by_line.get(path, {}).values())


def test_file_of(path: str) -> str:
    """Return the test file that mirrors a module: ``tests/ledger/test_mints.py`` of ``pme_airflow/ledger/mints.py``."""
    module = Path(path)
    return str(Path("tests", *module.parts[1:-1], f"test_{module.name}"))


def importers(root: Path, package: str) -> dict[str, set[str]]:
    """Return for each module of a package the files of the modules that import it."""
    names = {
        _module_name(path.relative_to(root)): str(path.relative_to(root)) for path in (root / package).rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for path in names.values():
        for node in ast.walk(ast.parse((root / path).read_bytes())):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                wanted = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in wanted:
                if name in names:
                    found.setdefault(names[name], set()).add(path)
    return found


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def measure(
    root: Path, package: str, files: list[str], workers: list[Copy], kept: Path, log: Callable[[str], None]
) -> CoverageMap:
    """Measure what each test file executes, or read it where nothing has changed since it was measured.

    A test file is measured again when it changes, or a module that it imports of the package or of the tests, or a
    ``conftest.py`` above it; and where one of its tests failed, which may have been for want of time.

    :param kept: the file that what was measured is kept in.
    """
    known = json.loads(kept.read_text()) if kept.exists() else {}
    base = _digest(root, [root / "tests" / "support" / "mutation" / "worker.py"])
    if known.get("base") != base:
        known = {"base": base, "files": {}, "modules": []}
    missing = [file for file in files if not _is_measured(root, package, file, known["files"].get(file))]
    if missing:
        log(f"measuring which lines the tests of {len(missing)} of {len(files)} files execute")
        kept.parent.mkdir(exist_ok=True)
        written_at = time.monotonic()

        def keep(file: str, result: dict[str, Any]) -> None:
            imports = result.get("imports")
            digest = _digest(root, _sources(root, package, file, imports))
            known["files"][file] = {"digest": digest, "imports": imports, "tests": result.get("tests", {})}
            known["modules"] = list(dict.fromkeys([*known["modules"], *result.get("modules", [])]))
            if "tests" not in result:
                log(f"{file} cannot be measured:\n{result.get('log', result)}")
            nonlocal written_at
            if time.monotonic() - written_at > _WRITTEN_EVERY_SECONDS:
                kept.write_text(json.dumps(known))
                written_at = time.monotonic()

        _record(missing, package, workers, keep, known["modules"])
        kept.write_text(json.dumps(known))
    for worker in workers:
        worker.do(preload=_libraries(known["modules"], package))
    coverage = CoverageMap(importers=importers(root, package))
    for file in files:
        coverage.add(known["files"].get(file, {}).get("tests", {}))
    return coverage


def _is_measured(root: Path, package: str, file: str, entry: dict[str, Any] | None) -> bool:
    """Return whether neither a test file nor the modules that it imports have changed since it was measured."""
    if entry is None or any(test["outcome"] == "failed" for test in entry["tests"].values()):
        return False
    return entry["digest"] == _digest(root, _sources(root, package, file, entry["imports"]))


def _sources(root: Path, package: str, file: str, imports: list[str] | None) -> set[Path]:
    """Return what a test file executes: itself, what it imports, the packages around and each ``conftest.py`` above it.

    Where the imports are unknown, that is every module of the package and all that tests share.
    """
    if imports is None:
        return {root / file, *(root / package).rglob("*.py"), *_shared(root)}
    found = {Path(name) for name in (file, *imports)}
    found |= {parent / "__init__.py" for name in found for parent in name.parents if parent.parts}
    found |= {parent / "conftest.py" for parent in Path(file).parents}
    return {root / name for name in found}


def _libraries(modules: Iterable[str], package: str) -> list[str]:
    """Return the modules that no mutant changes, so that a worker may import them once for all tests."""
    return [name for name in modules if name.partition(".")[0] != package]


def _record(
    files: list[str], package: str, workers: list[Copy], keep: Callable[[str, dict[str, Any]], None], modules: list[str]
) -> None:
    """Measure test files, and hand each result to ``keep`` as it comes.

    :param modules: the modules that earlier files imported. Importing them for each file takes most of its time.
    """
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for file in files:
        todo.put(file)
    one_at_a_time = threading.Lock()

    def work(worker: Copy) -> None:
        imported = _libraries(modules, package)
        worker.do(preload=imported)
        while True:
            try:
                file = todo.get_nowait()
            except queue.Empty:
                return
            result = worker.do(record=[file], package=package, limit=RECORD_SECONDS)
            with one_at_a_time:
                keep(file, result)
            fresh = [name for name in _libraries(result.get("modules", ()), package) if name not in imported]
            worker.do(preload=fresh)
            imported += fresh

    on_all(workers, work)


def on_all(workers: list[Copy], work: Callable[[Copy], None]) -> None:
    """Run a function with each worker at once, and raise what one of them raised."""
    errors: list[BaseException] = []

    def caught(worker: Copy) -> None:
        try:
            work(worker)
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=caught, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _shared(root: Path) -> list[Path]:
    """Return what tests share, without the mutation runner."""
    tests = root / "tests"
    runner = tests / "support" / "mutation"
    shared = [path for path in (tests / "support").rglob("*.py") if not path.name.startswith("test_")]
    return [*tests.rglob("conftest.py"), *(path for path in shared if not path.is_relative_to(runner))]


def _digest(root: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        text = path.read_bytes() if path.exists() else b"gone"
        digest.update(f"{path.relative_to(root)}\0".encode() + text + b"\0")
    return digest.hexdigest()
