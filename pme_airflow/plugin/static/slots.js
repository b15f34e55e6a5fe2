// What slots have in common wherever they are shown: filters in the address, cells, pages.
import { badge, count, el, relative, time } from "./dom.js";

export const STATES = ["dark", "unaccounted", "retiring", "due", "live"];

export function search(page) {
  let waiting;
  const field = el("input", {
    type: "search", value: page.query.get("search") ?? "", "aria-label": "Search model, audience, target or place",
    placeholder: "Search model, audience, target, place", maxlength: 200,
    oninput: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => page.go({ search: field.value, page: null }, { push: false }), 300);
    },
  });
  return field;
}

export function counts(page, answer) {
  const chosen = new Set(page.query.getAll("state"));
  const button = (state, number) => el("button", {
    type: "button", class: `count ${state}`, "data-key": `count-${state}`, "aria-pressed": String(chosen.has(state)),
    onclick: () => page.go({ state: chosen.has(state) ? null : state, page: null }),
  }, el("strong", {}, number ?? 0), ` ${state}`);
  return [
    ...STATES.map((state) => button(state, answer.counts[state])),
    el("span", { class: "note" }, `${count(answer.counts.total ?? 0, "slot")}, ${answer.counts.overdue ?? 0} overdue, `
      + `${answer.counts.at_risk ?? 0} at risk`),
  ];
}

export function model(page, row) {
  const to = () => page.go({ link: row.link_id });
  return [
    el("a", { href: `?link=${encodeURIComponent(row.link_id)}`, "data-key": `link-${row.slot_key ?? ""}${row.link_id}`,
      onclick: (event) => { event.preventDefault(); to(); } }, row.model_name || row.model_id),
    row.model_name ? el("small", {}, row.model_id) : null,
  ];
}

export function state(row) {
  const atRisk = row.at_risk && row.state !== "dark";
  return [badge(row.state), row.overdue ? badge("overdue") : null, atRisk ? badge("at-risk", "at risk") : null];
}

// A bar from the mint to the end, filled up to now, with a line where the renewal is due.
export function bar(row, now) {
  if (!row.minted_at || !row.valid_until) return "the ledger has no such link any more";
  const [start, end] = [new Date(row.minted_at), new Date(row.valid_until)];
  const part = (at) => `${Math.min(100, Math.max(0, ((at - start) / (end - start)) * 100)).toFixed(2)}%`;
  const filled = el("span", { class: "filled" });
  filled.style.width = row.state === "dark" ? "100%" : part(new Date(now));
  const renewal = el("span", { class: "renewal", title: "renewal is due" });
  if (row.renews_at) renewal.style.left = part(new Date(row.renews_at));
  const [words, more] = inWords(row, now);
  return el("span", { class: `life ${row.state}` },
    el("span", { class: "bar", role: "img", "aria-label": words }, filled, row.state === "dark" ? null : renewal),
    el("small", {}, words), el("small", {}, more));
}

function inWords(row, now) {
  if (row.link_state === "revoked") return [`revoked ${relative(row.revoked_at, now)}`, time(row.revoked_at)];
  if (row.state === "dark") return [`ended ${relative(row.valid_until, now)}`, time(row.valid_until)];
  return [`ends ${relative(row.valid_until, now)}`, ["renews at ", time(row.renews_at)]];
}

export function pager(page, answer, what) {
  const button = (word, to, off) => el("button", {
    type: "button", "data-key": `page-${word}`, disabled: off, onclick: () => page.go({ page: to }),
  }, word);
  return el("p", { class: "pager" }, `${count(answer.matching, what)}, page ${answer.page} of ${answer.pages} `,
    button("Previous", answer.page - 1, answer.page <= 1), button("Next", answer.page + 1, answer.page >= answer.pages));
}

export function filters(page, keys) {
  return el("p", { class: "filters" }, keys.filter((key) => page.query.get(key)).map((key) => el("button", {
    type: "button", "data-key": `filter-${key}`, onclick: () => page.go({ [key]: null, page: null }),
  }, `${key}: ${page.query.getAll(key).join(", ")} ✕`)));
}
