// Requests to this page's own routes and to Airflow's API, with the user's own login.

// `isLost`: no answer came that says what became of the request, which may have been carried out.
export class RequestError extends Error {
  constructor(message, isLost = false) {
    super(message);
    this.isLost = isLost;
  }
}

const AGAIN = "This page tries again.";

async function request(address, options = {}, next = AGAIN) {
  let response;
  let body;
  try {
    response = await fetch(address, { credentials: "same-origin", ...options, signal: AbortSignal.timeout(20000) });
    body = response.ok ? await response.json() : await response.json().catch(() => ({}));
  } catch {
    throw new RequestError(`Airflow cannot be reached. ${next}`, true);
  }
  if (response.ok) return body;
  if (response.status === 401) throw new RequestError("You are not logged in. Reload Airflow and log in.");
  const detail = typeof body.detail === "string" ? body.detail : `Airflow answered with status ${response.status}.`;
  throw new RequestError(response.status === 403 ? `You may not do that: ${detail}` : detail, response.status >= 500);
}

export function read(path, query = new URLSearchParams()) {
  const text = query.toString();
  return request(`api/${path}${text ? `?${text}` : ""}`);
}

function post(address, body, next) {
  const headers = { "Content-Type": "application/json" };
  return request(address, { method: "POST", headers, body: JSON.stringify(body) }, next);
}

// `next` is what happens next, or what to do, if no answer comes.
export const fingerprint = (text, next) => post("api/fingerprint", { text }, next);

export const responseDag = (next) => request("../api/v2/dags/pme_leak_response", {}, next);

export const startResponse = (conf) =>
  post("../api/v2/dags/pme_leak_response/dagRuns", { logical_date: null, conf }, "");

export const responseRun = (runId) =>
  request(`../api/v2/dags/pme_leak_response/dagRuns/${encodeURIComponent(runId)}`);
