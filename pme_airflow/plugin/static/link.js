// One link: what it is, where it is shown, and what happened to it.
import { runLink } from "./airflow.js";
import { read } from "./api.js";
import { badge, el, length, replace, table, time } from "./dom.js";

const TIMES = { requested_at: "Requested", minted_at: "Minted", renews_at: "Renews", valid_until: "Ends",
  flagged_at: "Flagged", retire_at: "To be revoked", revoked_at: "Revoked" };

export function link(page) {
  const body = el("div");
  const root = el("section", { "aria-label": "One link" },
    el("p", {}, el("button", { type: "button", "data-key": "back", onclick: () => history.back() }, "← Back")), body);

  function draw(answer) {
    const facts = [
      ["State", badge(answer.state)], [answer.models.length > 1 ? "Models" : "Model", answer.models.join(", ")], ["Audience", answer.audience],
      ["Fingerprint", el("code", {}, answer.fingerprint ?? "–")],
      ...Object.entries(TIMES).filter(([name]) => answer[name]).map(([name, word]) => [word, time(answer[name])]),
      ["Why flagged", answer.flag_reason], ["Exposure", answer.exposure_seconds === null ? null : length(answer.exposure_seconds)],
      ["Attempts to revoke", answer.revoke_attempts || null], ["Irrevocable", answer.irrevocable ? "yes" : null],
      ["Requested by", runLink(answer.run)],
    ].filter(([, value]) => value);
    replace(body, el("h2", {}, answer.link_id), el("dl", {}, facts.map(([word, value]) => [el("dt", {}, word), el("dd", {}, value)]).flat()),
      el("h3", {}, "Shown at"), table([
        { name: "Target", cell: (row) => row.target }, { name: "Place", cell: (row) => row.slot },
        { name: "Since", cell: (row) => time(row.published_at) }], answer.slots, "No slot shows it."),
      el("h3", {}, "What happened"), table([
        { name: "Time", cell: (row) => time(row.at) }, { name: "Event", cell: (row) => row.event },
        { name: "Run", cell: (row) => runLink(row.run) }, { name: "Reason", cell: (row) => row.reason }],
      answer.events, "No events."));
  }

  return { root, load: () => read(`links/${encodeURIComponent(page.query.get("link"))}`), draw };
}
