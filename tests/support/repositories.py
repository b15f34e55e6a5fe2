"""Git repositories for tests, and the commands that a person would run in them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

__all__ = ["Repository"]


class Repository:
    """A repository on disk and the commands that a person would run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.commit("README", "hello\n", "first")

    def git(self, *arguments: str, at: float | None = None, stdin: str | None = None) -> str:
        date = f"@{int(at)} +0000" if at is not None else f"@{int(time.time())} +0000"
        env = {
            **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@x.test", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@x.test",
            "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, "GIT_ALLOW_PROTOCOL": "file",
        }  # fmt: skip
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=env, check=True, capture_output=True, text=True, input=stdin
        )
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def commit(self, name: str, text: str, message: str = "a change", at: float | None = None) -> str:
        self.write(name, text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message, at=at)
        return self.git("rev-parse", "HEAD")
