// Airflow around this page: its theme, and links that open in it rather than inside the frame.
import { el } from "./dom.js";

const root = new URL("../", document.baseURI);
const inFrame = window.parent !== window;

export function followTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let chosen = null;
    try { chosen = localStorage.getItem("theme"); } catch { /* storage is blocked: the system's theme */ }
    const isDark = chosen === "dark" || (chosen !== "light" && dark.matches);
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
  };
  window.addEventListener("storage", apply);
  dark.addEventListener("change", apply);
  apply();
}

function open(event, address) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || !inFrame) return;
  event.preventDefault();
  window.parent.history.pushState({}, "", address);
  window.parent.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}

export function airflowLink(path, text) {
  const address = new URL(path, root);
  return el("a", { href: address.href, "data-key": `airflow-${path}`, onclick: (event) => open(event, address.href) }, text);
}

export function runLink(run) {
  const [dag, runId, task] = run.split("/");
  if (!task || dag === "cli") return run;
  return airflowLink(`dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(runId)}`, `${dag}, ${task}`);
}
