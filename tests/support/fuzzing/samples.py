"""Samples of what each parser reads, with a token in them wherever one may stand."""

from __future__ import annotations

import base64
import json
import random
from functools import cache
from typing import Any
from unittest import mock
from urllib.parse import quote

import yaml

from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.sealing import OpenedLink, Sealer
from pme_airflow.secrets import AccessToken, SecretStr
from tests.leaks.test_reports import LINES, SAMPLES, TRUFFLEHOG_LOG
from tests.support.fake_wordpress import MODEL
from tests.support.fuzzing.mutations import LINK, TOKEN
from tests.support.leaked import TOKEN as LEAKED


def fixed_randomness() -> Any:
    """Make sealed texts, tokens and ids the same on every machine while the block runs."""
    return mock.patch("os.urandom", random.Random(7).randbytes)


@cache
def matcher() -> TokenMatcher:
    """A matcher of the token."""
    return TokenMatcher([AccessToken(TOKEN)])


JSON_REPORTS: list[Any] = [
    *json.loads(json.dumps(list(SAMPLES.values())).replace(LEAKED, TOKEN)),
    {"version": "1.5.0", "plugins_used": [], "results": {"a.py": [{"type": "x", "hashed_secret": "0" * 40, "line_number": 1}]}},
    {"action": "created", "alert": {"number": 1, "secret": LINK, "secret_type": "x"}},
    [{"RuleID": "r", "Secret": base64.b64encode(LINK.encode()).decode(), "Match": "auth=Bearer+REDACTED"}],
]  # fmt: skip
REPORTS: list[bytes] = [
    *(json.dumps(report, indent=indent).encode() for report in JSON_REPORTS for indent in (None, 1)),
    LINES.replace(LEAKED, TOKEN).encode(), TRUFFLEHOG_LOG.encode(), f"{TRUFFLEHOG_LOG}\n{LINES}".replace(LEAKED, TOKEN).encode(),
    b"[][]", f"Finding: {LINK}\nSecret: REDACTED\nRaw result: {TOKEN}\n".encode(), f"a note\n<{LINK}|here>".encode("utf-16"),
]  # fmt: skip
TEXTS: list[bytes] = [
    LINK.encode(), TOKEN.encode(), quote(LINK, safe="").encode(), base64.b64encode(LINK.encode()), base64.b64encode(base64.b64encode(LINK.encode())),
    LINK.encode().hex().encode(), LINK.encode("utf-16"), json.dumps({"a": LINK}).encode(), LINK.replace("&", "&amp;").encode(),
    b"=\n".join([LINK.encode()[i : i + 30] for i in range(0, len(LINK), 30)]), f"Authorization: Bearer {TOKEN}.".encode(),
    b"2026-11-26 18:00 GET /show?m=SxQL3iGyoDo 200 " * 30, bytes(range(256)) * 4, f"Bearer%20{TOKEN} Bearer%2520{TOKEN}".encode(),
    "".join(f"\\u{ord(char):04x}" for char in LINK).encode(), "".join(f"&#{ord(char)};" for char in LINK).encode(),
]  # fmt: skip
JSON_PLACEMENTS: list[Any] = [
    {
        "audience": "intranet", "valid_for": "24h", "models": [MODEL, LINK], "exclude": ["yyHDFKzPzvN"], "timezone": "Europe/Berlin",
        "renew_before": "12h", "keep_every": "15m", "allow_gaps": True, "allow_clearing": False, "pme_conn_id": "pme_default",
        "targets": [
            {"kind": "object_storage", "path": "file:///srv/embeds"}, {"kind": "slack", "channel": "#tours", "slack_conn_id": "s"},
            {"kind": "wordpress", "wordpress_conn_id": "w", "pages": {MODEL: 42}},
            {"kind": "http", "http_conn_id": "cms", "method": "PATCH", "endpoint": "items/{model_id}", "json": {"url": "{link}"}},
        ],
    },
    [{"audience": "a", "models": {"query": "*"}, "targets": [{"kind": "object_storage", "path": "s3://b/p", "storage_options": {"ACL": "private"}}]},
     {"audience": "b", "models": [], "targets": []}],
]  # fmt: skip
PLACEMENTS: list[bytes] = [yaml.safe_dump(placement).encode() for placement in JSON_PLACEMENTS] + [
    b"a: &x [*x]\nb: 2026-01-01\n"
]
CONNECTIONS: list[Any] = [
    {"conn_type": "pme", "host": "https://api.matterport.com", "login": "client", "password": TOKEN, "port": 443, "schema": "https",
     "extra": {"ledger_conn_id": "ledger", "seal_keys": [TOKEN, f"open:{TOKEN}"], "batch_size": 10, "max_concurrency": 4,
               "requests_per_second": 2.5, "timeout": 30}},
    {"conn_type": "pme", "host": LINK, "login": LINK, "password": f"{TOKEN}\n", "extra": json.dumps({"__extra__": {"timeout": "5"}})},
]  # fmt: skip
LEDGER_EXTRAS: list[Any] = [
    {"charset": "utf8mb4", "ssl": {"ca": "/ca.pem", "check_hostname": True}, "connect_timeout": 5, "init_command": "SET x", "local_infile": 0},
    {"ssl_mode": "REQUIRED", "ssl_key_password": TOKEN, "read_timeout": "5"}, {"ssl_disabled": True, "sql_mode": "ANSI", TOKEN: 1},
]  # fmt: skip
HTTP_CONNECTIONS: list[Any] = [
    {"host": "cms.example", "schema": "https", "port": 8443, "extra": {"allow_http": True}},
    {"host": f"https://user:{TOKEN}@cms.example/a?auth=Bearer+{TOKEN}", "schema": None, "port": None, "extra": {"allow_http": "false"}},
]  # fmt: skip
SMALL_TEXTS: list[bytes] = [
    b"24h", b"PT1H30M", b"P1D", b"90", b'"7 days"', b"1.5h", b"Fri, 01 May 2026 12:00:00 GMT", b"2026-05-01T12:10:00Z", b"2026-05-01T12:10:00.123+02:00",
    MODEL.encode(), LINK.encode(), b"https://api.matterport.com:443/x", b"http://127.0.0.1:8080", b"http://[::ffff:127.0.0.1]/", b"[\"SxQL3iGyoDo\"]",
    b'{"query": "*", "exclude": []}', b"SxQL3iGyoDo, yyHDFKzPzvN", b"intranet", b"true", f'"{TOKEN}"'.encode(), b"['SxQL3iGyoDo']", b"client\n",
]  # fmt: skip
CRITERIA: list[Any] = [
    {"tokens": [TOKEN, LINK, "sha256:" + "a" * 64], "models": [MODEL, LINK], "audiences": ["intranet"], "link_ids": ["lnk_1"]}, [LINK], LINK,
]  # fmt: skip
LEAK_REQUESTS: list[Any] = [
    *({name: [value, f"a {TOKEN}", "x"]} for name in ("tokens", "models", "audiences", "link_ids") for value in (TOKEN, LINK)),
    {"models": [MODEL], "audiences": [TOKEN], "link_ids": [LINK], "tokens": [{}], "within": True, "reason": f"in {LINK}"},
]  # fmt: skip
with fixed_randomness():
    SEALED: list[bytes] = [
        Sealer.of_connection(SecretStr("secret"), [SecretStr("a key of 20 letters.")])
        .seal(OpenedLink(AccessToken(TOKEN), SecretStr(LINK)), "link-1", MODEL)
        .encode()
    ]
_IFRAME = f'<iframe src="{LINK.replace("&", "&amp;")}" title="t" width="100%" allowfullscreen=""></iframe>'
PAGES: list[bytes] = [
    text.encode()
    for text in (
        f"<!-- wp:paragraph --><p>Hello</p><!-- /wp:paragraph -->\n\n<!-- wp:html -->\n<!-- pme:{MODEL} -->{_IFRAME}<!-- /pme:{MODEL} -->\n<!-- /wp:html -->",
        f"<p>before</p>\n\n[pme model={MODEL}]\n\n<p>after</p>",
        f"<!-- wp:group --><div><!-- wp:columns --><div><!-- wp:column --><div><!-- wp:paragraph --><p>x [pme model=\"{MODEL}\"] y</p>"
        "<!-- /wp:paragraph --></div><!-- /wp:column --></div><!-- /wp:columns --></div><!-- /wp:group -->",
        f'<!-- wp:embed {{"url":"{LINK}","type":"rich"}} --><figure><div>{LINK}</div></figure><!-- /wp:embed -->',
        f"<!-- wp:freeform -->{_IFRAME}<p>text</p><!-- /wp:freeform --><!-- wp:block {{\"ref\":42}} /-->",
        f"[embed]https://my.matterport.com/show/?m={MODEL}[/embed] [vc_row][vc_raw_html]{base64.b64encode(quote(_IFRAME).encode()).decode()}[/vc_raw_html]",
        f"<!-- pme:{MODEL} -->{_IFRAME}<p>no end", f"<a href='https://my.matterport.com/show/?m={MODEL}'>tour</a><pre>{_IFRAME}</pre>",
        "<!-- wp:html --><img src=\"data:image/png;base64," + "A" * 3000 + "\"><!-- /wp:html -->",
    )
]  # fmt: skip
