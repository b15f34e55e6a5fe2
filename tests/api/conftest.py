from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests_mock as mocking

from pme_airflow.api.client import PMEClient
from pme_airflow.secrets import SecretStr
from tests.api.scripted import HOST, TOKEN
from tests.conftest import SECRET
from tests.support.clocks import FakeClock


@pytest.fixture
def api() -> Iterator[mocking.Mocker]:
    """A scripted API that issues application tokens; a test scripts its graph endpoint."""
    with mocking.Mocker() as mock:
        mock.post(TOKEN, json={"access_token": "app", "token_type": "Bearer", "expires_in": 3599})
        yield mock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scripted(api: mocking.Mocker, clock: FakeClock) -> PMEClient:
    """A client of the scripted API, in virtual time."""
    return PMEClient("id", SecretStr(SECRET), HOST, clock=clock)
