"""Only this machine's own programs and pages reach a stand-in: no DNS rebinding, no cross-site request."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.dev.emulator.server import serving_app
from pme_airflow.dev.playground.channel import Channel, create_channel_app

CONTROL = "/_emulator/control"
DOWN = json.dumps({"down": True}).encode()
JSON = {"Content-Type": "application/json"}


def ask(address: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    """Send a request with exactly these headers; underscores in names stand for hyphens."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def port_of(address: str) -> int | None:
    return urlsplit(address).port


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.evil.example:{port}",
        "evil-localhost:{port}", "user@127.0.0.1:{port}", "127.0.0.1:{port}@evil.example", "0.0.0.0:{port}",
        "169.254.169.254", "[::2]:{port}", "[::1].evil.example", "::1", "127.0.0.1:port", "127.0.0.1, evil.example", "",
        "evil.example.", "localhost%00.evil.example", "localhost\tevil.example", "xn--localhost-:{port}",
        "127.0.0.1%2eevil.example", "[::ffff:169.254.169.254]:{port}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/_emulator/truth", "/show", "/models/x"])
def test_a_foreign_host_name_is_refused(address: str, world: World, host: str, path: str) -> None:
    world.issue("Model000000", 60)
    status, body = ask(address, "GET", path, Host=host.format(port=port_of(address)))
    assert status == 421
    assert not any(token in body for token in world.tokens)


def test_a_foreign_host_name_moves_nothing(address: str, world: World) -> None:
    assert ask(address, "POST", CONTROL, DOWN, Host="evil.example", **JSON)[0] == 421
    assert not world.down


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "LOCALHOST:{port}", "127.0.0.1:{port}", "127.9.8.7", "[::1]:{port}", "localhost"]
)
def test_a_loopback_host_name_is_served(address: str, host: str) -> None:
    assert ask(address, "GET", "/_emulator/truth", Host=host.format(port=port_of(address)))[0] == 200


def test_a_request_without_a_host_name_is_refused(address: str) -> None:
    assert ask(address, "GET", "/_emulator/truth")[0] in (400, 421)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "http://127.0.0.1:{port}.evil.example",
        "http://evil.example#http://127.0.0.1:{port}", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [CONTROL, "/api/oauth/token", "/api/models/graph"])
def test_a_page_of_another_origin_is_refused(address: str, world: World, origin: str, path: str) -> None:
    host = urlsplit(address).netloc
    foreign = origin.format(port=port_of(address))
    assert ask(address, "POST", path, DOWN, Host=host, Origin=foreign, **JSON)[0] == 403
    assert not world.down
    assert not world.counts


def test_a_page_of_another_origin_reads_no_token(address: str) -> None:
    host = urlsplit(address).netloc
    assert ask(address, "GET", "/_emulator/truth", Host=host, Origin="https://evil.example")[0] == 403
    assert ask(address, "GET", "/_emulator/truth", Host=host, Sec_Fetch_Site="cross-site")[0] == 403


def test_the_page_of_the_emulator_itself_is_served(address: str, world: World) -> None:
    host = urlsplit(address).netloc
    headers = {"Host": host, "Origin": address, "Sec_Fetch_Site": "same-origin"}
    assert ask(address, "POST", CONTROL, DOWN, **headers, **JSON)[0] == 200
    assert world.down


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
def test_the_control_path_takes_json_alone(address: str, world: World, kind: str | None) -> None:
    headers = {} if kind is None else {"Content_Type": kind}
    status, body = ask(address, "POST", CONTROL, DOWN, Host=urlsplit(address).netloc, **headers)
    assert status == 415
    assert "application/json" in body
    assert not world.down


def test_the_control_path_takes_json_with_a_character_set(address: str, world: World) -> None:
    kind = {"Content_Type": "Application/JSON; charset=utf-8"}
    assert ask(address, "POST", CONTROL, DOWN, Host=urlsplit(address).netloc, **kind)[0] == 200
    assert world.down


def test_pages_of_other_origins_may_load_the_sdk_and_show_a_space(address: str) -> None:
    host = urlsplit(address).netloc
    assert ask(address, "GET", "/showcase/sdk.js", Host=host, Origin="null")[0] == 200
    assert ask(address, "GET", "/show?m=x", Host=host, Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="iframe")[0] == 401


@contextmanager
def channel() -> Iterator[str]:
    with serving_app(lambda _: create_channel_app(Channel())) as address:
        yield address


def test_the_stand_in_of_slack_is_guarded_too() -> None:
    with channel() as address:
        host = urlsplit(address).netloc
        assert ask(address, "GET", "/", Host=host)[0] == 200
        assert ask(address, "GET", "/", Host="evil.example")[0] == 421
        assert ask(address, "GET", "/", Host=host, Origin="https://evil.example")[0] == 403
        posted = ask(address, "POST", "/api/chat.postMessage", b"text=x", Host=host, Origin="https://evil.example")
        assert posted[0] == 403
