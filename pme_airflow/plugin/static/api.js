// Requests to this page's own routes and to Airflow's API, with the user's own login.

export class RequestError extends Error {}

async function request(address, options) {
  let response;
  try {
    response = await fetch(address, { credentials: "same-origin", ...options, signal: AbortSignal.timeout(20000) });
  } catch {
    throw new RequestError("Airflow cannot be reached. This page tries again.");
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  if (response.status === 401) throw new RequestError("You are not logged in. Reload Airflow and log in.");
  const detail = typeof body.detail === "string" ? body.detail : `Airflow answered with status ${response.status}.`;
  throw new RequestError(response.status === 403 ? `You may not do that: ${detail}` : detail);
}

export function read(path, query = new URLSearchParams()) {
  const text = query.toString();
  return request(`api/${path}${text ? `?${text}` : ""}`, {});
}

function post(address, body) {
  return request(address, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
}

export const fingerprint = (text) => post("api/fingerprint", { text });

export const responseDag = () => request("../api/v2/dags/pme_leak_response", {});

export const startResponse = (conf) =>
  post("../api/v2/dags/pme_leak_response/dagRuns", { logical_date: null, conf });

export const responseRun = (runId) =>
  request(`../api/v2/dags/pme_leak_response/dagRuns/${encodeURIComponent(runId)}`, {});
