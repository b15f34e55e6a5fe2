"""``make simulate``: run seeds, print what came of each, and write the page and chart of the docs."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
from functools import partial

from tests.support.garbage import collect_seldom
from tests.support.simulation.page import Run, write_page
from tests.support.simulation.report import Size
from tests.support.simulation.run import START, ZONE, Simulation

#: Three targets for each model: 1,002 slots.
_YEAR, _MODELS_OF_YEAR = 365, 334


def _run(size: Size, seed: int) -> Run:
    logging.disable(logging.CRITICAL)
    collect_seldom()
    simulation = Simulation(seed, size)
    report = simulation.run()
    return Run(seed, report, [f"{wall.name}/{model}" for wall in simulation.walls for model in simulation.models])


def main() -> None:
    """Run the seeds; the page is written anew after each, so that an interrupted run leaves what it has."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--days", type=float, default=14)
    parser.add_argument("--models", type=int, default=67, help="three slots each")
    parser.add_argument("--year", action="store_true", help=f"{_YEAR} days with {_MODELS_OF_YEAR} models")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    days, models = (_YEAR, _MODELS_OF_YEAR) if given.year else (given.days, given.models)
    size = Size(days, models, longest=None, changes=True, skips_idle=True)
    logging.disable(logging.CRITICAL)
    beyond = Simulation(99, Size(days=4, models=20, longest=26 * 3600.0, skips_idle=True)).run()
    runs: list[Run] = []
    with multiprocessing.Pool(given.jobs, maxtasksperchild=1) as pool:
        for run in pool.imap_unordered(partial(_run, size), range(1, given.seeds + 1)):
            print(f"seed {run.seed}: {run.report.in_words()}", flush=True)
            runs = sorted([*runs, run], key=lambda done: done.seed)
            write_page(runs, beyond, START, ZONE)
    print(f"outages up to 26 h: {beyond.in_words()}")


if __name__ == "__main__":
    main()
