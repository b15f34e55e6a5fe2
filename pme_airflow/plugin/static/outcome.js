// What became of the tokens that a leak response was started for. Nothing is called revoked that was not confirmed.
import { badge, count, el } from "./dom.js";

const ALIVE = ["live", "minting", "unaccounted"];
export const isAlive = (link) => ALIVE.includes(link.state);
export const namesOf = (link) => link.model_name ?? link.models.join(", ");
export const notSearched = (problems) => problems.map((problem) => el("p", {}, badge("bad", "not searched"), ` ${problem.message}`));

// `run` is Airflow's, `found` what the ledgers answered, `chosen` the fingerprints that were flagged.
export function outcomeOf(run, found, chosen) {
  const links = found.links.filter((link) => chosen.includes(link.fingerprint));
  const listed = new Set([...links.map((link) => link.fingerprint), ...found.unknown]);
  const outcome = {
    links,
    revoked: links.filter((link) => link.state === "revoked"),
    expired: links.filter((link) => link.state === "expired"),
    alive: links.filter(isAlive),
    unknown: found.unknown.filter((each) => chosen.includes(each)),
    unlisted: chosen.filter((each) => !listed.has(each)),
    problems: found.problems,
    ended: ["success", "failed"].includes(run.state),
    failed: run.state === "failed",
  };
  const settled = links.length === outcome.revoked.length + outcome.expired.length;
  outcome.complete = settled && !outcome.unlisted.length && !outcome.problems.length;
  // A flag of an unknown token is kept once the run has ended: only then is it a tombstone.
  outcome.done = outcome.complete && !outcome.failed && (outcome.ended || !outcome.unknown.length);
  return outcome;
}

export function titleOf(outcome) {
  if (outcome.done) return doneTitle(outcome);
  if (!outcome.ended) return "Revoking …";
  if (outcome.alive.length) return "NOT all are revoked";
  return outcome.complete ? "The run failed" : "NOT all are confirmed";
}

function doneTitle({ revoked, expired, unknown }) {
  if (!expired.length && !unknown.length) return "Revoked, and confirmed by the API";
  return [
    revoked.length ? `${count(revoked.length, "link")} revoked, and confirmed by the API` : null,
    expired.length ? `${count(expired.length, "link")} expired` : null,
    unknown.length ? `${count(unknown.length, "flag")} of no known link, kept as ${unknown.length === 1 ? "a tombstone" : "tombstones"}` : null,
  ].filter(Boolean).join("; ");
}
