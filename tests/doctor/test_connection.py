"""The connection's checks name a certificate that is not trusted, and a response without a date."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.clock import SystemClock
from pme_airflow.doctor import Verdict
from pme_airflow.doctor.connection import check_connection, judge_clock
from pme_airflow.secrets import SecretStr
from tests.support.certificates import Authority


def test_certificate_that_is_not_trusted_is_named(tmp_path: Path) -> None:
    Authority.in_folder(tmp_path).issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "localhost.pem", tmp_path / "localhost.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                context.wrap_socket(connection, server_side=True)
            except OSError:
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host = f"https://localhost:{listener.getsockname()[1]}"
        with PMEClient("id", SecretStr("secret of some length"), host, ClientSettings(timeout=5, deadline=1)) as client:
            (bad,) = check_connection(client, SystemClock())
        thread.join(5)
    assert bad.check == "host"
    assert "TLS failed" in bad.finding
    assert "REQUESTS_CA_BUNDLE" in bad.cure


@pytest.mark.parametrize(
    ("off", "verdict", "named"),
    [
        (timedelta(seconds=0.2), Verdict.GOOD, "within 1 s"),
        (timedelta(seconds=-29), Verdict.GOOD, "within 29 s"),
        (timedelta(seconds=31), Verdict.WARNING, "31 s behind"),
        (timedelta(minutes=-10), Verdict.WARNING, "600 s ahead of"),
        (timedelta(minutes=11), Verdict.BAD, "660 s behind"),
    ],
)
def test_clock_is_judged_by_the_ten_minutes_that_the_schedule_allows(
    off: timedelta, verdict: Verdict, named: str
) -> None:
    result = judge_clock("clock", "this machine", off, "the API")
    assert result.verdict is verdict
    assert named in result.finding
