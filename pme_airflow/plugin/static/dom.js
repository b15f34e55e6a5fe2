// Builds elements. Text is set as text alone, never as HTML.

export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name === "checked" || name === "disabled" || name === "value") made[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    made.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return made;
}

// What is focused and which details are open stays so, by the elements' keys; of equal keys, by their order.
export function replace(parent, ...children) {
  const active = parent.contains(document.activeElement) ? document.activeElement : null;
  const alike = (key) => [...parent.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)];
  const key = active?.dataset.key;
  const place = key ? alike(key).indexOf(active) : -1;
  const open = [...parent.querySelectorAll("details[open][data-key]")].map((details) => details.dataset.key);
  parent.replaceChildren(...nodesOf(children));
  for (const each of open) for (const details of alike(each)) details.open = true;
  if (place >= 0) alike(key)[place]?.focus({ preventScroll: true });
}

// For what is announced when it changes.
export function replaceIfChanged(parent, ...children) {
  const nodes = nodesOf(children);
  if (nodes.map((node) => node.textContent).join("\n") !== [...parent.childNodes].map((node) => node.textContent).join("\n")) {
    replace(parent, nodes);
  }
}

const nodesOf = (children) => children.flat().filter((child) => child instanceof Node);

export function table(columns, rows, empty) {
  if (!rows.length) return el("p", { class: "empty" }, empty);
  const head = el("tr", {}, columns.map((column) => el("th", { scope: "col" }, column.head ?? column.name)));
  const body = rows.map((row) => el("tr", {}, columns.map(
    (column) => el("td", { "data-label": column.name }, column.cell(row)))));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, head), el("tbody", {}, body)));
}

const dates = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

export function time(text) {
  if (!text) return "–";
  return el("time", { datetime: text, title: text }, dates.format(new Date(text)));
}

export function length(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds > 0 && seconds < 0.1) return "under 0.1 s";
  if (seconds > 0 && seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.max(0, Math.round(seconds));
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

export function relative(text, now) {
  if (!text) return "–";
  const seconds = (new Date(text) - new Date(now)) / 1000;
  return seconds >= 0 ? `in ${length(seconds)}` : `${length(-seconds)} ago`;
}

export function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

export function badge(state, word = state) {
  return el("span", { class: `badge ${state}` }, word);
}
