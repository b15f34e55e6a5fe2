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


@contextmanager
def copies(root: Path, scratch: Path, count: int, *, servers: bool = False) -> Iterator[list[Copy]]:
    """Copy the project's files, tracked or new, so many times, and start a worker in each copy."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    files = listed.stdout.split("\0")[:-1] if not listed.returncode else _all_files(root)
    with ExitStack() as stack:
        made = []
        for index in range(count):
            folder = scratch / f"copy{index}"
            for name in files:
                if (root / name).is_file():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(root / name, folder / name)
            if (root / ".venv").exists():
                (folder / ".venv").symlink_to(root / ".venv")
            made.append(Copy(folder, servers=servers))
            stack.callback(made[-1].close)
        yield made


def _all_files(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"]
