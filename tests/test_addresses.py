"""Addresses are parsed and never compared as text: what is checked is what is connected to."""

from __future__ import annotations

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from pme_airflow.addresses import checked_base_url, checked_report_url, parse_http_url, parse_without_query
from pme_airflow.errors import PMEInputError

HOSTS = ["reports.corp.example", "files.example:8443", "10.0.0.7", "127.0.0.1"]

#: Hosts that are not loopback, whatever they begin or end with, in forms that some parser takes for it.
NOT_LOOPBACK = [
    "127.evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "localhost.localdomain", "x.localhost",
    "evil.example", "128.0.0.1", "0.0.0.0", "[::2]", "[fe80::1]", "[::ffff:10.0.0.1]", "192.168.0.1", "1.evil.example",
    "127-0-0-1.example", "xn--localhost-123", "[2001:db8::127.0.0.1]",
]  # fmt: skip
#: What no two parsers are sure to read alike.
UNCLEAR = [
    "127.1", "127.0.1", "0x7f000001", "0x7f.0.0.1", "2130706433", "017700000001", "0177.0.0.1", "127.0.0.01", "127.0.0.1.",
    "localhost.", "256.0.0.1", "1.2.3", "1.2.3.4.5", "0x", "evil.0x7f", "[::1%25lo]", "[::1%lo]", "[fe80::1%25eth0]",
    "[::1", "::1", "[]", "[127.0.0.1]", "[v1.x]", "user@127.0.0.1", "user:pw@127.0.0.1", "@127.0.0.1", ":@127.0.0.1",
    "127.0.0.1:80\\@evil.example", "127.0.0.1\\.evil.example", "evil.example\\@127.0.0.1", "evil%2eexample",
    "%6cocalhost", "local\thost", "local\nhost", "127.0.0.1\x00.evil.example", "127.0.0.1 .evil.example", "a..b",
    ".localhost", "-a.example", "a-.example", "１２７.0.0.1", "ⓛocalhost", "loc\u00adalhost", "127。0。0。1", "\ud800.example",
    "x:port", "x:-1", "x:99999", "x:0", "x:٣", "x:8 0", "a" * 64 + ".example", "", " ", "a/b@c:d@", "a,b", "a;b", "a!b",
]  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "LOCALHOST", "[::1]", "[0:0:0:0:0:0:0:1]",
                                  "[::ffff:127.0.0.1]"])  # fmt: skip
def test_loopback_takes_plain_http_and_gets_it_without_a_scheme(host: str) -> None:
    assert checked_base_url(f"http://{host}:8799/", field="host").startswith("http://")
    assert checked_base_url(f"{host}:8799", field="host").startswith("http://")
    assert checked_base_url(f"https://{host}:8799", field="host").startswith("https://")


@pytest.mark.parametrize("host", NOT_LOOPBACK)
def test_plain_http_is_refused_for_every_other_host_unless_it_is_allowed(host: str) -> None:
    for port in ("", ":8799"):
        with pytest.raises(PMEInputError, match="plain http"):
            checked_base_url(f"http://{host}{port}/x", field="host")
        assert checked_base_url(f"{host}{port}", field="host").startswith("https://")
        assert checked_base_url(f"http://{host}{port}", field="host", allow_http=True).startswith("http://")


@pytest.mark.parametrize("host", [host for host in UNCLEAR if host not in ("a/b@c:d@",)])
@pytest.mark.parametrize("scheme", ["", "http://", "https://"])
def test_a_host_that_parsers_read_differently_is_refused(host: str, scheme: str) -> None:
    for allow_http in (False, True):
        with pytest.raises(PMEInputError, match="field: is not a base address"):
            checked_base_url(f"{scheme}{host}", field="field", allow_http=allow_http)


@pytest.mark.parametrize(
    "text",
    ["ftp://x", "https:/x", "https:x/y", "//x", "javascript:alert(1)", "file:///etc/passwd", "https://x?y=1",
     "https://x#y", "https://x/?", "https:\\\\x", "mailto:a@b", "data:,x", "https://x/\x7f", "https://x/\u202e", "https://x y",
     "https://" + "x" * 3000, "ws://127.0.0.1", "httpsx://y"],
)  # fmt: skip
def test_what_is_no_base_address_is_refused_by_the_settings_name_without_repeating_it(text: str) -> None:
    with pytest.raises(PMEInputError, match=r"^field: is not a base address") as caught:
        checked_base_url(text, field="field")
    assert text not in str(caught.value)


def test_credentials_in_an_address_are_not_repeated() -> None:
    with pytest.raises(PMEInputError) as caught:
        checked_base_url("http://ada:hunter2@evil.example", field="host")
    assert "hunter2" not in str(caught.value)
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "base"),
    [
        (" api.example.test/ ", "https://api.example.test"),
        ("API.Example.test", "https://api.example.test"),
        ("https://api.example.test:443/", "https://api.example.test"),
        ("https://api.example.test:8443/pme/", "https://api.example.test:8443/pme"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[0:0::1]:8799", "http://[::1]:8799"),
        ("münchen.example/x", "https://xn--mnchen-3ya.example/x"),
        ("my_service:8080", "https://my_service:8080"),
        ("https://x.example/a/../b", "https://x.example/b"),
        ("HTTPS://x.example", "https://x.example"),
    ],
)
def test_a_base_address_is_returned_in_its_canonical_form(text: str, base: str) -> None:
    assert checked_base_url(text, field="host") == base
    assert checked_base_url(base, field="host") == base


@pytest.mark.parametrize(
    ("text", "requested"),
    [
        ("https://reports.corp.example/x?run=1#top", "https://reports.corp.example/x?run=1"),
        ("https://REPORTS.corp.example:444/x", "https://reports.corp.example:444/x"),
        ("https://files.example:8443/x", "https://files.example:8443/x"),
        ("https://10.0.0.7/x", "https://10.0.0.7/x"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("https://reports.corp.example/a@b", "https://reports.corp.example/a@b"),
    ],
)
def test_a_report_is_fetched_from_a_listed_host(text: str, requested: str) -> None:
    assert checked_report_url(text, HOSTS) == requested


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:80\\@reports.corp.example/x",
        "https://127.0.0.1:80\\@reports.corp.example/x",
        "https://evil.example\\@reports.corp.example/x",
        "https://reports.corp.example@evil.example/x",
        "https://reports.corp.example:443@evil.example/x",
        "https://evil.example#@reports.corp.example/x",
        "https://evil.example?@reports.corp.example/x",
        "https://evil.example/@reports.corp.example/x",
        "https://reports.corp.example.evil.example/x",
        "https://reports.corp.example./x",
        "https://evil.example/reports.corp.example",
        "https://10.0.0.8/x",
        "https://169.254.169.254/latest",
        "https://[::ffff:10.0.0.7]/x",
        "https://167772167/x",
        "https://010.0.0.7/x",
        "http://reports.corp.example/x",
        "http://10.0.0.7/x",
        "https://files.example/x",
        "https://files.example:8444/x",
        "ftp://reports.corp.example/x",
        "https:///reports.corp.example/x",
        "https://\treports.corp.example/x",
        "https://reports.corp.example /x",
        "reports.corp.example/x",
        "",
    ],
)
def test_a_report_is_fetched_from_nowhere_else(text: str) -> None:
    with pytest.raises(PMEInputError, match=r"^findings: ") as caught:
        checked_report_url(text, HOSTS)
    assert "@" not in str(caught.value)


def test_an_unreadable_entry_of_the_list_allows_nothing() -> None:
    for entry in ("", "*", "x@evil.example", "evil.example\\", "127.1"):
        with pytest.raises(PMEInputError):
            checked_report_url("https://evil.example/x", [entry])


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text("0123456789abcdefx.:/\\@[]%#? \t", max_size=40))
def test_the_host_that_was_checked_is_the_host_that_requests_connects_to(text: str) -> None:
    for address in (text, f"https://{text}", f"http://127.0.0.1{text}", f"http://localhost{text}"):
        url = parse_http_url(address)
        if url is None:
            continue
        prepared = requests.Request("GET", str(url)).prepare().url
        assert prepared is not None
        again = parse_http_url(prepared)
        assert again is not None
        assert (again.scheme, again.host, again.port) == (url.scheme, url.host, url.port)
        assert again.is_loopback == url.is_loopback


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789abcdefx.:/\\@[]%#? \t\u00e9", max_size=40))
def test_a_url_is_parsed_alike_with_and_without_its_query(text: str) -> None:
    for address in (text, f"https://{text}", f"http://127.0.0.1{text}", "https://a/" + text * 60):
        url, short = parse_http_url(address), parse_without_query(address)
        assert (url is None) == (short is None)
        if url is not None and short is not None:
            assert (short.scheme, short.host, short.port, short.path) == (url.scheme, url.host, url.port, url.path)


def test_a_token_pasted_as_a_host_is_not_repeated_in_the_error() -> None:
    token = "k3f9s8d7q2m4x6z1b5n0c8v7y"
    for host in (token, f"127.{token}", f"{token}.example.com:8080"):
        with pytest.raises(PMEInputError) as base:
            checked_base_url(f"http://{host}", field="API address")
        with pytest.raises(PMEInputError) as report:
            checked_report_url(f"https://{host}/r.json", [])
        assert token not in str(base.value) + str(report.value)
    with pytest.raises(PMEInputError, match=r"plain http to build-7f3a9c2d1e\.example\.com"):
        checked_base_url("http://build-7f3a9c2d1e.example.com", field="API address")
