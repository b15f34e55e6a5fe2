// Keeps an embedded private space open beyond the life of a single link.
//
//   <iframe data-pme-source="link.json" data-pme-sdk="/sdk/index.esm.js" data-pme-sdk-key="…" src="…" title="…"
//           referrerpolicy="no-referrer"></iframe>
//   <script type="module" src="pme-embed.js"></script>
//
// data-pme-source   where the current link is read: a published link.json, or an endpoint such as pme_airflow.refresh.
//                   It returns {access_token, link, valid_until} or {access_token, link, expires_in}: the token of one
//                   model, never the application token.
// data-pme-sdk      the vendor's SDK for Embeds as a module, hosted by you. With it the open Showcase gets each new
//                   token without an interruption; without it the iframe is reloaded when it has to be.
// data-pme-sdk-key  your SDK key. It is added to the iframe's address and to the SDK's, as the vendor's Embed SDK asks.
// data-pme-hosts    the hosts whose links are shown, with spaces between; their subdomains count too. matterport.com by
//                   default. A link must be https; http is accepted for this machine, on a page of this machine.
// data-pme-watch    seconds between two requests to the source; 60 by default. A replaced link is revoked after a grace
//                   period of 15 minutes, and a leaked one at once, whatever its validity.
//
// data-pme-params   Showcase parameters (play=1&lang=de) of an iframe that has no address of its own yet.
//
// Showcase parameters of the iframe's own address (play=1, lang=de, …) are kept when its link is replaced.
//
// Elements next to the iframe, or one in the page, that have data-pme-status are shown while the space is not:
// data-pme-status="denied" where the source refuses the visitor (401 or 403), any other in all other cases.
//
// Every step is an event on the iframe: pme:connected, pme:renewed, pme:reloaded, pme:failed.

const RELOAD_MARGIN = 60; // without the SDK, reload at the latest this many seconds before the link ends
const RELOAD_DELAY = 600; // without the SDK, reload a replaced link this many seconds after it was last read as current
const RETRY_DELAYS = [1, 2, 4, 8, 15]; // seconds between requests to a source that does not answer
const READ_TIMEOUT = 20; // seconds; a request to the source that takes longer is given up
const MAX_LIFE = 86400; // seconds; no link lives longer
const HOSTS = ["matterport.com"];
const DENIED_WATCH = 300; // seconds between requests to a source that refuses the visitor
const REFUSALS = [401, 403]; // statuses with which a source refuses a visitor
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/**
 * Returns a function that returns the seconds since now. In sleep performance.now() stands still, and the visitor's clock
 * may be set back: the one that moved further counts.
 */
function stopwatch() {
  const [date, steady] = [Date.now(), performance.now()];
  return () => Math.max(Date.now() - date, performance.now() - steady) / 1000;
}

const onThisMachine = () => location.protocol === "file:" || LOOPBACK.test(location.hostname);

/** Returns the URL of an address that is https, or plain http on this machine; undefined for any other scheme. */
function secureUrl(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return undefined;
  }
  const local = url.protocol === "http:" && LOOPBACK.test(url.hostname) && onThisMachine();
  const secure = url.protocol === "https:" || local;
  return secure && !url.username && !url.password ? url : undefined;
}

/** Returns a link that may be shown in an iframe; undefined for one of another scheme or host. */
export function safeLink(link, hosts = HOSTS) {
  const url = secureUrl(link);
  const ofHost = (host) => host && (url.host === host || `.${url.hostname}`.endsWith(`.${host}`));
  const known = url && (hosts.some(ofHost) || (LOOPBACK.test(url.hostname) && onThisMachine()));
  return known ? url.href : undefined;
}

/** Returns an address that may be read from, or loaded as a module: of the page's own server, or https. */
function safeAddress(address) {
  const url = new URL(address, document.baseURI);
  const own = url.protocol.startsWith("http") && url.origin === location.origin;
  if (own || secureUrl(url.href)) return url.href;
  throw new Error("the address is neither of this server nor https");
}

const KEY = "applicationKey";

/** Returns the parameters of an address as they are written, by name. */
function parametersOf(address) {
  const query = address.split("#")[0].split("?").slice(1).join("?");
  return query.split("&").filter(Boolean).map((pair) => [pair.split("=")[0], pair]);
}

/** Returns an address with parameters that it does not have yet. */
function withParameters(address, pairs) {
  const known = new Set(parametersOf(address).map(([name]) => name));
  const added = pairs.filter(([name]) => !known.has(name)).map(([, pair]) => pair);
  const [rest, ...fragment] = address.split("#");
  const joined = added.length ? `${rest}${rest.includes("?") ? "&" : "?"}${added.join("&")}` : rest;
  return [joined, ...fragment].join("#");
}

/** Requests a source; returns the response and its body. */
async function read(address) {
  const timeout = new AbortController(); // older browsers have no AbortSignal.timeout()
  const timer = setTimeout(() => timeout.abort(new Error("the source did not answer in time")), READ_TIMEOUT * 1000);
  const options = { cache: "no-store", credentials: "same-origin", referrerPolicy: "no-referrer", signal: timeout.signal };
  try {
    const response = await fetch(address, options);
    const { status } = response;
    if (!response.ok) throw Object.assign(new Error(`the source answered ${status}`), { status });
    return { response, body: await response.json() };
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the current link from its source; what is left of it is measured by the source's own clock. */
export async function readLink(source, hosts = HOSTS) {
  const address = safeAddress(source);
  const age = stopwatch(); // from before the request: a tab may be frozen until it takes the response
  const { response, body } = await read(address);
  if (typeof body.access_token !== "string" || typeof body.link !== "string") {
    throw new Error("the source returned no link");
  }
  const link = safeLink(body.link, hosts);
  if (!link) throw new Error("the source returned a link of another scheme or host");
  const now = Date.parse(response.headers.get("Date") || "") || Date.now();
  const lifetime = typeof body.expires_in === "number" ? body.expires_in : (Date.parse(body.valid_until) - now) / 1000;
  if (!(lifetime > 0)) throw new Error("the source's link has ended");
  return { token: body.access_token, link, age, lifetime: Math.min(lifetime, MAX_LIFE) };
}

/**
 * Loads an address in an iframe. The iframe is out of the document meanwhile, so that the browser adds no entry to the
 * history: Back would lead to a link that has ended. In fullscreen it stays, since it would leave fullscreen.
 */
function navigate(iframe, address) {
  const { parentNode, nextSibling } = iframe;
  if (!parentNode || iframe.matches(":fullscreen")) {
    iframe.src = address;
    return;
  }
  const focused = iframe.getRootNode().activeElement === iframe;
  iframe.remove();
  iframe.src = address;
  parentNode.insertBefore(iframe, nextSibling);
  if (focused) iframe.focus({ preventScroll: true });
}

/** Keeps one iframe's space open. Returns a function that stops it. */
export function keepOpen(iframe, { source, sdk, key = "", watch = 60, hosts = HOSTS, params = "" } = {}) {
  const emit = (name, detail = {}) => iframe.dispatchEvent(new CustomEvent(`pme:${name}`, { bubbles: true, detail }));
  const left = (link) => Math.max(1, link.lifetime - link.age());
  let current; // the link the iframe shows, as it was last read
  let replacedFor; // for how long a newer link may be there that the iframe does not show: from the last read of its own
  let showcase; // the connected SDK
  let refresher; // the SDK's token refresher, whose timer runs until it is disposed of
  let stopped = false;
  let reading = false;
  let denied; // the source refused the visitor; it is asked less often, and when they come back to the page

  const withKey = (address) => (key ? withParameters(address, [[KEY, `${KEY}=${encodeURIComponent(key)}`]]) : address);
  const own = [...parametersOf(safeLink(iframe.src, hosts) || ""), ...parametersOf(`?${params}`)];
  const looks = own.filter(([name]) => !["m", "model", "auth"].includes(name));
  const shown = (link) => withKey(withParameters(link.link, looks));
  const showsKey = () => !key || !sdk || parametersOf(iframe.src).some(([name]) => name === KEY);

  const info = (link) => ({ access_token: link.token, expires_in: Math.floor(left(link)) });

  const fetcher = {
    // Called by the SDK before a token ends; waits until the source has another one.
    async fetch(old = current.token) {
      for (let tries = 0; !stopped; tries += 1) {
        try {
          const link = await readLink(source, hosts);
          if (link.token !== old) {
            current = link;
            emit("renewed", { by: "sdk" });
            return info(link);
          }
        } catch (error) {
          if (left(current) <= 1) {
            emit("failed", { reason: error.message });
            throw error;
          }
        }
        await pause(RETRY_DELAYS[Math.min(tries, RETRY_DELAYS.length - 1)]);
      }
      throw new Error("the page keeps this space open no longer");
    },
  };

  function endRefresher() {
    const former = refresher;
    refresher = undefined;
    try {
      former?.dispose?.();
    } catch {
      // its Showcase has gone
    }
  }

  function renewTokens(client, link) {
    endRefresher();
    refresher = client.OAuth.createTokenRefresher(info(link), fetcher);
  }

  async function connect() {
    const module = await import(withKey(safeAddress(sdk)));
    const options = { auth: current.token };
    const client = module.connect
      ? await module.connect(iframe, options)
      : await (module.setupSdk || module.default)(key, { iframe, connectOptions: options });
    if (stopped || current.token !== options.auth) return; // the iframe was loaded anew meanwhile
    renewTokens(client, current);
    showcase = client;
    emit("connected");
  }

  /** Gives the open Showcase a link. Returns whether the SDK took it. */
  function pass(link) {
    try {
      renewTokens(showcase, link);
    } catch {
      return false;
    }
    current = link;
    emit("renewed", { by: "watch" });
    return true;
  }

  function reload(link) {
    current = link;
    replacedFor = undefined;
    showcase = undefined;
    endRefresher();
    navigate(iframe, shown(link));
    emit("reloaded");
    if (sdk) connect().catch((error) => emit("failed", { reason: error.message }));
  }

  function take(link) {
    denied = undefined;
    if (current && link.token === current.token) {
      current = link;
      return;
    }
    if (!current) {
      current = link;
      if (!iframe.src || !iframe.src.includes(link.token) || !showsKey()) return reload(link);
      if (sdk) connect().catch((error) => emit("failed", { reason: error.message }));
      return;
    }
    if (showcase) {
      if (!pass(link)) reload(link);
      return;
    }
    replacedFor ??= current.age;
    if (document.hidden || left(current) < RELOAD_MARGIN || replacedFor() > RELOAD_DELAY) reload(link);
  }

  async function check() {
    if (reading || stopped) return;
    reading = true;
    try {
      const link = await readLink(source, hosts);
      if (!stopped) take(link);
    } catch (error) {
      denied = REFUSALS.includes(error.status) ? { error, age: stopwatch() } : undefined;
      reportUnlessShown(error);
    } finally {
      reading = false;
    }
  }

  function reportUnlessShown(error) {
    if (!current || left(current) < RELOAD_MARGIN) emit("failed", { reason: error.message, status: error.status });
  }

  function checkInTurn() {
    if (!denied || denied.age() >= DENIED_WATCH) check();
    else if (current) reportUnlessShown(denied.error);
  }

  const checkIfVisible = () => document.hidden || check();
  const timer = setInterval(checkInTurn, Math.max(1, watch) * 1000);
  const events = [[document, "visibilitychange"], [window, "online"], [window, "pageshow"], [window, "focus"]];
  events.forEach(([where, name]) => where.addEventListener(name, checkIfVisible));
  if (iframe.src && iframe.src !== "about:blank" && !safeLink(iframe.src, hosts)) {
    iframe.removeAttribute("src");
    emit("failed", { reason: "the iframe's address is of another scheme or host" });
  }
  check();

  return () => {
    stopped = true;
    endRefresher();
    clearInterval(timer);
    events.forEach(([where, name]) => where.removeEventListener(name, checkIfVisible));
  };
}

/** Shows one of the elements with data-pme-status that belong to an iframe, or none. */
function showStatus(iframe, failure) {
  const near = iframe.parentElement?.querySelectorAll("[data-pme-status]") ?? [];
  const notices = near.length ? [...near] : [...document.querySelectorAll("[data-pme-status]")].slice(0, 1);
  const forDenied = (notice) => notice.dataset.pmeStatus === "denied";
  const denied = REFUSALS.includes(failure?.status) && notices.some(forDenied);
  notices.forEach((notice) => {
    notice.hidden = !failure || forDenied(notice) !== denied;
  });
  if (near.length) iframe.hidden = Boolean(failure && !iframe.src);
}

/** Keeps the space of an iframe with data-pme-source open. Returns a function that stops it. */
export function start(iframe) {
  const { pmeSource: source, pmeSdk: sdk, pmeSdkKey: key, pmeWatch: watch, pmeHosts, pmeParams: params } = iframe.dataset;
  const hosts = pmeHosts ? pmeHosts.split(/\s+/) : HOSTS;
  iframe.addEventListener("pme:failed", (event) => showStatus(iframe, event.detail));
  ["pme:renewed", "pme:connected", "pme:reloaded"].forEach((name) =>
    iframe.addEventListener(name, () => showStatus(iframe)),
  );
  return keepOpen(iframe, { source, sdk, key, watch: Number(watch) || 60, hosts, params });
}

document.querySelectorAll("iframe[data-pme-source]").forEach(start);
