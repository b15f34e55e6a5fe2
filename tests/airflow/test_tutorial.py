"""The tutorial's commands, as printed, lead from an empty folder and a wheel to a link that is live and shown."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.dev.playground.live import free_port

UV = Path(sys.executable).parent / "uv"
TUTORIALS = ROOT / "docs" / "tutorials"


def commands(page: str) -> list[str]:
    """Return the commands that a page prints."""
    blocks = re.findall(r"```sh\n(.*?)```", (TUTORIALS / page).read_text(), re.DOTALL)
    return [line.strip() for block in blocks for line in block.strip().splitlines()]


COMMANDS = commands("first-space.md")
DRILL = commands("leak-drill.md")
#: Airflow finds new DAGs within half a minute; on a busy machine its first start takes longer than that.
START_SECONDS = 200


def test_the_tutorial_has_at_most_ten_commands() -> None:
    assert 5 < len(COMMANDS) <= 10


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not UV.exists():
        pytest.skip("uv is not installed next to Python: run make .venv/.installed")
    to = tmp_path_factory.mktemp("wheel")
    options = ("--wheel", "--no-build-isolation", "--python", sys.executable, "-o", to)
    subprocess.run([UV, "build", "-q", *options, ROOT], check=True, capture_output=True)
    return next(to.glob("*.whl"))


def script(wheel: Path, emulator_port: int) -> str:
    """Return the commands, with the wheel in place of the package's name, and ports that are free here."""
    install = f"VIRTUAL_ENV=$PWD/tour {UV} pip install -q -c {ROOT / 'constraints.txt'} {wheel}"
    lines = []
    for command in COMMANDS:
        line = command.replace("pip install pme-airflow", install).replace("8799", str(emulator_port))
        line = line.replace("python3 -m venv tour", f"{sys.executable} -m venv tour")
        if line.startswith("airflow dags trigger"):  # "Repeat the command if Airflow does not know them yet"
            line = f"for n in $(seq {START_SECONDS // 2}); do ({line}) >> unpause.log 2>&1 && break; sleep 2; done"
        if line == "pme-airflow doctor":  # "If … one is paused, repeat the command of step 6"
            unpause = next(other.rpartition("&& ")[2] for other in COMMANDS if "dags unpause" in other)
            line = f"for n in $(seq 40); do {line} && break; ({unpause}) >> unpause.log 2>&1 || true; sleep 2; done"
        if line == COMMANDS[-1]:
            line = f"for n in $(seq {START_SECONDS}); do test -e shown/index.html && break; sleep 1; done\n{line}"
        lines.append(line)
    return "\n".join(["set -e", *lines, "cp -r shown first", *DRILL])


@pytest.mark.timeout(2 * START_SECONDS + 100)
def test_the_tutorial_leads_to_links_that_are_live_and_shown_and_the_drill_revokes_one(
    wheel: Path, tmp_path: Path
) -> None:
    port = str(free_port())
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PME_", "PYTHON"))}
    env |= {
        "AIRFLOW__API__PORT": port, "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}", "COLUMNS": "200",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/", "HOME": str(tmp_path),
    }  # fmt: skip
    with (tmp_path / "output.log").open("w") as output, (tmp_path / "errors.log").open("w") as errors:
        shell = subprocess.Popen(
            ["bash", "-c", script(wheel, free_port())],
            cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True,
        )  # fmt: skip
        try:
            status = shell.wait(2 * START_SECONDS)
        finally:  # the emulator and Airflow go on in the shell's process group
            for ending in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(shell.pid, ending)
    printed = (tmp_path / "output.log").read_text()
    assert status == 0, printed[-3000:] + (tmp_path / "errors.log").read_text()[-3000:]
    links = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("first/*/link.json"))]
    assert len(links) == 3
    assert all(link["access_token"] in link["link"] for link in links)
    assert printed.count("live") >= 3
    assert "revoked" in printed
    assert "leak drill" in printed
    assert ", 0 bad." in printed
    assert "1 links flagged; 1 revoked, 0 NOT revoked." in printed
