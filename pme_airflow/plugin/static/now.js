// Now: a row a slot.
import { read } from "./api.js";
import { el, replace, table } from "./dom.js";
import { bar, counts, filters, model, pager, search, state } from "./slots.js";

const KEYS = ["search", "state", "audience", "target", "model", "overdue", "at_risk", "order", "page"];

export function now(page) {
  const [above, chosen, list] = [el("div", { class: "counts" }), el("div"), el("div")];
  const root = el("section", { "aria-label": "Now" }, above, el("div", { class: "tools" }, search(page)), chosen, list);

  const query = () => new URLSearchParams([...page.query].filter(([name]) => KEYS.includes(name)));

  const heading = (name, word) => {
    const order = page.query.get("order") ?? "state";
    const next = order === name ? `-${name}` : name;
    const arrow = order === name ? " ▲" : order === `-${name}` ? " ▼" : "";
    return el("button", { type: "button", class: "heading", "data-key": `order-${name}`,
      onclick: () => page.go({ order: next, page: null }) }, word + arrow);
  };

  const choice = (key, row) => el("button", { type: "button", class: "cell", title: `Only this ${key}`,
    "data-key": `${key}-${row.slot_key}`, onclick: () => page.go({ [key]: row[key], page: null }) }, row[key]);

  function draw(answer) {
    replace(above, counts(page, answer));
    replace(chosen, filters(page, ["state", "audience", "target", "model", "overdue", "at_risk"]));
    const columns = [
      { name: "State", head: heading("state", "State"), cell: state },
      { name: "Model", head: heading("model", "Model"), cell: (row) => model(page, row) },
      { name: "Audience", head: heading("audience", "Audience"), cell: (row) => choice("audience", row) },
      { name: "Target", head: heading("target", "Target"), cell: (row) => choice("target", row) },
      { name: "Place", head: heading("slot", "Place"), cell: (row) => row.slot },
      { name: "Life", head: heading("valid_until", "Life"), cell: (row) => bar(row, answer.now) },
    ];
    const empty = answer.counts.total ? "No slot matches." : "No slot shows a link yet.";
    replace(list, answer.problems.length && !answer.slots.length ? el("p", { class: "empty" }, "Nothing could be read.")
      : table(columns, answer.slots, empty), pager(page, answer, "slot"));
  }

  return { root, load: () => read("slots", query()), draw };
}
