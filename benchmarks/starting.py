"""What importing an operator costs beyond Airflow's own base, and what a link costs as runs grow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure import RUNS, Figure, api, services, timed
from benchmarks.minting import ensure

_IMPORTS = 20
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
    large = [f"L{index:010d}" for index in range(20_000)]
    ratios = []
    with api(0.0) as address:
        for _ in range(RUNS):
            with services(address) as made:
                ensure(made, [f"W{index:010d}" for index in range(100)])
                one = timed(lambda made=made: ensure(made, small)) / len(small)  # type: ignore[misc]
                many = timed(lambda made=made: ensure(made, large)) / len(large)  # type: ignore[misc]
                ratios.append(many / one)
    yield Figure("cost a link, 20,000 in a run against 100, an API without latency", ratios, "at most 1.5", " times")
