"""Days, a fortnight or a year in virtual time: the real ledger and the real work, with outages and changes.

Workers are killed, answers are lost, clocks are off. In between the clocks change for summer and winter, the client
secret is reset, and the installation moves to another client. ``make simulate`` runs it and writes the page and chart
of the docs.
"""

from __future__ import annotations

from tests.support.simulation.report import Report, Size
from tests.support.simulation.run import Simulation

__all__ = ["Report", "Simulation", "Size"]
