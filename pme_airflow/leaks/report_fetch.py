"""Fetching a scanner's report from a path or an https URL, and reading it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import requests

from pme_airflow.addresses import checked_report_url
from pme_airflow.api.bounded import bound_response, read_body
from pme_airflow.api.bounded_session import bound_session
from pme_airflow.errors import PMEError, PMEInputError, PMEReportError
from pme_airflow.leaks.encodings import redact
from pme_airflow.leaks.findings import Findings, PartialReportError
from pme_airflow.leaks.reports import MAX_REPORT_BYTES, read_report
from pme_airflow.printable import printable

__all__ = ["ALLOWED_HOSTS_VARIABLE", "MAX_FETCH_SECONDS", "fetch_report", "read_findings"]

#: Environment variable of the worker that lists the hosts reports may be fetched from, separated by commas: ``host``
#: allows https on any port, ``host:port`` that port alone, such as ``reports.example.com,ci.internal:8443``. Names are
#: compared whole, and case does not matter; there are no wildcards. A private or loopback address is fetched from only
#: where it is listed itself, and plain http from loopback alone. Without the variable nothing is fetched, since the URL
#: decides which host a worker connects to.
ALLOWED_HOSTS_VARIABLE = "PME_REPORT_HOSTS"
#: A report that has not arrived whole within this time is not read.
MAX_FETCH_SECONDS = 120.0
#: The longest wait for a connection, and for each next byte.
_WAIT_SECONDS = 15.0


def read_findings(place: str, problems: list[PMEError]) -> Findings | None:
    """Fetch and read a report; ``None`` if nothing of it could be read.

    :param place: its path or URL.
    :param problems: what could not be fetched or read is added here.
    """
    try:
        return read_report(fetch_report(place))
    except PartialReportError as error:
        problems.append(error)
        return error.findings
    except PMEError as error:
        problems.append(error)
        return None


def fetch_report(place: str) -> bytes:
    """Return the bytes of a report at a path or an https URL.

    :raises PMEInputError: if the path matches no file, or the URL's host is not allowed.
    :raises PMEReportError: if it is too large or cannot be fetched.
    """
    scheme, separator, rest = place.partition("://")
    scheme = scheme.lower() if separator else ""
    if scheme in ("http", "https"):
        return _fetch(place)
    if scheme not in ("", "file"):
        raise PMEInputError(
            f"findings: reports are not read from {printable(scheme, 20)}:// URLs. Give a path or an https URL."
        )
    return _read_file(rest if scheme else place, is_url=bool(scheme))


# ---------------------------------------------------------------- files


def _path_of(rest: str) -> str:
    """Return the path in a ``file://`` URL, percent-decoded where it is no file as it stands."""
    path = rest.removeprefix("localhost")
    return path if Path(path).is_file() else unquote(path)


def _read_file(place: str, *, is_url: bool) -> bytes:
    try:
        path = _matching(_path_of(place) if is_url else place)
        raw = _bytes_of(path)
    except PMEError:
        raise
    except (OSError, ValueError, NotImplementedError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
    else:
        problem = ""
    if problem:
        raise PMEReportError(
            f"findings: {_shown(place)} cannot be read ({problem}). Give the path of a file that the worker may read."
        )
    if raw is None:
        raise PMEInputError(f"findings: there is no file {_shown(path)}. Give the report's path as the worker sees it.")
    if len(raw) > MAX_REPORT_BYTES:
        raise PMEReportError(f"findings: {_shown(path)} is over the limit of {MAX_REPORT_BYTES} bytes. Split it.")
    return raw


def _shown(path: object) -> str:
    """Return a path for a message; a folder may be named by a token."""
    return printable(redact(str(path)))


def _bytes_of(path: Path) -> bytes | None:
    """Return the first bytes of a file, one more than a report may have; ``None`` if it is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return stream.read(MAX_REPORT_BYTES + 1)


def _matching(place: str) -> Path:
    """Return the path, or the one file that it matches as a pattern.

    :raises PMEInputError: if another number of files matches.
    """
    path = Path(place)
    if path.is_file() or not any(sign in place for sign in "*?["):
        return path
    matches = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
    if len(matches) != 1:
        raise PMEInputError(f"findings: the pattern matches {len(matches)} files. Give one file.")
    return matches[0]


# ---------------------------------------------------------------- https


def _fetch(place: str) -> bytes:
    url = checked_report_url(place, os.environ.get(ALLOWED_HOSTS_VARIABLE, "").split(","))
    host = url.partition("://")[2].partition("/")[0].partition("?")[0]
    raw = b""
    problem = ""
    bound_response(MAX_FETCH_SECONDS, MAX_REPORT_BYTES)
    try:
        with requests.Session() as session, _get(session, url) as response:
            raw, is_whole = read_body(response.raw, MAX_REPORT_BYTES)
            if response.status_code != 200:
                problem = f"answered HTTP {response.status_code}, and redirects are not followed"
            elif not is_whole and len(raw) == MAX_REPORT_BYTES:
                problem = f"is over the limit of {MAX_REPORT_BYTES} bytes. Split it"
            elif not is_whole:
                problem = f"broke off, or did not arrive whole within {MAX_FETCH_SECONDS:.0f} s"
    except (requests.RequestException, OSError, ValueError) as error:
        problem = f"was not reached ({type(error).__name__})"
    if problem:
        raise PMEReportError(f"findings: the report at {host} {problem}.")
    return raw


def _get(session: requests.Session, url: str) -> requests.Response:
    bound_session(session)
    session.headers["Accept-Encoding"] = "gzip, deflate"
    return session.get(url, timeout=_WAIT_SECONDS, stream=True, allow_redirects=False)
