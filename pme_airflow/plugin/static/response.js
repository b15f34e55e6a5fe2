// Flag and revoke in two steps: look the paste up, confirm, and follow the run until the API has confirmed.
import { airflowLink } from "./airflow.js";
import { fingerprint, responseDag, startResponse } from "./api.js";
import { badge, count, el, replace, table, time } from "./dom.js";
import { follow } from "./follow.js";
import { isAlive, namesOf, notSearched } from "./outcome.js";

const MOST_BYTES = 1024 * 1024;
const MANY = 20;

export function response(page) {
  const [steps, progress] = [el("div", { "aria-live": "polite" }), el("div")];
  const area = el("textarea", { rows: 4, "aria-label": "Tokens, links, fingerprints or a scanner's report",
    placeholder: "Paste leaked tokens, links, fingerprints or a scanner's report", autocomplete: "off", spellcheck: "false",
    autocapitalize: "off" });
  const look = el("button", { type: "button", class: "main", onclick: lookUp }, "Look up");
  const root = el("div", { class: "answer" }, el("h2", {}, "Answer a leak"), area,
    el("p", {}, look, el("span", { class: "note" }, " Nothing is revoked yet. Tokens are fingerprinted and forgotten.")), steps, progress);
  let stopFollowing = () => {};

  const say = (text, kind = "bad") => replace(steps, el("p", {}, badge(kind, kind === "bad" ? "not done" : kind), ` ${text}`));

  async function lookUp() {
    stopFollowing();
    replace(progress);
    const text = area.value;
    if (!text.trim()) return say("Paste something first.");
    if (new Blob([text]).size > MOST_BYTES) {
      return say("The text is over 1 MB. Put the file into the folder that PME_REPORTS names, or run `pme-airflow ledger flag --findings FILE --sweep`.");
    }
    look.disabled = true;
    try {
      const found = await fingerprint(text, "Press Look up again.");
      if (!found.problems.length) area.value = "";
      choose(found);
    } catch (error) {
      say(error.message);
    } finally {
      look.disabled = false;
    }
  }

  function choose(found) {
    const alive = found.links.filter(isAlive);
    const over = found.links.filter((link) => !isAlive(link));
    const boxes = new Map([...alive.map((link) => link.fingerprint), ...found.unknown].map(
      (each) => [each, el("input", { type: "checkbox", checked: !found.unknown.includes(each), "aria-label": `Flag ${each}`, onchange: update })]));
    const reason = el("input", { type: "text", maxlength: 300, "aria-label": "Reason", placeholder: "Reason, for the audit" });
    const go = el("button", { type: "button", class: "danger" });
    go.addEventListener("click", () => confirm(chosen(), alive, reason.value.trim()));

    function chosen() { return [...boxes].filter(([, box]) => box.checked).map(([each]) => each); }
    function update() {
      const number = chosen().length;
      go.textContent = `Flag and revoke ${number} …`;
      go.disabled = !number;
    }
    update();
    replace(steps,
      notSearched(found.problems),
      found.problems.length ? el("p", { class: "note" }, "What you pasted is still in the box, since not all was searched: press Look up again, or empty it.") : null,
      found.notes.map((note) => el("p", { class: "note" }, note)),
      found.total > found.links.length ? el("p", {}, badge("bad"), ` Only the first ${found.links.length} of ${found.total} links are listed.`) : null,
      alive.length ? el("h3", {}, `Links of yours that may be alive: ${alive.length}`) : el("p", {}, found.problems.length ? "No link that may be alive was found in the ledgers that were searched."
          : "No link of yours that may be alive is in it."),
      alive.length ? table([
        { name: "Flag", cell: (row) => boxes.get(row.fingerprint) },
        { name: "Model", cell: (row) => [namesOf(row), row.model_name ? el("small", {}, row.models.join(", ")) : null] },
        { name: "Audience", cell: (row) => row.audience },
        { name: "Shown in", cell: (row) => count(row.slots, "slot") },
        { name: "State", cell: (row) => [badge(row.state), row.flagged_at ? badge("flagged") : null] },
        { name: "Ends", cell: (row) => time(row.valid_until) },
      ], alive, "") : null,
      over.length ? el("p", { class: "note" }, `Over already: ${over.map((link) => `${link.link_id} (${link.state})`).join(", ")}.`) : null,
      found.unknown.length ? el("details", {}, el("summary", {}, `${count(found.unknown.length, "token")} that the ledger does not know`),
        el("p", { class: "note" }, "They may be somebody else's. Flag one only if you know that it is a token of yours: it is kept as a tombstone."),
        el("ul", {}, found.unknown.map((each) => el("li", {}, el("label", {}, boxes.get(each), " ", el("code", {}, each)))))) : null,
      boxes.size ? el("p", { class: "tools" }, reason, go) : null);
  }

  function confirm(fingerprints, alive, reason) {
    const links = alive.filter((link) => fingerprints.includes(link.fingerprint));
    const slots = links.reduce((sum, link) => sum + link.slots, 0);
    const sure = el("input", { type: "checkbox", onchange: () => { revoke.disabled = !sure.checked; } });
    const said = el("div");
    const revoke = el("button", { type: "button", class: "danger", disabled: links.length > MANY,
      onclick: () => start(fingerprints, links.length, reason, revoke, said) }, "Revoke now");
    replace(steps, el("h3", {}, "Revoke now?"),
      el("p", {}, `${count(links.length, "link")} will not open any more. ${count(slots, "slot")} will be dark until the keeper shows new links.`),
      links.length > MANY ? el("label", {}, sure, ` Yes, all ${links.length} links.`) : null,
      el("p", { class: "tools" }, revoke, el("button", { type: "button", onclick: () => replace(steps) }, "Cancel")), said);
    revoke.focus();
  }

  // The step stays until the run is known to have started, so that the answer to a leak needs no second paste.
  async function start(fingerprints, confirmed, reason, button, said) {
    button.disabled = true;
    replace(said);
    let isSent = false;
    try {
      const dag = await responseDag("Press Revoke now again.");
      if (dag.is_paused) {
        replace(said, el("p", {}, badge("bad", "not done"), " The DAG pme_leak_response is paused, so nothing would run. Unpause it: ",
          airflowLink("dags/pme_leak_response", "pme_leak_response"), ". Then press Revoke now again."));
        return;
      }
      isSent = true;
      const run = await startResponse({ tokens: fingerprints, confirm_over: confirmed,
        reason: reason || "flagged on the page Private links" });
      stopFollowing = follow(page, steps, progress, run.dag_run_id, fingerprints);
    } catch (error) {
      replace(said, isSent && error.isLost
        ? el("p", {}, badge("bad", "not known"), " Airflow's answer was lost, and the run may have started. Look at the runs of ",
          airflowLink("dags/pme_leak_response/runs", "pme_leak_response"), " before you try again.")
        : el("p", {}, badge("bad", "not done"), ` ${error.message}`));
    } finally {
      button.disabled = false;
      if (button.isConnected) button.focus();
    }
  }

  return { root };
}
