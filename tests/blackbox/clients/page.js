// SPDX-License-Identifier: Apache-2.0
// Writes what a browser sees of the gateway into the page, a line each.

const api = `https://api.example.com:${location.port}`;

const lines = {
  async navigation() {
    const [entry] = performance.getEntriesByType("navigation");
    return `${entry.nextHopProtocol} ${entry.responseStatus}`;
  },

  async images() {
    const loads = Array.from({ length: 20 }, (_, number) => load(`dot.svg?${number}`));
    return (await Promise.all(loads)).length;
  },

  async "fetch across origins"() {
    const response = await fetch(`${api}/allowed`, { method: "PUT", headers: { "x-custom": "1" }, body: "hello" });
    const seen = await response.json();
    const custom = JSON.stringify({ "x-custom": seen.headers["x-custom"] });
    const [entry] = performance.getEntriesByName(`${api}/allowed`);
    const exposed = response.headers.get("x-echo-name");
    return `${response.status} ${seen.method} ${custom} ${exposed} ${entry.nextHopProtocol}`;
  },

  // With credentials, as the page itself: a connection of the page may be used.
  async "image of the other host"() {
    await load(`${api}/dot.svg`);
    return "loaded";
  },

  "origin not allowed": () => refused(`${api}/other`, {}),
  "method not allowed": () => refused(`${api}/allowed`, { method: "DELETE" }),

  async upload() {
    const response = await fetch("/upload", { method: "POST", body: new Uint8Array(2 << 20) });
    const seen = await response.json();
    return `${seen.body_bytes} ${seen.protocol}`;
  },

  async websocket() {
    const socket = new WebSocket(`wss://${location.host}/chat`);
    await event(socket, "open");
    socket.send("hello");
    const first = (await event(socket, "message")).data;
    socket.send("x".repeat(70000));
    const second = (await event(socket, "message")).data;
    this.socket = socket;
    return `${first}, large ${second.length}`;
  },

  async "websocket closed"() {
    this.socket.close(1000);
    const { code, wasClean } = await event(this.socket, "close");
    return `${code} ${wasClean}`;
  },

  async protocols() {
    const entries = performance.getEntriesByType("resource").filter((entry) => entry.nextHopProtocol);
    return [...new Set(entries.map((entry) => entry.nextHopProtocol))].join(" ");
  },
};

function load(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = resolve;
    image.onerror = () => reject(new Error(url));
    image.src = url;
  });
}

async function refused(url, options) {
  try {
    return `answered ${(await fetch(url, options)).status}`;
  } catch (error) {
    return error.name;
  }
}

function event(target, name) {
  return new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    if (name !== "close") target.addEventListener("close", () => reject(new Error("closed")), { once: true });
    target.addEventListener("error", () => reject(new Error("error")), { once: true });
  });
}

for (const name of Object.keys(lines)) {
  let line;
  try {
    line = await lines[name]();
  } catch (error) {
    line = `failed: ${error}`;
  }
  document.getElementById("result").append(`${name}=${line}\n`);
}
document.getElementById("wait").remove();
