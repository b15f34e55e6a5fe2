"""The doctor: checks a set-up before the first night, without publishing anything.

Each module checks one part and yields results; :func:`examine` runs them within a deadline each and puts them into a
report. Nothing here knows Airflow: what is asked of it is passed in as values.
"""

from __future__ import annotations

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.doctor.report import Entry, Report
from pme_airflow.doctor.sections import Section, examine

__all__ = ["CheckResult", "Entry", "Report", "Section", "Verdict", "examine"]
