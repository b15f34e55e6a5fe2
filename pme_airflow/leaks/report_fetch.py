"""Reading a scanner's report from a path or an https URL."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import requests

from pme_airflow.errors import PMEInputError, PMEReportError
from pme_airflow.leaks.reports import MAX_REPORT_BYTES

__all__ = ["ALLOWED_HOSTS_VARIABLE", "fetch_report"]

#: Environment variable with the hosts that reports may be fetched from, separated by commas. Without it none are, since
#: whoever names the URL decides where a worker connects to.
ALLOWED_HOSTS_VARIABLE = "PME_REPORT_HOSTS"
_TIMEOUT = 30.0


def fetch_report(place: str) -> bytes:
    """Return the bytes of a report at a path or an https URL.

    :raises PMEInputError: if the path matches no file, or the URL's host is not allowed.
    :raises PMEReportError: if it is too large or cannot be fetched.
    """
    parts = urlsplit(place)
    if parts.scheme in ("http", "https"):
        return _fetch(place, parts.hostname or "")
    path = Path(parts.path if parts.scheme == "file" else place)
    if parts.scheme not in ("", "file"):
        raise PMEInputError(f"findings: reports are not read from {parts.scheme}:// URLs. Give a path or an https URL.")
    if any(sign in str(path) for sign in "*?["):
        matches = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
        if len(matches) != 1:
            raise PMEInputError(f"findings: the pattern matches {len(matches)} files. Name one.")
        path = matches[0]
    if not path.is_file():
        raise PMEInputError(f"findings: there is no file {path}. Name the report's path as the worker sees it.")
    if path.stat().st_size > MAX_REPORT_BYTES:
        raise PMEReportError(f"findings: {path} is over the limit of {MAX_REPORT_BYTES} bytes. Split it.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise PMEReportError(f"findings: {path} cannot be read ({type(error).__name__}).") from None


def _fetch(url: str, host: str) -> bytes:
    allowed = [name.strip() for name in os.environ.get(ALLOWED_HOSTS_VARIABLE, "").split(",") if name.strip()]
    if host not in allowed:
        raise PMEInputError(
            f"findings: reports are not fetched from {host}. Allow the host in the worker's environment "
            f"({ALLOWED_HOSTS_VARIABLE}={host}), or give a path."
        )
    raw = b""
    problem = ""
    try:
        with requests.get(url, timeout=_TIMEOUT, stream=True, allow_redirects=False) as response:
            if response.status_code != 200:
                problem = f"answered HTTP {response.status_code}"
            for chunk in response.iter_content(1 << 16):
                raw += chunk
                if len(raw) > MAX_REPORT_BYTES:
                    problem = f"is over the limit of {MAX_REPORT_BYTES} bytes"
                    break
    except requests.RequestException as error:
        problem = f"was not reached ({type(error).__name__})"
    if problem:
        raise PMEReportError(f"findings: the report at {host} {problem}.")
    return raw
