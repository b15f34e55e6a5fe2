"""What importing an operator costs beyond Airflow's own base, and what a link costs as runs grow."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measure import RUNS, Figure, api, kilobytes, services, timed
from benchmarks.minting import ensure

_IMPORTS = 20
SMALL, LARGE = 100, 100_000
#: A small run lasts some 15 ms, so one alone would measure what else the machine does.
_SMALL_RUNS = 9
_SCRIPT = """
import time
from airflow.sdk import BaseOperator
begun = time.perf_counter()
from pme_airflow.operators.pme import PMEMintLinksOperator
from pme_airflow.transfers.pme_to_object_storage import PMEToObjectStorageOperator
print((time.perf_counter() - begun) * 1000)
"""


def figures() -> Iterator[Figure]:
    """Milliseconds of an import; and the cost of a link in a large run against a small one."""
    imports = [
        float(subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True).stdout)
        for _ in range(_IMPORTS)
    ]
    yield Figure("import of an operator and a transfer beyond BaseOperator", imports, "at most 30 ms", " ms")
    ratios, memory = [], []
    with api(0.0) as address:
        command = [sys.executable, "-m", "benchmarks.starting", address]
        for _ in range(RUNS):
            measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            ratios.append(measured["ratio"])
            memory.append(measured["megabytes"])
    named = f"cost a link, {LARGE:,} in a run against {SMALL}, an API without latency"
    yield Figure(named, ratios, "at most 1.5", " times")
    yield Figure(f"memory of a run of {LARGE:,} links above an idle task", memory, "at most 60 MB", " MB")


def main() -> None:
    """Mint a few links, several times, and then very many; print what each costs, and the memory that many take."""
    with services(sys.argv[1]) as made:
        ensure(made, _models("W", SMALL))
        small = [timed(partial(ensure, made, _models(f"S{run}", SMALL))) for run in range(_SMALL_RUNS)]
        one = statistics.median(small) / SMALL
        Path("/proc/self/clear_refs").write_text("5")
        idle = kilobytes("VmRSS")
        many = timed(partial(ensure, made, _models("L", LARGE))) / LARGE
        print(json.dumps({"ratio": many / one, "megabytes": (kilobytes("VmHWM") - idle) / 1024}))


def _models(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{index:0{11 - len(prefix)}d}" for index in range(count)]


if __name__ == "__main__":
    main()
