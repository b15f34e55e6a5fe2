"""A running Airflow whose runs are waited for."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from pme_airflow.dev.playground.home import PlaygroundError
from pme_airflow.dev.playground.live import USER, LiveAirflow

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["DrivenAirflow", "sign_in"]


class DrivenAirflow(LiveAirflow):
    """A running Airflow that is driven through its REST API."""

    def wait_for(self, dag_id: str, run_id: str, seconds: float = 120) -> str:
        """Wait until a run has ended; return its state.

        :raises PlaygroundError: if it has not ended in time, or a component of Airflow has ended.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.raise_if_ended()
            state = str(self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])
            if state in ("success", "failed"):
                return state
            time.sleep(0.5)
        raise PlaygroundError(f"{dag_id} {run_id} has not ended after {seconds} s.")

    def kill_part(self, component: str) -> None:
        """Kill a component of Airflow and its children as a loss of power would."""
        process = self._processes.pop(component)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def seconds(self, dag_id: str, most: float = 600) -> float:
        """Run a DAG, which must succeed; return how long the run took by Airflow's own clock.

        :raises PlaygroundError: if the run fails, or does not end in time.
        """
        run_id = self.trigger(dag_id)
        if self.wait_for(dag_id, run_id, most) != "success":
            raise PlaygroundError(f"{dag_id} {run_id} failed.")
        run = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")
        begun, ended = (datetime.fromisoformat(run[at].replace("Z", "+00:00")) for at in ("start_date", "end_date"))
        return (ended - begun).total_seconds()


def sign_in(page: Page, live: LiveAirflow, user: str = USER, password: str | None = None) -> None:
    """Sign in to a running Airflow in a browser, as its administrator by default."""
    page.goto(live.address)
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(live.password if password is None else password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{live.address}/")
