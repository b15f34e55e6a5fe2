// Timeline: what slots showed, link after link, with gaps, outages, runs and planned renewals.
import { read } from "./api.js";
import { badge, count, el, length, replace, time } from "./dom.js";
import { filters, model, pager, search } from "./slots.js";

const KEYS = ["search", "state", "audience", "target", "model", "page", "length"];
const LENGTHS = { "6h": "6 hours", "48h": "48 hours", "7d": "7 days" };

export function timeline(page) {
  const [chosen, list] = [el("div"), el("div")];
  const spans = el("select", { "aria-label": "How far back", onchange: () => page.go({ length: spans.value, page: null }) },
    Object.entries(LENGTHS).map(([value, word]) => el("option", { value }, word)));
  spans.value = page.query.get("length") ?? "48h";
  const legend = el("p", { class: "legend" },
    badge("live", "a link"), badge("dark", "gap"), badge("outage", "failures"), badge("run", "run"), badge("due", "planned renewal"));
  const root = el("section", { "aria-label": "Timeline" },
    el("div", { class: "tools" }, search(page), spans), legend, chosen, list);

  const query = () => new URLSearchParams([...page.query].filter(([name]) => KEYS.includes(name)));

  function draw(answer) {
    replace(chosen, filters(page, ["state", "audience", "target", "model"]));
    if (!answer.slots.length) {
      return replace(list, el("p", { class: "empty" }, answer.problems.length ? "Nothing could be read." : "No slot matches."));
    }
    const [start, end] = [new Date(answer.start), new Date(answer.end)];
    const place = (made, from, to) => {
      const part = (at) => Math.min(1, Math.max(0, (new Date(at) - start) / (end - start)));
      made.style.left = `${(part(from) * 100).toFixed(3)}%`;
      if (to) made.style.width = `${(Math.max(0.001, part(to) - part(from)) * 100).toFixed(3)}%`;
      return made;
    };
    const rows = answer.slots.map((row) => {
      const dark = row.gaps.reduce((sum, gap) => sum + (new Date(gap.end) - new Date(gap.start)) / 1000, 0);
      const words = `${count(row.links.length, "link")}, ${count(row.gaps.length, "gap")}${dark ? `, dark for ${length(dark)}` : ""}`;
      const track = el("div", { class: "track", role: "img", "aria-label": words },
        row.links.map((shown, number) => place(el("span", {
          class: `span ${number % 2 ? "odd" : "even"} ${shown.flagged ? "flagged" : ""}`,
          title: `${shown.link_id}\n${shown.start} to ${shown.end}\n${shown.run}` }), shown.start, shown.end)),
        row.gaps.map((gap) => place(el("span", { class: "gap", title: `dark ${gap.start} to ${gap.end}` }), gap.start, gap.end)),
        row.links.filter((shown) => shown.planned_renewal && shown.planned_renewal >= answer.start && shown.planned_renewal <= answer.end)
          .map((shown) => place(el("span", { class: "planned", title: `renewal planned ${shown.planned_renewal}` }), shown.planned_renewal)));
      return el("div", { class: "row" },
        el("div", { class: "who" }, model(page, row), el("small", {}, `${row.target}, ${row.slot}`), el("small", {}, words)), track);
    });
    const axis = el("div", { class: "track axis", role: "img",
      "aria-label": `${answer.outages.length} times of failures, ${answer.runs.length} runs` },
    answer.outages.map((outage) => place(el("span", { class: "outage",
      title: `${outage.failures} failures ${outage.start} to ${outage.end}: ${outage.reason}` }), outage.start, outage.end)),
    answer.runs.map((run) => place(el("span", { class: "tick", title: `${run.run} ${run.start}` }), run.start)));
    replace(list,
      el("div", { class: "row" }, el("div", { class: "who" }, "Runs and failures",
        el("small", {}, time(answer.start), " to ", time(answer.end))), axis),
      rows, pager(page, answer, "slot"), failures(answer));
  }

  const failures = (answer) => answer.outages.length ? el("details", { "data-key": "failures" },
    el("summary", { "data-key": "failures-summary" }, "Failures in words"),
    el("ul", {}, answer.outages.map((outage) => el("li", {}, time(outage.start), " to ", time(outage.end),
      `: ${outage.failures} failures; the last: ${outage.reason}`)))) : null;

  return { root, load: () => read("timeline", query()), draw };
}
