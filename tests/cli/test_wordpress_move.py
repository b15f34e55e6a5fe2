"""`pme-airflow wordpress-move`: pages with links become pages with a block, and each space is live at every moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.wordpress import Site, missing, serving_wordpress
from pme_airflow.operators.pme import PMEMintLinksOperator
from pme_airflow.transfers.pme_to_wordpress import PMEToWordPressOperator
from tests.cli.conftest import Run
from tests.conftest import MODELS
from tests.support.tasks import FakeTask

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
ONE, TWO = list(MODELS)[:2]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serving_wordpress() as running:
        running.set_up(revisions_plugin=True, pretty=False)
        yield running


def published(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str = "auto") -> dict[str, int]:
    """Pages with links, a revision with each of them, and the placements that name them."""
    fields = {"conn_type": "http", "host": site.address, "login": site.user, "password": site.password}
    monkeypatch.setenv("AIRFLOW_CONN_WP", json.dumps(fields))
    pages = {
        ONE: site.page(f"<p>a</p>[pme model={ONE}]<p>b</p>"),
        TWO: site.page("<!-- wp:paragraph --><p>c</p><!-- /wp:paragraph -->"),
    }
    task = FakeTask()
    items = PMEMintLinksOperator(task_id="mint", models=[ONE, TWO], audience="intranet").execute(task.context())
    PMEToWordPressOperator(task_id="publish", links=items, pages=pages, wordpress_conn_id="wp", audience="intranet", mode="content").execute(task.context())  # fmt: skip
    for page in pages.values():
        site.call("POST", f"pages/{page}", {"content": site.content(page) + "<p>edited</p>"})
    named = ", ".join(f"{model}: {page}" for model, page in pages.items())
    target = f"{{kind: wordpress, wordpress_conn_id: wp, mode: {mode}, pages: {{{named}}}}}"
    placements = tmp_path / "placements.yaml"
    placements.write_text(f"audience: intranet\nmodels: [{ONE}, {TWO}]\ntargets:\n  - {target}\n")
    monkeypatch.setenv("PME_PLACEMENTS", str(placements))
    return pages


def test_pages_are_moved_and_no_link_stays_behind(
    site: Site, run: Run, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = published(site, tmp_path, monkeypatch)
    tokens = [issued.token for issued in world.tokens.values()]
    held = "".join(site.content(page) + site.kept(page) for page in pages.values())
    assert all(token in held for token in tokens)
    refused = run("wordpress-move")
    assert refused.exit_code == 1
    assert "is not active on this site" in refused.output
    assert all(token in "".join(site.content(page) for page in pages.values()) for token in tokens)
    site.install_plugin()
    planned: list[dict[str, Any]] = json.loads(run("wordpress-move", "--dry-run", "--format", "json").stdout)
    assert [row["outcome"] for row in planned] == ["to be moved"] * 2
    done = run("wordpress-move", "--format", "json")
    assert done.exit_code == 0, done.output
    assert {row["slot"]: row["outcome"] for row in json.loads(done.stdout)} == {f"pages/{page}#{model}": "moved" for model, page in pages.items()}  # fmt: skip
    assert "Empty the sites' page caches" in done.stderr
    held = "".join(site.content(page) + site.kept(page) + site.seen(page) for page in pages.values())
    assert not any(token in held for token in tokens)
    assert site.content(pages[ONE]).startswith(f'<p>a</p>[pme model="{ONE}"')
    assert f'<!-- wp:pme/space {{"model":"{TWO}"' in site.content(pages[TWO])
    assert {issued.token for issued in world.alive()} == set(tokens)
    again = run("wordpress-move")
    assert again.exit_code == 0
    assert "No WordPress page has a link" in again.output


def test_a_target_that_is_to_have_links_in_pages_is_left_alone(
    site: Site, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = published(site, tmp_path, monkeypatch, mode="content")
    done = run("wordpress-move")
    assert done.exit_code == 0
    assert "mode: content is left as it is" in done.stderr
    assert "Bearer" in site.content(pages[TWO])
