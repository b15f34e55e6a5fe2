"""A real Prometheus, and its own tool that tests rules in virtual time."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.support.web import Reply, serving_web

MISSING = None if shutil.which("prometheus") and shutil.which("promtool") else "Debian's prometheus is not installed"


def check_rules(tests: dict[str, Any], folder: Path) -> str:
    """What ``promtool test rules`` finds wrong; empty where all is as expected."""
    file = folder / "tests.yml"
    file.write_text(json.dumps(tests))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=120)
    return "" if done.returncode == 0 else done.stdout + done.stderr


class Prometheus:
    """A server that has scraped once."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **query: str) -> Any:
        answer = requests.get(f"{self.address}/api/v1/{path}", params=query, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def wait_for(self, ready: Callable[[], Any], seconds: float = 60) -> Any:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                found = ready()
            except (requests.ConnectionError, ValueError):
                found = None
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError("Prometheus did not get ready in time")


@contextmanager
def serving_prometheus(folder: Path, rules: Path, exposition: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a text every second, with rules."""
    with serving_web() as web:
        web.reply = lambda _: Reply(body=exposition.encode(), headers={"Content-Type": "text/plain"})
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": "statsd", "static_configs": [{"targets": [web.address.partition("//")[2]]}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                   f"--web.listen-address={listen}", "--log.level=error"]  # fmt: skip
        process = subprocess.Popen(command)
        try:
            server = Prometheus(f"http://{listen}")
            server.wait_for(lambda: server.get("query", query="airflow_pme_slots")["result"])
            yield server
        finally:
            process.terminate()
            process.wait(20)
