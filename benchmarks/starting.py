"""What importing an operator costs beyond Airflow's own base, and what a link costs as runs grow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import RUNS, Figure, api, services, timed
from benchmarks.minting import ensure

_IMPORTS = 20
LARGE = 100_000
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
    small = [f"S{index:010d}" for index in range(100)]
    large = [f"L{index:010d}" for index in range(LARGE)]
    ratios, memory = [], []
    with api(0.0) as address:
        for _ in range(RUNS):
            with services(address) as made:
                ensure(made, [f"W{index:010d}" for index in range(100)])
                one = timed(lambda made=made: ensure(made, small)) / len(small)  # type: ignore[misc]
                many = timed(lambda made=made: ensure(made, large)) / len(large)  # type: ignore[misc]
                ratios.append(many / one)
        command = [sys.executable, "-m", "benchmarks.starting", address]
        for _ in range(RUNS):
            memory.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    named = f"cost a link, {LARGE:,} in a run against 100, an API without latency"
    yield Figure(named, ratios, "at most 1.5", " times")
    yield Figure(f"memory of a run of {LARGE:,} links above an idle task", memory, "at most 60 MB", " MB")


def main() -> None:
    """Print how much more memory a large run takes at its highest than a process that has all but begun it."""
    with services(sys.argv[1]) as made:
        ensure(made, [f"W{index:010d}" for index in range(100)])
        Path("/proc/self/clear_refs").write_text("5")
        idle = _kilobytes("VmRSS")
        ensure(made, [f"L{index:010d}" for index in range(LARGE)])
        print((_kilobytes("VmHWM") - idle) / 1024)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


if __name__ == "__main__":
    main()
