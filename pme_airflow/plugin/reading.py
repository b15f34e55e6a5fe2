"""The routes that read: slots, timeline, leaks, health and one link. They change nothing."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from pme_airflow.errors import PMEError
from pme_airflow.hooks.dag_health import DagHealth, dag_health
from pme_airflow.lifecycle import overview
from pme_airflow.plugin.merge import merged_leaks, merged_slots, sorted_rows
from pme_airflow.plugin.patience import Patience
from pme_airflow.plugin.queries import page_of, slot_filter, timeline_request
from pme_airflow.plugin.rights import LEAK_RESPONSE, MAY_LOOK, ActingDep
from pme_airflow.plugin.sources import Answers, Sources

__all__ = ["reading"]

reading = APIRouter(prefix="/api", dependencies=[MAY_LOOK])
_airflow = Patience("Airflow's database")


@reading.get("/slots")
async def slots(request: Request) -> dict[str, Any]:
    """Return a page of slots, their counts, and how many match the filter."""
    which, page, size = slot_filter(request.query_params), page_of(request.query_params), overview.PAGE_SIZE
    sources = _sources(request)
    alone = len(sources.conn_ids) == 1
    answers = await sources.ask(
        lambda view: (
            overview.slots(view, which, page, size) if alone else overview.slots(view, which, page_size=page * size)
        )
    )
    return {**merged_slots(answers.found, which, page, size), **_problems(answers)}


@reading.get("/timeline")
async def timeline(request: Request) -> dict[str, Any]:
    """Return what slots showed in the last hours, link after link, with gaps, outages and runs."""
    wanted = timeline_request(request.query_params)
    answers = await _sources(request).ask(lambda view: overview.timeline(view, wanted))
    found = answers.found
    rows = [{**row, "conn_id": answer["conn_id"]} for answer in found for row in answer["slots"]]
    return {
        "now": max((answer["now"] for answer in found), default=None),
        "start": min((answer["start"] for answer in found), default=None),
        "end": max((answer["end"] for answer in found), default=None),
        "matching": sum(answer["matching"] for answer in found),
        "page": wanted.page,
        "pages": max((answer["pages"] for answer in found), default=1),
        "slots": sorted_rows(rows, wanted.which),
        "outages": [outage for answer in found for outage in answer["outages"]],
        "runs": list({run["run"]: run for answer in found for run in answer["runs"]}.values()),
        **_problems(answers),
    }


@reading.get("/leaks")
async def leaks(request: Request) -> dict[str, Any]:
    """Return what has leaked, what became of it, and how long it was exposed."""
    answers = await _sources(request).ask(overview.leaks)
    return {**merged_leaks(answers.found), **_problems(answers)}


@reading.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Return what is dark, at risk and overdue, the state of DAGs, placements and keys."""
    sources = _sources(request)
    answers, dags, planned = await asyncio.gather(sources.ask(overview.health), _dags(), sources.placements())
    found = planned.found
    return {
        "ok": not answers.problems and all(overview.is_well(answer) for answer in answers.found),
        "connections": answers.found,
        "dags": overview.json_of(dags),
        "placements_problem": found.problem,
        "placements_missing": found.is_missing,
        "placements": [
            {
                "audience": outage.audience,
                "conn_id": placement.pme_conn_id,
                "survives_seconds": outage.survives.total_seconds(),
                "leaves_gap": outage.leaves_gap,
                "sentence": outage.in_words(),
            }
            for placement, outage in zip(found.placements, planned.plans, strict=True)
        ],
        **_problems(answers),
    }


async def _dags() -> DagHealth:
    try:
        return await _airflow.ask(dag_health)
    except PMEError as error:
        return DagHealth(problem=str(error))


@reading.get("/links/{link_id}")
async def link(request: Request, link_id: str) -> dict[str, Any]:
    """Return one link, where it is shown and what happened to it."""
    answers = await _sources(request).ask(lambda view: overview.link_story(view, link_id))
    story: dict[str, Any] | None = next((found for found in answers.found if found is not None), None)
    if story is not None:
        return story
    if answers.problems:
        raise HTTPException(503, answers.problems[0].message)
    raise HTTPException(404, "No connection of this page has such a link.")


@reading.get("/me")
async def me(request: Request, may_act: ActingDep) -> dict[str, Any]:
    """Return what the user may do, and with which connections."""
    return {"may_act": may_act, "conn_ids": _sources(request).conn_ids, "response_dag": LEAK_RESPONSE}


def _sources(request: Request) -> Sources:
    sources: Sources = request.app.state.sources
    return sources


def _problems(answers: Answers) -> dict[str, Any]:
    return {"problems": [asdict(problem) for problem in answers.problems]}
