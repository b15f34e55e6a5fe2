from __future__ import annotations

import pytest

from pme_airflow.addresses import checked_host
from pme_airflow.errors import PMEInputError


@pytest.mark.parametrize(
    "host", ["http://api.example.test", "ftp://x", "https://", "https://u:p@x", "https://x?y=1", "https://x:port"]
)
def test_a_host_that_cannot_be_right_is_refused(host: str) -> None:
    with pytest.raises(PMEInputError, match="host"):
        checked_host(host)


def test_a_base_address_gets_a_scheme_and_loses_its_trailing_slash() -> None:
    assert checked_host(" api.example.test/ ") == "https://api.example.test"
    assert checked_host("http://127.0.0.1:8799/") == "http://127.0.0.1:8799"
