"""Make the pictures of the docs: ``make screenshots``, in Chromium, of an Airflow that runs for it against an emulator."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import FrameLocator, Page

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.playground.home import ROOT, SECRET, all_published, environment
from pme_airflow.dev.playground.places import serving_places, serving_showroom
from pme_airflow.dev.playground.wordpress import Site
from tests.support.chromium import CHROMIUM, chromium
from tests.support.live import DrivenAirflow, sign_in

__all__ = ["PICTURES", "main"]

FOLDER = ROOT / "docs" / "images"
WIDTH = 1500


@dataclass(frozen=True)
class Stage:
    """What pictures are taken of: a running Airflow, its emulator, and the targets next to each other."""

    page: Page
    live: DrivenAirflow
    world: World
    showroom: str
    run_id: str

    def picture(self, name: str, height: int) -> None:
        """Take a picture of what the browser shows."""
        self.page.set_viewport_size({"width": WIDTH, "height": height})
        self.page.wait_for_timeout(1500)  # transitions and charts come to rest
        self.page.screenshot(path=str(FOLDER / name))

    def private_links(self) -> FrameLocator:
        """Open the page "Private links", as the menu does."""
        self.page.goto(self.live.address)
        self.page.get_by_role("button", name="Browse").click()
        self.page.get_by_role("menuitem", name="Private links").click()
        frame = self.page.frame_locator("iframe")
        frame.locator("tbody tr").first.wait_for(timeout=60_000)
        return frame


def nightly(stage: Stage) -> None:
    stage.page.goto(f"{stage.live.address}/dags/pme_nightly_rotation/runs/{stage.run_id}")
    stage.page.get_by_text("PMEMintLinksOperator").first.wait_for(timeout=60_000)
    stage.picture("nightly.png", 760)


def shown(stage: Stage) -> None:
    stage.page.set_viewport_size({"width": WIDTH, "height": 900})
    stage.page.goto(stage.showroom)
    site = stage.page.locator("iframe").nth(2)
    if site.count():
        site.content_frame.locator("iframe").first.content_frame.locator("#state").wait_for(timeout=90_000)
    stage.picture("shown.png", 900)


def connection(stage: Stage) -> None:
    """Take a picture of the connection's form, filled in; nothing is saved."""
    page = stage.page
    page.goto(f"{stage.live.address}/connections")
    page.get_by_role("button", name="Add Connection").click()
    page.locator("input[name=connection_id]").fill("pme_default")
    page.locator("[role=dialog] input[role=combobox]").first.click()
    page.keyboard.type("Matterport Private Model Embed")
    page.keyboard.press("Enter")
    for name, value in {"login": "your-client-id", "password": "a-secret-that-is-hidden", "port": "443"}.items():
        page.locator(f"input[name={name}]").fill(value)
    stage.picture("connection.png", 1000)


def private_links(stage: Stage) -> None:
    stage.private_links()
    stage.picture("private-links.png", 760)


def leak(stage: Stage) -> None:
    """Paste a link that leaked, and take a picture of what was found before it is revoked; then revoke it."""
    frame = stage.private_links()
    leaked = [issued for issued in stage.world.alive() if issued.model_id == "yyHDFKzPzvN"][-1]
    frame.get_by_role("link", name="Leaks").click()
    frame.locator("textarea").fill(
        f"On a forum: https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+{leaked.token}"
    )
    frame.get_by_role("button", name="Look up").click()
    frame.get_by_role("button", name="Flag and revoke 1").wait_for()
    stage.picture("leak-found.png", 700)
    frame.get_by_role("button", name="Flag and revoke 1").click()
    frame.get_by_role("button", name="Revoke now").click()
    frame.get_by_text("Revoked, and confirmed by the API").wait_for(timeout=120_000)


def leak_graph(stage: Stage) -> None:
    """Take a picture of the asset that the leak response has posted on, with what started from it."""
    (asset,) = stage.live.call("GET", "assets?uri_pattern=pme://revoked/intranet")["assets"]
    stage.page.goto(f"{stage.live.address}/assets/{asset['id']}")
    stage.page.get_by_text("Asset Event").first.wait_for(timeout=60_000)
    stage.page.get_by_text("pme_nightly_rotation").first.wait_for(timeout=60_000)
    stage.picture("leak-graph.png", 900)


#: A theme for a WordPress that was installed without one, and would show nothing.
THEME = """<!doctype html><html><head><meta charset="utf-8"><title>Spaces</title><?php wp_head(); ?><style>
body { font: 1.1rem/1.5 system-ui, sans-serif; margin: 2rem } iframe { width: 100%; height: 28rem; border: 0 }
</style></head><body><?php while (have_posts()) { the_post(); the_title('<h1>', '</h1>'); the_content(); } ?>
<?php wp_footer(); ?></body></html>
"""


def ensure_theme(site: Site) -> None:
    """Give a site a theme if it has none."""
    themes = site.root / "wp-content" / "themes"
    if any(themes.glob("*/style.css")):
        return
    (themes / "plain").mkdir(parents=True, exist_ok=True)
    (themes / "plain" / "style.css").write_text("/*\nTheme Name: Plain\n*/\n")
    (themes / "plain" / "index.php").write_text(THEME)
    site.run_php(f"<?php require '{site.root}/wp-load.php'; switch_theme('plain');")


#: The pictures in the order in which they are taken, each with what takes it.
PICTURES: Mapping[str, Callable[[Stage], None]] = {
    "nightly.png": nightly,
    "shown.png": shown,
    "connection.png": connection,
    "private-links.png": private_links,
    "leak-found.png": leak,
    "leak-graph.png": leak_graph,
}


def main() -> int:
    """Take all pictures; return 1 if a program for that is missing."""
    if CHROMIUM is None:
        print("make screenshots needs Debian's chromium; the pictures are left as they are.")
        return 1
    models = sample_models(5)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pme-screenshots-"))) / "home"
        world = World(Settings("emulator-client", SECRET, models))
        address = stack.enter_context(serving(world))
        places = stack.enter_context(serving_places(models))
        if places.site is None:
            print(f"There is no WordPress in shown.png: {places.why}")
        else:
            ensure_theme(places.site)
        showroom = stack.enter_context(serving_showroom(home / "published", places))
        env = environment(home, address, all_published(home / "published", places.targets), **places.environment)
        live = stack.enter_context(DrivenAirflow(home, env))
        live.wait_until_parsed("pme_nightly_rotation", "pme_link_keeper", "pme_leak_response", "pme_revocation_sweep")
        run_id = live.trigger("pme_nightly_rotation")
        assert live.wait_for("pme_nightly_rotation", run_id, 300) == "success"
        browser = stack.enter_context(chromium())
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, locale="en-GB", timezone_id="UTC")
        page.set_default_timeout(60_000)
        sign_in(page, live)
        stage = Stage(page, live, world, showroom, run_id)
        for name, take in PICTURES.items():
            take(stage)
            print(f"docs/images/{name}", flush=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
