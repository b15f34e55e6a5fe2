// The emulator's Showcase: it draws its picture with the token it has, and speaks the handshake of the vendor's client
// (@matterport/sdk: postmessage.connect, .handshake and .accept with the address of the script that builds the SDK).
const state = document.getElementById("state");
const own = Math.floor(Math.random() * 1e6) + 1e6;
const query = new URLSearchParams(location.search);
let token = (query.get("auth") || "").replace(/^Bearer /, "");

async function draw() {
  let live = false;
  try {
    const answer = await fetch(`picture?m=${encodeURIComponent(query.get("m") || "")}`, {
      headers: { Authorization: `Bearer ${token}` },
      cache: "no-store",
    });
    live = answer.ok;
  } catch {
    return; // the network is away: what is drawn stays
  }
  if (!live && state.textContent === "live") {
    document.body.dataset.breaks = String(Number(document.body.dataset.breaks || 0) + 1);
  }
  state.textContent = live ? "live" : "expired";
  state.className = state.textContent;
}

function take(fresh) {
  if (fresh && fresh !== token) {
    token = fresh;
    document.body.dataset.tokens = String(Number(document.body.dataset.tokens || 0) + 1);
  }
  return draw();
}

addEventListener("message", (event) => {
  const { type, payload, fromId } = event.data || {};
  const say = (kind, content) =>
    event.source.postMessage({ type: kind, payload: content, fromId: own, toId: fromId, timestamp: Date.now() }, event.origin);
  if (type === "postmessage.connect") {
    take(payload.options && payload.options.auth);
    say("postmessage.handshake", {});
    say("postmessage.accept", {
      sourceId: fromId,
      targetId: own,
      targetOrigin: location.origin,
      scriptUrl: new URL("showcase/sdk.js", location.href).href,
      interface: {},
    });
    document.body.dataset.connected = "yes";
  } else if (type === "oauth.token" && event.data.toId === own) {
    take(payload.access_token);
  }
});

setInterval(draw, 250);
