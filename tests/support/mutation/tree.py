"""Copies of the project in which mutants are tried, and the worker of each copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_WORKER = Path(__file__).with_name("worker.py")


class Copy:
    """A copy of the project and the process that runs tests in it."""

    def __init__(self, folder: Path, *, servers: bool) -> None:
        scratch = folder.with_name(f"{folder.name}-scratch")
        scratch.mkdir()
        env = {**os.environ, "PYTHONPATH": str(folder), "COVERAGE_CORE": "ctrace", "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [sys.executable, str(_WORKER), str(scratch), "servers" if servers else "fast"],
            cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def do(self, **job: Any) -> dict[str, Any]:
        """Have the worker do a job."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of the mutation run ended with {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """End the worker."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def copy_project(root: Path, scratch: Path, count: int) -> list[Path]:
    """Copy the project's files, tracked or new, so many times; return the folders of the copies."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    files = listed.stdout.split("\0")[:-1] if not listed.returncode else _all_files(root)
    folders = [scratch / f"copy{index}" for index in range(count)]
    _copy(root, folders[0], files)
    for folder in folders[1:]:
        _copy(folders[0], folder, files)
    for folder in folders:
        if (root / ".venv").exists():
            (folder / ".venv").symlink_to(root / ".venv")
    return folders


def _copy(origin: Path, folder: Path, files: list[str]) -> None:
    for name in files:
        if (origin / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin / name, folder / name)


@contextmanager
def workers_in(folders: list[Path], *, servers: bool = False) -> Iterator[list[Copy]]:
    """Start a worker in each copy of the project."""
    with ExitStack() as stack:
        workers = []
        for folder in folders:
            workers.append(Copy(folder, servers=servers))
            stack.callback(workers[-1].close)
        yield workers


def _all_files(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"]
