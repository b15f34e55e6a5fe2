"""Development tools: an emulator of the PME API, the demo, and a whole Airflow to try things in.

Nothing in production imports this package. Import from here: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pme_airflow.dev.emulator.samples import sample_models
    from pme_airflow.dev.emulator.server import serve, serving
    from pme_airflow.dev.emulator.world import FAULTS, Settings, World
    from pme_airflow.dev.playground.demo import run_demo
    from pme_airflow.dev.playground.up import run_up

__all__ = ["FAULTS", "Settings", "World", "run_demo", "run_up", "sample_models", "serve", "serving"]

_MODULES = {
    "FAULTS": "emulator.world",
    "Settings": "emulator.world",
    "World": "emulator.world",
    "run_demo": "playground.demo",
    "run_up": "playground.up",
    "sample_models": "emulator.samples",
    "serve": "emulator.server",
    "serving": "emulator.server",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
