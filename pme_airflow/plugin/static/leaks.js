// Leaks: what is flagged and what became of it; and a box to look leaked tokens up, flag and revoke them.
import { airflowLink } from "./airflow.js";
import { read } from "./api.js";
import { badge, el, length, replace, table, time } from "./dom.js";
import { response } from "./response.js";

export function leaks(page) {
  const [above, box, lists] = [el("div", { class: "cards" }), el("div"), el("div")];
  const root = el("section", { "aria-label": "Leaks" }, above, box, lists);
  let answering = null;

  const card = (word, value) => el("div", { class: "card" }, el("strong", {}, value), el("span", {}, word));

  const linkCell = (row) => el("a", { href: `?link=${encodeURIComponent(row.link_id)}`, "data-key": `leak-${row.link_id}`,
    onclick: (event) => { event.preventDefault(); page.go({ link: row.link_id }); } }, row.link_id);

  const columns = [
    { name: "Link", cell: linkCell },
    { name: "Model", cell: (row) => row.models.join(", ") },
    { name: "Audience", cell: (row) => row.audience },
    { name: "State", cell: (row) => [badge(row.state), row.irrevocable ? badge("irrevocable") : null] },
    { name: "Flagged", cell: (row) => time(row.flagged_at) },
    { name: "Exposure", cell: (row) => (row.exposure_seconds === null ? "–" : length(row.exposure_seconds)) },
    { name: "Ends", cell: (row) => time(row.valid_until) },
    { name: "Reason", cell: (row) => row.flag_reason ?? "" },
  ];

  const part = (word, found, made, empty) => [
    el("h2", {}, `${word} (${found.total})`), table(made, found.rows, empty),
    found.rows.length < found.total ? el("p", { class: "note" }, `The first ${found.rows.length} of ${found.total}.`) : null,
  ];

  function draw(answer) {
    if (!answering && page.me.may_act) {
      answering = response(page);
      replace(box, answering.root);
    } else if (!page.me.may_act) {
      replace(box, el("p", { class: "note" }, "You may look at leaks. To flag and revoke links, ask for the right to trigger ",
        airflowLink("dags/pme_leak_response", "pme_leak_response"), "."));
    }
    const { exposure } = answer;
    const empty = (text) => (answer.problems.length ? "None in the ledgers that could be read." : text);
    replace(above, card("flagged and alive", answer.flagged.total), card("revoked in 30 days", exposure.revoked),
      card("exposure, median", length(exposure.median)), card("95th percentile", length(exposure.percentile_95)),
      card("worst", length(exposure.worst)), card("irrevocable", answer.irrevocable.total),
      card("unaccounted", answer.unaccounted.total), card("tombstones", answer.tombstones.total));
    const short = columns.filter((column) => !["Flagged", "Exposure", "Reason"].includes(column.name));
    replace(lists,
      part("Flagged and alive", answer.flagged, columns, empty("No flagged link is alive.")),
      part("Irrevocable", answer.irrevocable, columns, empty("No link is irrevocable.")),
      part("Revoked", answer.revoked, columns, empty("No leaked link was revoked in the last 30 days.")),
      part("Unaccounted", answer.unaccounted, short, empty("No token is unaccounted for.")),
      part("Tombstones", answer.tombstones, [
        { name: "Fingerprint", cell: (row) => el("code", {}, row.fingerprint) },
        { name: "Flagged", cell: (row) => time(row.flagged_at) },
        { name: "Met a link", cell: (row) => time(row.hit_at) },
        { name: "Reason", cell: (row) => row.reason },
      ], empty("No flag waits for a token that is not known.")));
  }

  return { root, load: () => read("leaks"), draw };
}
