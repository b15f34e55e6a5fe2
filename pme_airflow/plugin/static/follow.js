// Follows a run of the leak response until it has ended and every ledger has answered what became of the tokens.
import { airflowLink } from "./airflow.js";
import { fingerprint, responseRun } from "./api.js";
import { badge, el, length, replace, replaceIfChanged, table } from "./dom.js";
import { namesOf, notSearched, outcomeOf, titleOf } from "./outcome.js";

const MOST_NAMED = 20;

function tokensOf(words, fingerprints) {
  const more = fingerprints.length - MOST_NAMED;
  return el("p", {}, words, fingerprints.slice(0, MOST_NAMED).map((each) => el("code", {}, ` ${each}`)), more > 0 ? ` and ${more} more` : null);
}

// `news` is announced to screen readers when it changes; what counts seconds is drawn into `progress`. Returns how to stop.
export function follow(page, news, progress, runId, fingerprints) {
  const begun = Date.now();
  const clock = el("span");
  const list = el("div");
  const runLink = airflowLink(`dags/pme_leak_response/runs/${encodeURIComponent(runId)}`, "starting");
  let [outcome, doneAfter, hasEnded, reading] = [null, null, false, false];
  let timer = null;

  function stop() {
    clearInterval(timer);
    timer = null;
  }

  async function look() {
    if (!news.isConnected) return stop();
    if (reading || document.hidden) return undefined;
    reading = true;
    try {
      const [run, found] = await Promise.all([responseRun(runId), fingerprint(fingerprints.join("\n"))]);
      if (timer !== null) note(run, found);
    } catch (error) {
      if (timer !== null) draw(error.message);
    } finally {
      reading = false;
    }
    return undefined;
  }

  function note(run, found) {
    outcome = outcomeOf(run, found, fingerprints);
    const isNew = (outcome.done && doneAfter === null) || (outcome.ended && !hasEnded);
    if (outcome.done && doneAfter === null) doneAfter = Date.now() - begun;
    hasEnded = outcome.ended;
    runLink.textContent = run.state;
    draw(null);
    if (outcome.ended && !outcome.problems.length) stop();
    if (isNew && news.isConnected) page.refresh();
  }

  function draw(problem) {
    replaceIfChanged(news,
      el("h3", {}, outcome ? titleOf(outcome) : "Revoking …"),
      el("p", {}, `${outcome?.revoked.length ?? 0} of ${fingerprints.length} confirmed.`),
      problem ? el("p", {}, problem) : null,
      notSearched(outcome?.problems ?? []),
      outcome?.unknown.length ? tokensOf("Of no known link:", outcome.unknown) : null,
      outcome?.unlisted.length ? tokensOf("NOT listed, so that nothing is known of them here:", outcome.unlisted) : null,
      outcome?.failed ? el("p", {}, "Open the run to see why it failed, and which links are alive. The next sweep tries them again.") : null);
    clock.textContent = length((doneAfter ?? Date.now() - begun) / 1000);
    replace(list, table([
      { name: "Link", cell: (row) => row.link_id },
      { name: "Model", cell: namesOf },
      { name: "State", cell: (row) => badge(row.state) },
      { name: "Exposure", cell: (row) => (row.exposure_seconds === null ? "not flagged yet" : length(row.exposure_seconds)) },
    ], outcome?.links ?? [], outcome ? "No link is known of these tokens." : "The run is starting."));
  }

  replace(progress, el("p", {}, clock, " since the start. Run: ", runLink, "."), list);
  draw(null);
  timer = setInterval(look, 1000);
  look();
  return stop;
}
