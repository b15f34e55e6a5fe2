// Keeps an embedded private space open for longer than one of its links lives.
//
//   <iframe data-pme-source="link.json" data-pme-sdk="/sdk/index.esm.js" data-pme-sdk-key="…" src="…" title="…"
//           referrerpolicy="no-referrer"></iframe>
//   <script type="module" src="pme-embed.js"></script>
//
// data-pme-source   where the live link is read: a published link.json, or an endpoint such as pme_airflow.refresh. It
//                   answers {access_token, link, valid_until} or {access_token, link, expires_in}: the token of one
//                   model, never the application's.
// data-pme-sdk      the vendor's SDK for Embeds as a module, hosted by you. With it a fresh token is handed to the open
//                   Showcase, and the visitor notices nothing; without it the iframe is loaded anew when it must be.
// data-pme-sdk-key  your SDK key.
// data-pme-watch    seconds between two looks at the source, 60 unless said otherwise. A replaced link is revoked after
//                   15 minutes of grace, a leaked one at once, whatever its validity says.
//
// Every step is told as an event on the iframe: pme:connected, pme:renewed, pme:reloaded, pme:failed.

const MARGIN = 60; // seconds before its end at which a link without SDK is replaced at the latest
const PATIENCE = 600; // seconds a visitor without SDK is left undisturbed by a link that was only replaced
const AGAIN = [1, 2, 4, 8, 15]; // seconds between tries of a source that does not answer

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/** The live link as its source tells it, with the seconds it has left by the source's own clock. */
export async function readLink(source) {
  const answer = await fetch(source, { cache: "no-store", credentials: "same-origin", referrerPolicy: "no-referrer" });
  if (!answer.ok) throw new Error(`the source answered ${answer.status}`);
  const said = await answer.json();
  if (typeof said.access_token !== "string" || typeof said.link !== "string") {
    throw new Error("the source told no link");
  }
  const now = Date.parse(answer.headers.get("Date") || "") || Date.now();
  const left = typeof said.expires_in === "number" ? said.expires_in : (Date.parse(said.valid_until) - now) / 1000;
  if (!(left > 0)) throw new Error("the source's link has ended");
  return { token: said.access_token, link: said.link, ends: performance.now() / 1000 + left };
}

/** Keeps one iframe's space open. Returns a function that stops it. */
export function keepOpen(iframe, { source, sdk, key = "", watch = 60 } = {}) {
  const tell = (name, detail = {}) => iframe.dispatchEvent(new CustomEvent(`pme:${name}`, { bubbles: true, detail }));
  const left = (link) => Math.max(1, link.ends - performance.now() / 1000);
  let current; // the link the iframe shows
  let replacedSince; // when a newer link was first seen that the iframe does not show yet
  let showcase; // the connected SDK
  let stopped = false;
  let looking;

  const info = (link) => ({ access_token: link.token, expires_in: Math.floor(left(link)) });

  const fetcher = {
    // Asked by the SDK before a token ends: it waits here until the source has another one.
    async fetch(old = current.token) {
      for (let tries = 0; ; tries += 1) {
        try {
          const link = await readLink(source);
          if (link.token !== old) {
            current = link;
            tell("renewed", { by: "sdk" });
            return info(link);
          }
        } catch (error) {
          if (left(current) <= 1) {
            tell("failed", { reason: error.message });
            throw error;
          }
        }
        await pause(AGAIN[Math.min(tries, AGAIN.length - 1)]);
      }
    },
  };

  async function connect() {
    const module = await import(new URL(sdk, document.baseURI).href);
    const options = { auth: current.token };
    const client = module.connect
      ? await module.connect(iframe, options)
      : await (module.setupSdk || module.default)(key, { iframe, connectOptions: options });
    client.OAuth.createTokenRefresher(info(current), fetcher);
    showcase = client;
    tell("connected");
  }

  function reload(link) {
    current = link;
    replacedSince = undefined;
    showcase = undefined;
    iframe.src = link.link;
    tell("reloaded");
    if (sdk) connect().catch((error) => tell("failed", { reason: error.message }));
  }

  function take(link) {
    if (current && link.token === current.token) return;
    if (!current) {
      current = link;
      if (!iframe.src || !iframe.src.includes(link.token)) return reload(link);
      if (sdk) connect().catch((error) => tell("failed", { reason: error.message }));
      return;
    }
    if (showcase) {
      current = link;
      showcase.OAuth.createTokenRefresher(info(link), fetcher);
      tell("renewed", { by: "watch" });
      return;
    }
    replacedSince ??= performance.now() / 1000;
    const waited = performance.now() / 1000 - replacedSince;
    if (document.hidden || left(current) < MARGIN || waited > PATIENCE) reload(link);
  }

  async function look() {
    if (looking || stopped) return looking;
    looking = readLink(source).then(take, (error) => {
      if (!current || left(current) < MARGIN) tell("failed", { reason: error.message });
    });
    await looking;
    looking = undefined;
  }

  const woken = () => document.hidden || look();
  const timer = setInterval(look, watch * 1000);
  const moments = [[document, "visibilitychange"], [window, "online"], [window, "pageshow"], [window, "focus"]];
  moments.forEach(([where, name]) => where.addEventListener(name, woken));
  look();

  return () => {
    stopped = true;
    clearInterval(timer);
    moments.forEach(([where, name]) => where.removeEventListener(name, woken));
  };
}

document.querySelectorAll("iframe[data-pme-source]").forEach((iframe) => {
  const { pmeSource: source, pmeSdk: sdk, pmeSdkKey: key, pmeWatch: watch } = iframe.dataset;
  keepOpen(iframe, { source, sdk, key, watch: Number(watch) || 60 });
  const status = document.querySelector("[data-pme-status]");
  iframe.addEventListener("pme:failed", () => status && (status.hidden = false));
  ["pme:renewed", "pme:connected", "pme:reloaded"].forEach((name) =>
    iframe.addEventListener(name, () => status && (status.hidden = true)),
  );
});
