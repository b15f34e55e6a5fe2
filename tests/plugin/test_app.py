from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.ledger import flags, publications
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.publications import Shown
from tests.ledger.read_model.conftest import show_in
from tests.plugin.conftest import Login
from tests.support.ledgers import mint, task

XSS = ["<script>document.title='x'</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{{7*7}}"]
#: What a task's process has loaded before it loads plugins, and what the plugin adds to that.
PROBE = """
import json, sys, time
import airflow.sdk, airflow.plugins_manager
before, start = set(sys.modules), time.perf_counter()
from pme_airflow.plugin import PMEPlugin
plugin = PMEPlugin()
plugin.external_views, plugin.name
milliseconds = (time.perf_counter() - start) * 1000
print(json.dumps({"milliseconds": milliseconds, "modules": sorted(set(sys.modules) - before)}))
"""


def test_a_task_that_loads_the_plugin_loads_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{found['milliseconds']:.1f} ms, {found['modules']}")
    assert set(found["modules"]) <= {"pme_airflow", "pme_airflow.plugin"}


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/slots", "/api/none", "/api/links/x", "/static/none.js"])
def test_every_response_forbids_what_the_page_does_not_need(login: Login, path: str) -> None:
    headers = login("viewer").get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


def test_the_page_has_no_inline_script_style_or_foreign_address(login: Login) -> None:
    client = login("viewer")
    page = client.get("/").text
    assert "<style" not in page
    assert "style=" not in page
    assert "onclick" not in page
    for name in ("main.js", "dom.js", "now.js", "leaks.js", "response.js", "airflow.js", "page.css"):
        response = client.get(f"/static/{name}")
        assert response.status_code == 200
        assert "://" not in response.text
        assert "innerHTML" not in response.text


@pytest.mark.parametrize("path", ["/static/..%2fapp.py", "/static/../app.py", "/static/__init__.py", "/static/%00"])
def test_no_other_file_is_served(login: Login, path: str) -> None:
    assert login("viewer").get(path).status_code == 404


@pytest.mark.parametrize("text", XSS)
def test_text_from_outside_comes_as_json(login: Login, ledger: Database, text: str) -> None:
    row = mint(ledger, model_id="<b>model</b>")
    with ledger.write(task(text)) as tx:
        publications.publish(tx, text, [Shown(text, row.link_id, {})], claimed=False)
        flags.flag(tx, text, link_ids=[row.link_id])
    for path in ("slots", "timeline", "leaks", "health", f"links/{row.link_id}"):
        response = login("viewer").get(f"/api/{path}")
        assert response.headers["content-type"] == "application/json"
        assert response.json()
    assert login("viewer").get("/api/slots").json()["slots"][0]["slot"] == text


def test_no_answer_contains_a_sealed_text_or_a_secret(login: Login, ledger: Database) -> None:
    row = show_in(ledger, "page 1")
    client = login("user")
    texts = [
        client.get(f"/api/{path}").text for path in ("slots", "timeline", "leaks", "health", f"links/{row.link_id}")
    ]
    texts.append(client.post("/api/fingerprint", json={"text": row.fingerprint}).text)
    assert all(row.link_id in text for text in (texts[0], texts[4], texts[5]))
    assert not [text for text in texts if "pme-sealed" in text or "a secret" in text]


@pytest.mark.parametrize(
    "body",
    [
        {"content": "{}"},
        {"content": '["k3f9aaaaaaaaaaaaaaaaaaaaa"]'},
        {"content": '{"text": 7, "x": "k3f9aaaa"}'},
        {"content": "{"},
    ],
)
def test_a_body_of_another_form_is_refused_and_not_repeated(login: Login, body: dict[str, Any]) -> None:
    response = login("user").post("/api/fingerprint", headers={"Content-Type": "application/json"}, **body)
    assert response.status_code == 422
    assert "k3f9" not in response.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_bodies_are_read(login: Login, kind: str) -> None:
    response = login("user").post("/api/fingerprint", content=b'{"text": "x"}', headers={"Content-Type": kind})
    assert response.status_code == 415
