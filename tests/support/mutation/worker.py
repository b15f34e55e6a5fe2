"""A process that has imported the libraries once, and runs pytest in a fork of itself for each job.

It runs as a script in a copy of the project, so it imports nothing of the project itself. Each line of its standard input
is a job (JSON), and each line of its standard output the outcome:

* ``{"preload": [names]}`` imports modules, so that later jobs need not;
* ``{"record": [files], "package": name, "limit": seconds}`` runs test files, and gives for each test that passed its
  seconds and the lines of the package that it executed;
* ``{"run": {test id: limit}, "path": file, "text": source, "limit": seconds}`` runs tests until one fails while a file
  holds another text; a test that takes longer than its limit ends the run.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

OPTIONS = ["-q", "-x", "-o", "addopts=", "-p", "no:cacheprovider", "--no-header", "--hypothesis-seed=0"]
#: Programs that the fast tests do without: a test that starts one is skipped.
SERVERS = frozenset({
    "chromium", "initdb", "mariadb-install-db", "mariadbd", "mysqld", "node", "npm", "pg_ctl", "pgbouncer", "php",
    "postgres", "redis-server",
})  # fmt: skip


class Selection:
    """A pytest plugin that runs the given tests, those with the lowest limit first, and remembers which one failed."""

    def __init__(self, limits: dict[str, float]) -> None:
        self._limits = limits
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._limits]
        items.sort(key=lambda item: self._limits[item.nodeid])
        for item in items:
            item.add_marker(pytest.mark.timeout(self._limits[item.nodeid], method="thread"), append=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def result(self) -> dict[str, Any]:
        return {"failed": self.failed}


class Recorder:
    """A pytest plugin that measures which lines of a package each test executes."""

    def __init__(self, package: str) -> None:
        from coverage import Coverage

        self._coverage = Coverage(data_file=None, source=[str(Path(package).resolve())], config_file=False)
        self._tests: dict[str, dict[str, Any]] = {}
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._tests[item.nodeid] = {"seconds": 0.0, "outcome": "passed", "lines": {}}
        self._coverage.switch_context(item.nodeid)
        result = yield
        self._coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._tests[report.nodeid]
        test["seconds"] += report.duration
        if report.outcome != "passed":
            test["outcome"] = report.outcome

    def result(self) -> dict[str, Any]:
        self._coverage.stop()
        data = self._coverage.get_data()
        imports = []
        for file in data.measured_files():
            path = os.path.relpath(file)
            by_line = data.contexts_by_lineno(file)
            imports += [path] if by_line else []
            for line, tests in by_line.items():
                for test in tests:
                    if test in self._tests:
                        self._tests[test]["lines"].setdefault(path, []).append(line)
        libraries = [
            name
            for name in sys.modules
            if name.partition(".")[0] not in ("tests", "__main__", "__mp_main__", "airflow")
        ]
        # another process may import whatever it likes
        return {
            "tests": self._tests,
            "modules": libraries,
            "imports": None if Processes.started else imports + _imported_tests(),
        }


def _imported_tests() -> list[str]:
    """Return the files that were imported from the package ``tests``."""
    files = [module.__file__ for name, module in sys.modules.items() if name.startswith("tests.")]
    return [os.path.relpath(file) for file in files if file]


class Processes:
    """The processes that tests start. Without servers, a test that starts a server or a whole Airflow is skipped.

    A test that looks for a server's program finds none: what starts one in a thread, as Playwright does, cannot be skipped.
    """

    started = 0

    @classmethod
    def watch(cls, *, with_servers: bool) -> None:
        start, find, python = subprocess.Popen.__init__, shutil.which, sys.executable

        def checked(self: Any, args: Any, *more: Any, **named: Any) -> None:
            words = [os.fsdecode(word) for word in ([args] if isinstance(args, (str, bytes, os.PathLike)) else args)]
            name = os.path.basename(words[0].split()[0])
            if not with_servers and (name in SERVERS or words[:3] == [python, "-m", "airflow"]):
                pytest.skip(f"{name} is left out of the fast tests")
            cls.started += 1
            start(self, args, *more, **named)

        def found(cmd: str, *more: Any, **named: Any) -> str | None:
            return None if not with_servers and os.path.basename(cmd) in SERVERS else find(cmd, *more, **named)

        subprocess.Popen.__init__ = checked  # type: ignore[method-assign, assignment]
        shutil.which = found  # type: ignore[assignment]


def in_fork(work: Callable[[], dict[str, Any]], limit: float, log: Path) -> dict[str, Any]:
    """Run work in a fork, in a session of its own that is killed at the end; return what it gave, or that time was up."""
    answer = log.with_suffix(".json")
    answer.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        os.setsid()
        with log.open("wb") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        code = 3
        try:
            found = work()
            answer.write_text(json.dumps(found))
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    code = _wait(child, time.monotonic() + limit)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    if answer.exists():
        return json.loads(answer.read_text())
    # pytest-timeout ends the process with 1 where one test takes too long
    return {"timeout": True} if code in (None, 1) else {"exit": 3, "failed": ""}


def _wait(child: int, until: float) -> int | None:
    """Return the exit status of a process, or ``None`` where it does not end in time."""
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return None


def pytest_in(files: list[str], plugin: Recorder | Selection, options: list[str]) -> dict[str, Any]:
    """Run pytest in this process."""
    code = pytest.main([*options, *files], plugins=[plugin])
    return {"exit": int(code), **plugin.result()}


class Worker:
    """Does the jobs in the folder it runs in."""

    def __init__(self, scratch: Path, with_servers: bool) -> None:
        self._log = scratch / "log"
        self._with_servers = with_servers
        self._edits = 0

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        if "preload" in job:
            return self._preload(job["preload"])
        if "record" in job:
            options = [option for option in OPTIONS if option != "-x"]
            return self._pytest(lambda: pytest_in(job["record"], Recorder(job["package"]), options), job["limit"])
        files = list(dict.fromkeys(test.partition("::")[0] for test in job["run"]))
        with_text = self._edit(Path(job["path"]), job["text"]) if "path" in job else None
        try:
            return self._pytest(lambda: pytest_in(files, Selection(job["run"]), OPTIONS), job["limit"])
        finally:
            if with_text:
                with_text()

    def _pytest(self, work: Callable[[], dict[str, Any]], limit: float) -> dict[str, Any]:
        def prepared() -> dict[str, Any]:
            Processes.watch(with_servers=self._with_servers)
            return work()

        outcome = in_fork(prepared, limit, self._log)
        return (
            outcome
            if outcome.get("exit") in (None, 0, 1)
            else {**outcome, "log": self._log.read_text(errors="replace")[-2000:]}
        )

    def _edit(self, path: Path, text: str) -> Callable[[], None]:
        """Give a file another text; every edit has a time of its own, so that no compiled file passes for a newer one."""
        original, times = path.read_bytes(), path.stat()
        self._edits += 1
        path.write_text(text, newline="")
        os.utime(path, (times.st_atime, 1_000_000_000 + self._edits * 10))

        def restore() -> None:
            path.write_bytes(original)
            os.utime(path, (times.st_atime, times.st_mtime))

        return restore

    def _preload(self, names: list[str]) -> dict[str, Any]:
        for name in names:
            try:
                importlib.import_module(name)
            except BaseException:  # noqa: BLE001, S112 - a module that cannot be imported alone is left to the tests
                continue
        _forget_the_project()
        return {"threads": threading.active_count()}


def _forget_the_project() -> None:
    """Drop the modules of this folder: a test that finds one imported does not execute its mutant."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name != "__main__" and file and Path(file).is_relative_to(Path.cwd()):
            del sys.modules[name]


def main() -> None:
    """Answer jobs until the input ends."""
    worker = Worker(Path(sys.argv[1]), with_servers=sys.argv[2] == "servers")
    sys.path[0] = os.getcwd()
    for line in sys.stdin:
        print(json.dumps(worker.do(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
