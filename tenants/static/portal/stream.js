// Live updates: hears which objects changed, and has the parts of the page that show them look again.
// One tab of a browser holds the stream of a tenant, the others hear of it from that one: connections are few.
(() => {
  const body = document.body;
  const address = body.dataset.events;
  if (!address || !window.EventSource || !window.BroadcastChannel) return;

  const LOST = "Live updates are interrupted. This page goes on looking by itself, and catches up when they are back.";
  const SILENCE = 40000;   // signs of life come every 15 seconds
  const PATIENCE = 3000;   // a stream that is back within this time was not worth a word
  const PAUSE = 250;       // between two times that what shows one object looks again
  const LIST_PAUSE = 1000; // the same for what shows all of a kind
  const SLOWLY = 60000;    // between two looks of those that would hear of a change anyway
  const KEPT = 200;        // messages that a new tab may have missed

  const said = document.getElementById("stream");
  const channel = new BroadcastChannel(`naas:${address}`);
  const looked = new WeakMap();
  const recent = [];
  let last = Number(body.dataset.since), start = last;
  let live = false, leading = false, tries = 0, source, watch, again, wording;

  // --- what a change means for this page

  // The first is told at once, what comes soon after it together with the next.
  const lane = (pause) => {
    const due = new Set();
    let flushed = -pause, waiting;
    const flush = () => {
      waiting = undefined;
      flushed = performance.now();
      const names = [...due];
      due.clear();
      for (const name of names) body.dispatchEvent(new CustomEvent(name));
    };
    return (name) => {
      due.add(name);
      waiting ??= setTimeout(flush, Math.max(0, flushed + pause - performance.now()));
    };
  };
  const one = lane(PAUSE), all = lane(LIST_PAUSE);
  const look = (names) => { for (const name of names) (name.includes("-") ? one : all)(name); };
  const follows = (element) => (element.getAttribute("hx-trigger") ?? "").match(/naas:[\w-]+/g) ?? [];
  const everything = () => [...document.querySelectorAll("[hx-trigger*='naas:']")].flatMap(follows);

  const hear = ({ id, kind, pairs }) => {
    if (kind === "resync") look(everything());
    else look(pairs.flatMap(([topic, object]) => [`naas:${topic}`, `naas:${topic}-${object}`]));
    if (id > last || kind === "resync") last = id;
  };

  const set = (now) => {
    clearTimeout(wording);
    live = now;
    body.dataset.stream = now ? "live" : "lost";
    const words = () => { if (said) said.textContent = now ? "" : LOST; };
    if (now) words();
    else wording = setTimeout(words, PATIENCE);
  };

  // What would hear of a change need not ask for one.
  document.addEventListener("htmx:before:request", (event) => {
    const { sourceElement: element, sourceEvent } = event.detail?.ctx ?? {};
    if (!element?.getAttribute || !follows(element).length) return;
    const now = performance.now();
    const often = live && now - (looked.get(element) ?? 0) < SLOWLY;
    if (sourceEvent?.type === "every" && looked.has(element) && often) event.preventDefault();
    else looked.set(element, now);
  });

  // --- the tab that holds the stream

  const tell = (message) => {
    recent.push(message);
    if (recent.length > KEPT) start = recent.shift().id;
    hear(message);
    channel.postMessage({ message });
  };
  const state = (now) => {
    if (body.dataset.stream === (now ? "live" : "lost")) return;
    set(now);
    channel.postMessage({ live: now });
  };
  const alive = (event) => {
    clearTimeout(watch);
    watch = setTimeout(lost, SILENCE);
    const id = Number(event.lastEventId);
    if (id > last) last = id;
    tries = 0;
    state(true);
  };
  const lost = () => {
    source?.close();
    clearTimeout(watch);
    clearTimeout(again);
    state(false);
    again = setTimeout(open, Math.min(30000, 1000 * 2 ** tries++) * (0.5 + Math.random()));
  };
  const open = () => {
    source = new EventSource(`${address}?since=${last}`);
    source.onerror = lost;
    source.addEventListener("beat", alive);
    for (const kind of ["hello", "change", "resync"]) {
      source.addEventListener(kind, (event) => {
        const pairs = JSON.parse(event.data) || [];
        tell({ id: Number(event.lastEventId), kind, pairs });
        alive(event);
      });
    }
  };
  const lead = () => {
    leading = true;
    start = last;
    open();
    return new Promise(() => {});
  };

  channel.onmessage = ({ data }) => {
    if (data.message && !leading) hear(data.message);
    if (data.live !== undefined && !leading) set(data.live);
    if (data.since !== undefined && leading) {
      channel.postMessage({ live });
      if (data.since < start) channel.postMessage({ message: { id: last, kind: "resync", pairs: [] } });
      for (const message of recent) if (message.id > data.since) channel.postMessage({ message });
    }
  };

  body.dataset.stream = "";
  // Where the browser has no locks (plain HTTP), each tab has a stream of its own.
  if (navigator.locks) navigator.locks.request(`naas:${address}`, lead);
  else lead();
  channel.postMessage({ since: last });
  // A page that is left, or kept for "back", holds no stream; one that is shown again asks for what it missed.
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
