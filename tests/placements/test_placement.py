"""Task ids of audiences."""

from __future__ import annotations

import itertools
import re

import pytest

from pme_airflow.placements.placement import task_id_part

AUDIENCES = ["a.b", "a_b", "a-b", "a..b", "a.b.", "a_b_", "A.b", "intranet", "broker-portal", "x" * 64, "." * 3 + "x"]


@pytest.mark.parametrize("audience", AUDIENCES)
def test_an_audience_is_a_valid_part_of_a_task_id(audience: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", task_id_part(audience))


def test_no_two_audiences_share_a_part() -> None:
    assert all(task_id_part(a) != task_id_part(b) for a, b in itertools.combinations(AUDIENCES, 2))


def test_a_plain_audience_is_its_own_part() -> None:
    assert task_id_part("broker-portal_2") == "broker-portal_2"
