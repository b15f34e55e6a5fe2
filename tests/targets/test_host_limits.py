"""All targets of a process share one limiter for each host."""

from __future__ import annotations

import pytest

from pme_airflow.targets.host_limits import host_limiter


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://cms.example.com/api/v2", True),
        ("https://CMS.example.com", True),
        ("https://bot:secret@cms.example.com/x", True),
        ("http://cms.example.com", False),
        ("https://cms.example.com:8443", False),
        ("https://www.example.com", False),
    ],
)
def test_a_host_has_one_limiter_whatever_the_path_and_the_account(other: str, same: bool) -> None:
    limiter = host_limiter("https://cms.example.com/base", 4)
    assert (host_limiter(other, 4) is limiter) is same


def test_the_largest_number_asked_for_is_allowed() -> None:
    limiter = host_limiter("https://cms.example.com", 2)
    assert host_limiter("https://cms.example.com", 4).at_once == 4
    assert host_limiter("https://cms.example.com", 1).at_once == 4
    assert limiter.most == 4
