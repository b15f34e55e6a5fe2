"""The page and the chart of the docs, written from reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests.support.simulation.outages import DAY
from tests.support.simulation.report import Report

__all__ = ["Run", "write_page"]

DOCS = Path(__file__).resolve().parents[3] / "docs"
_WIDTH, _LEFT, _SLOTS_HEIGHT = 1100, 90, 300
_AMBER, _GREEN, _RED, _BLUE = "#d29922", "#3fb950", "#cf222e", "#0969da"


@dataclass(frozen=True)
class Run:
    """One seed's simulation, and the names of its slots."""

    seed: int
    report: Report
    slots: Sequence[str]


def write_page(runs: Sequence[Run], beyond: Report, start: datetime, zone: str) -> None:
    """Write the page with all runs, and the chart of the first one.

    :param beyond: what came of outages longer than planned.
    """
    (DOCS / "images" / "simulation.svg").write_text(_chart(runs[0], start))
    (DOCS / "simulation.md").write_text(_page(runs, beyond, start, zone))


def _page(runs: Sequence[Run], beyond: Report, start: datetime, zone: str) -> str:
    first = runs[0].report
    longest = timedelta(seconds=first.longest)
    hours, minutes = divmod(int(longest.total_seconds()) // 60, 60)
    name = "year" if first.days == 365 else f"time of {first.days:.0f} days"
    changed = ", ".join(f"{start + timedelta(seconds=at):%Y-%m-%d}" for at in first.clock_changes)
    lines = [
        f"# A simulated {name}",
        "",
        "Whether a slot goes dark, or a token is lost from sight, in a long time in which much goes wrong. Written by",
        "`make simulate`, which runs the real ledger and the real work in virtual time.",
        "",
        f"- **{first.slots} slots** on three targets, {first.days:.0f} days from {start:%Y-%m-%d}, and the schedule of the",
        "  shipped DAGs alone: no triggerer starts a run.",
        f"- **Outages** one after the other, of the API, a target, Airflow or the database, up to {hours} h {minutes} min: what",
        "  `pme-airflow plan` says that the slots survive. The first one lasts as long as that. In a third of them the API",
        "  answers 503, in the others nobody can connect to it.",
        "- Workers are killed, 1 of 100 responses is lost, 1 of 100 revocations is not answered, and the machine's clock is",
        "  ten minutes fast or slow at times.",
    ]
    if changed:
        lines.append(f"- **Clocks change** in {zone}, the placement's time zone: {changed}.")
    if first.reset_at is not None:
        lines += [
            "- **The client secret is reset**, and people put the new one into the connection up to two hours later, as in",
            "  [Rotate the client secret](how-to/rotate-the-secret.md). Every second seed has `seal_keys`.",
            "- **The installation moves to another client.** When its links are shown everywhere, those of the former client",
            "  are flagged and revoked with the connection that minted them.",
        ]
    lines += [
        "",
        "![Slots by time: green is live, red is dark; above, what was away](images/simulation.svg)",
        "",
        "| seed | slots | outages | workers killed | dark slot-seconds | unknown live tokens | links that no key opens "
        "| links resealed | former client's links revoked, left alive | tokens alive at once for one model "
        "| mints per slot and day |",
        "| --- " * 11 + "|",
        *(_row(run) for run in runs),
        "",
        "A run for which nothing can be due, since the ledger did not change and no link came near its renewal since a run",
        "that wrote nothing, is left out of a long simulation. The tests run each of these, and check that it writes nothing.",
        "",
        f"With outages of up to 26 h instead, {beyond.slots} slots are dark for {beyond.dark_seconds:.0f} slot-seconds in "
        f"{beyond.days:.0f} days; {beyond.predicted:.0f} were to be expected from the lengths of the outages.",
        "",
    ]
    return "\n".join(lines)


def _row(run: Run) -> str:
    r = run.report
    former = "-" if r.former_revoked is None else f"{r.former_revoked}, {r.former_alive}"
    cells = (
        run.seed, r.slots, len(r.outages), r.killed, f"{r.dark_seconds:.0f}", r.unknown, r.unopened,
        "-" if r.resealed is None else r.resealed, former, r.most_alive, f"{r.mints_per_slot_and_day:.2f}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def _chart(run: Run, start: datetime) -> str:
    """Slots by time as an SVG: green is live, red is dark; above it, what was away, and what people changed."""
    report = run.report
    scale = (_WIDTH - _LEFT - 20) / (report.days * DAY)
    kinds = sorted({outage.what for outage in report.outages})
    top = 50 + 20 * len(kinds)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + _SLOTS_HEIGHT + 40}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{top + _SLOTS_HEIGHT + 40}" fill="#fff"/>',
    ]
    for index, kind in enumerate(kinds):
        y = 40 + index * 20
        out.append(f'<text x="8" y="{y + 10}">{kind}</text>')
        out += [
            _rect(_LEFT + o.begin * scale, y, max(0.8, (o.end - o.begin) * scale), 12, _AMBER)
            for o in report.outages
            if o.what == kind
        ]
    out.append(_rect(_LEFT, top, report.days * DAY * scale, _SLOTS_HEIGHT, _GREEN))
    height = _SLOTS_HEIGHT / len(run.slots)
    at = {slot: top + height * index for index, slot in enumerate(run.slots)}
    out += [
        _rect(_LEFT + begin * scale, at[slot], max(0.6, (end - begin) * scale), max(height, 0.6), _RED)
        for slot, begin, end in report.dark
    ]
    out.append(f'<text x="8" y="{top + 14}">{len(run.slots)} slots</text>')
    out += _axis(report, start, scale, top)
    return "\n".join([*out, "</svg>\n"])


def _axis(report: Report, start: datetime, scale: float, top: float) -> list[str]:
    """The time below the slots, and a line with words above them for each change."""
    bottom = top + _SLOTS_HEIGHT
    days = range(int(report.days) + 1)
    dates = [start + timedelta(days=day) for day in days]
    shown = [(day, f"{at:%b}") for day, at in zip(days, dates, strict=True) if at.day == 1]
    if report.days < 60:
        shown = [(day, str(day)) for day in days]
    out = [
        f'<text x="{_LEFT + day * DAY * scale:.1f}" y="{bottom + 18}" text-anchor="middle">{words}</text>'
        for day, words in shown
    ]
    changes = [*((at, "clocks change") for at in report.clock_changes),
               *((at, words) for at, words in ((report.reset_at, "secret reset"), (report.changed_at, "other client"))
                 if at is not None)]  # fmt: skip
    for index, (seconds, words) in enumerate(sorted(changes)):
        x = _LEFT + seconds * scale
        out.append(f'<line x1="{x:.1f}" y1="34" x2="{x:.1f}" y2="{bottom}" stroke="{_BLUE}" stroke-width="1"/>')
        out.append(f'<text x="{x:.1f}" y="{14 + 14 * (index % 2)}" text-anchor="middle" fill="{_BLUE}">{words}</text>')
    return out


def _rect(x: float, y: float, width: float, height: float, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.2f}" fill="{color}"/>'
