// Health: what is overdue, the DAGs, the placements and the keys.
import { airflowLink } from "./airflow.js";
import { read } from "./api.js";
import { badge, count, el, length, replace, table, time } from "./dom.js";

const LATE = { leaks: "Leaked links that are not revoked", retirements: "Replaced links that are not revoked",
  ends: "Links that have ended and are not closed", mints: "Mints without a recorded response" };

export function health(page) {
  const root = el("section", { "aria-label": "Health" });

  function problemsOf(answer) {
    const found = [];
    for (const connection of answer.connections) {
      const counts = connection.counts;
      if (counts.dark) found.push(["bad", `Dark: ${count(counts.dark, "slot")}.`, "The keeper heals them; see the DAGs below if it does not."]);
      if (counts.at_risk) {
        found.push(["bad", `At risk: ${count(counts.at_risk, "slot")} nearer to the end than the plan allows, or past it; `
          + `${count(counts.overdue, "renewal")} overdue.`,
          "Is pme_link_keeper paused or failing? Look at its last runs and those of pme_nightly_rotation."]);
      }
      for (const late of connection.overdue) {
        found.push(["bad", `${LATE[late.kind]}: ${late.count}, the oldest since ${new Date(late.since).toLocaleString()}.`,
          "Unpause pme_revocation_sweep, or run `pme-airflow sweep`."]);
      }
      if (connection.links_that_no_key_opens) {
        found.push(["bad", `Live links of ${connection.conn_id} that none of its keys opens: ${connection.links_that_no_key_opens}.`,
          "Add the earlier secret to seal_keys as open:SECRET."]);
      }
    }
    for (const dag of answer.dags.dags) if (dag.problem) found.push(["bad", dag.problem, dag.cure]);
    for (const text of [answer.dags.triggerer_problem, answer.dags.problem]) if (text) found.push(["doubtful", text, ""]);
    if (answer.placements_problem && !answer.placements_missing) found.push(["bad", answer.placements_problem, "Links are taken to be due at half of their life."]);
    for (const placement of answer.placements) {
      if (placement.leaves_gap) found.push(["doubtful", `${placement.audience}: ${placement.sentence}`, ""]);
    }
    return found;
  }

  function draw(answer) {
    const found = problemsOf(answer);
    const audiences = answer.connections.flatMap((connection) =>
      connection.audiences.map((audience) => ({ ...audience, conn_id: connection.conn_id })));
    const planOf = (row) => answer.placements.find((p) => p.audience === row.audience && p.conn_id === row.conn_id);
    replace(root,
      el("h2", {}, "To do"),
      found.length ? el("ul", { class: "todo" }, found.map(([kind, text, cure]) => el("li", {}, badge(kind), ` ${text} ${cure}`)))
        : el("p", {}, answer.problems.length ? "The ledger could not be read." : "Nothing is wrong."),
      el("h2", {}, "Audiences"),
      table([
        { name: "Audience", cell: (row) => row.audience },
        { name: "Slots", cell: (row) => row.counts.total },
        { name: "Dark", cell: (row) => row.counts.dark },
        { name: "At risk", cell: (row) => row.counts.at_risk },
        { name: "At risk from", cell: (row) => time(row.first_at_risk) },
        { name: "Budget left", cell: (row) => length(row.budget_seconds) },
        { name: "First end", cell: (row) => time(row.first_end) },
        { name: "Plan", cell: (row) => planOf(row)?.sentence ?? (answer.placements_problem ? "not readable here" : "not in placements.yaml") },
      ], audiences, "No slot shows a link yet."),
      el("p", { class: "note" }, "Budget left: how long nothing may be renewed before the first slot goes dark. At risk from: when "
        + "the first slot is nearer to its end than the plan allows, unless its link is renewed before."),
      answer.placements_missing ? el("p", { class: "note" }, `placements.yaml is not readable here, on the API server: ${answer.placements_problem} `
        + "This page takes links to be due at half of their life; the task watch_<conn_id> has the plans.") : null,
      el("h2", {}, "DAGs"),
      table([
        { name: "DAG", cell: (row) => airflowLink(`dags/${row.dag_id}`, row.dag_id) },
        { name: "State", cell: (row) => badge(row.problem ? "bad" : "good", row.problem ?? "good") },
        { name: "Last run", cell: (row) => row.last_run_id
          ? [airflowLink(`dags/${row.dag_id}/runs/${encodeURIComponent(row.last_run_id)}`, row.last_run), " ", time(row.last_run_at)] : "–" },
      ], answer.dags.dags, "The DAGs were not checked."));
  }

  return { root, load: () => read("health"), draw };
}
