"""``make audit`` tells a good answer from known vulnerabilities, and both from no answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pme_airflow.dev.playground.home import ROOT

FOUND = "Name     Version ID             Fix Versions\nrequests 2.0     PYSEC-2026-1   2.1\n"
SKIPPED = "Name     Skip Reason\nrequests Dependency not found on PyPI and could not be audited: requests (2.34.2)\n"


@pytest.mark.parametrize(
    ("answer", "status", "expected", "message"),
    [
        ("", 0, 0, "No vulnerability is known of the 1 pinned packages."),
        (FOUND, 1, 1, "Vulnerabilities are known"),
        (SKIPPED, 0, 2, "could not be asked about 1 packages"),
        ("", 1, 2, "could not be asked about all packages"),
        (FOUND + SKIPPED, 1, 1, "Vulnerabilities are known"),
    ],
    ids=["none known", "known", "not answered for one", "not reached", "known, and one not answered"],
)
def test_an_audit_that_was_not_answered_is_no_good_one(
    tmp_path: Path, answer: str, status: int, expected: int, message: str
) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "audit", tmp_path / ".ci")
    (tmp_path / "constraints.txt").write_text("requests==2.34.2\nold==1.0 ; python_version < '3'\n")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / "answer").write_text(answer)
    scripts = {"python": f'exec {sys.executable} "$@"', "uv": f"cat {tmp_path}/answer\nexit {status}"}
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run([tmp_path / ".ci" / "audit"], env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == expected, done.stdout + done.stderr
    assert message in done.stdout
