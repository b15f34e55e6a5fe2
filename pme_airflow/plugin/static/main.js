// The page: which view is shown, and when it is read anew.
import { followTheme } from "./airflow.js";
import { read } from "./api.js";
import { el, replace } from "./dom.js";
import { now } from "./now.js";
import { timeline } from "./timeline.js";
import { leaks } from "./leaks.js";
import { health } from "./health.js";
import { link } from "./link.js";

const VIEWS = { now: ["Now", now], timeline: ["Timeline", timeline], leaks: ["Leaks", leaks], health: ["Health", health] };
const REFRESH_SECONDS = 10;
const view = document.getElementById("view");
const page = { query: new URLSearchParams(location.search), me: { may_act: false, conn_ids: [] }, go, show, refresh };
let shown = null;
let turn = 0;
let drawn = 0;
const pending = new Set();
let announced = "";

// Shows another address of this page: parameters that are null are removed.
function go(changes, { push = true } = {}) {
  for (const [name, value] of Object.entries(changes)) {
    page.query.delete(name);
    for (const each of [value].flat()) if (each !== null && each !== "") page.query.append(name, each);
  }
  const text = page.query.toString();
  history[push ? "pushState" : "replaceState"]({}, "", text ? `?${text}` : location.pathname);
  return show();
}

function current() {
  if (page.query.get("link")) return link;
  return (VIEWS[page.query.get("view")] ?? VIEWS.now)[1];
}

function drawTabs() {
  const name = page.query.get("link") ? null : page.query.get("view") ?? "now";
  replace(document.getElementById("tabs"), Object.entries(VIEWS).map(([key, [word]]) => el("a", {
    href: `?view=${key}`, "data-key": `tab-${key}`, "aria-current": key === name ? "page" : null,
    onclick: (event) => {
      event.preventDefault();
      page.query = new URLSearchParams();
      go({ view: key });
    },
  }, word)));
}

async function show() {
  const next = current();
  drawTabs();
  if (shown?.make !== next) {
    shown = { make: next, parts: next(page) };
    replace(view, shown.parts.root);
  }
  await refresh();
}

// Reads and draws the view. An answer is dropped if another view or query is shown by then, or a later answer is.
async function refresh() {
  const asked = { parts: shown.parts, query: page.query.toString(), turn: ++turn };
  pending.add(asked);
  const isDue = () => isShown(asked) && asked.turn > drawn;
  try {
    if (!page.me.conn_ids.length) page.me = await read("me");
    const answer = await asked.parts.load();
    if (!isDue()) return;
    drawn = asked.turn;
    asked.parts.draw(answer);
    problems(answer?.problems ?? []);
    replace(document.getElementById("fresh"), document.createTextNode(`As of ${new Date().toLocaleTimeString()}`));
  } catch (error) {
    if (isDue()) problems([{ message: error.message }]);
  } finally {
    pending.delete(asked);
  }
}

const isShown = (asked) => asked.parts === shown?.parts && asked.query === page.query.toString();

// A screen reader announces what changes here, so the same problem is not drawn again.
function problems(found) {
  const words = found.map((problem) => problem.message).join("\n");
  if (words === announced) return;
  announced = words;
  replace(document.getElementById("problems"), found.map((problem) => el("p", {}, problem.message)));
}

// Reads anew only while somebody looks, not while text is selected, which would be lost, and not while an answer is due.
function refreshByItself() {
  if (document.visibilityState !== "visible" || !document.getSelection().isCollapsed || !shown) return;
  if (![...pending].some(isShown)) refresh();
}

followTheme();
window.addEventListener("popstate", () => {
  page.query = new URLSearchParams(location.search);
  shown = null;
  show();
});
document.addEventListener("visibilitychange", refreshByItself);
setInterval(refreshByItself, REFRESH_SECONDS * 1000);
show();
