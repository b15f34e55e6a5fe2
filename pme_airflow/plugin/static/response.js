// Flag and revoke in two steps: look the paste up, confirm, and follow the run until the API has confirmed.
import { airflowLink } from "./airflow.js";
import { fingerprint, responseDag, responseRun, startResponse } from "./api.js";
import { badge, count, el, length, replace, table, time } from "./dom.js";
import { isAlive, outcomeOf, titleOf } from "./outcome.js";

const MOST_BYTES = 1024 * 1024;
const MANY = 20;
const MOST_NAMED = 20;
const notSearched = (problems) => problems.map((problem) => el("p", {}, badge("bad", "not searched"), ` ${problem.message}`));
const namesOf = (row) => row.model_name ?? row.models.join(", ");

function tokensOf(words, fingerprints) {
  const more = fingerprints.length - MOST_NAMED;
  return el("p", {}, words, fingerprints.slice(0, MOST_NAMED).map((each) => el("code", {}, ` ${each}`)), more > 0 ? ` and ${more} more` : null);
}

export function response(page) {
  const steps = el("div", { "aria-live": "polite" });
  const area = el("textarea", { rows: 4, "aria-label": "Tokens, links, fingerprints or a scanner's report",
    placeholder: "Paste leaked tokens, links, fingerprints or a scanner's report", autocomplete: "off", spellcheck: "false",
    autocapitalize: "off" });
  const look = el("button", { type: "button", class: "main", onclick: lookUp }, "Look up");
  const root = el("div", { class: "answer" }, el("h2", {}, "Answer a leak"), area,
    el("p", {}, look, el("span", { class: "note" }, " Nothing is revoked yet. Tokens are fingerprinted and forgotten.")), steps);
  let following = null;

  const say = (text, kind = "bad") => replace(steps, el("p", {}, badge(kind, kind === "bad" ? "not done" : kind), ` ${text}`));

  async function lookUp() {
    clearInterval(following);
    const text = area.value;
    if (!text.trim()) return say("Paste something first.");
    if (new Blob([text]).size > MOST_BYTES) {
      return say("The text is over 1 MB. Put the file into the folder that PME_REPORTS names, or run `pme-airflow ledger flag --findings FILE --sweep`.");
    }
    look.disabled = true;
    try {
      const found = await fingerprint(text);
      area.value = "";
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
    const revoke = el("button", { type: "button", class: "danger", disabled: links.length > MANY,
      onclick: () => start(fingerprints, links.length, reason, revoke) }, "Revoke now");
    replace(steps, el("h3", {}, "Revoke now?"),
      el("p", {}, `${count(links.length, "link")} will not open any more. ${count(slots, "slot")} will be dark until the keeper shows new links.`),
      links.length > MANY ? el("label", {}, sure, ` Yes, all ${links.length} links.`) : null,
      el("p", { class: "tools" }, revoke, el("button", { type: "button", onclick: () => replace(steps) }, "Cancel")));
    revoke.focus();
  }

  async function start(fingerprints, confirmed, reason, button) {
    button.disabled = true;
    try {
      const dag = await responseDag();
      if (dag.is_paused) {
        replace(steps, el("p", {}, badge("bad", "not done"), " The DAG pme_leak_response is paused, so nothing would run. Unpause it: ",
          airflowLink("dags/pme_leak_response", "pme_leak_response"), "."));
        return;
      }
      const run = await startResponse({ tokens: fingerprints, confirm_over: confirmed,
        reason: reason || "flagged on the page Private links" });
      follow(run.dag_run_id, fingerprints);
    } catch (error) {
      say(error.message);
    }
  }

  function follow(runId, fingerprints) {
    const begun = Date.now();
    let run = null;
    let outcome = null;
    let doneAfter = null;
    let reading = false;
    const look = async () => {
      if (reading) return;
      reading = true;
      try {
        const [now, found] = await Promise.all([responseRun(runId), fingerprint(fingerprints.join("\n"))]);
        run = now;
        outcome = outcomeOf(run, found, fingerprints);
        const news = (outcome.done && doneAfter === null) || outcome.ended;
        if (outcome.done && doneAfter === null) doneAfter = Date.now() - begun;
        if (outcome.ended && !outcome.problems.length) clearInterval(following);
        draw(null);
        if (news) page.refresh();
      } catch (error) {
        draw(error.message);
      } finally {
        reading = false;
      }
    };
    const draw = (problem) => {
      const revoked = outcome?.revoked.length ?? 0;
      replace(steps,
        el("h3", {}, outcome ? titleOf(outcome) : "Revoking …"),
        el("p", {}, `${revoked} of ${fingerprints.length} confirmed; ${length((doneAfter ?? Date.now() - begun) / 1000)} since the start. Run: `,
          airflowLink(`dags/pme_leak_response/runs/${encodeURIComponent(runId)}`, run?.state ?? "starting"), "."),
        problem ? el("p", {}, problem) : null,
        notSearched(outcome?.problems ?? []),
        table([
          { name: "Link", cell: (row) => row.link_id },
          { name: "Model", cell: namesOf },
          { name: "State", cell: (row) => badge(row.state) },
          { name: "Exposure", cell: (row) => (row.exposure_seconds === null ? "not flagged yet" : length(row.exposure_seconds)) },
        ], outcome?.links ?? [], outcome ? "No link is known of these tokens." : "The run is starting."),
        outcome?.unknown.length ? tokensOf("Of no known link:", outcome.unknown) : null,
        outcome?.unlisted.length ? tokensOf("NOT listed, so that nothing is known of them here:", outcome.unlisted) : null,
        outcome?.failed ? el("p", {}, "Open the run to see why it failed, and which links are alive. The next sweep tries them again.") : null);
    };
    draw(null);
    look();
    following = setInterval(look, 1000);
  }

  return { root };
}
