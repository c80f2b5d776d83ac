// The network as a picture. The list beside it says the same and reaches every service by keyboard.
(() => {
  const place = document.getElementById("topology");
  if (!place || typeof cytoscape === "undefined") return;
  for (const part of document.querySelectorAll("[data-needs-script]")) part.hidden = false;

  const KEPT = `naas-topology:${location.pathname}`;
  const read = () => JSON.parse(document.getElementById("picture-data").textContent);
  const kept = () => {
    try { return JSON.parse(localStorage.getItem(KEPT)) || {}; } catch { return {}; }
  };
  const dark = () => document.documentElement.dataset.bsTheme === "dark";
  const tones = () => dark()
    ? { text: "#e5e7eb", ground: "#262626", line: "#a3adbd", chosen: "#c99bf2", healthy: "#4ade80", degraded: "#fbbf24", down: "#f87171", unknown: "#a3adbd" }
    : { text: "#1f2937", ground: "#ffffff", line: "#5b6577", chosen: "#7e22ce", healthy: "#166534", degraded: "#92400e", down: "#b91c1c", unknown: "#5b6577" };

  const elements = (picture) => [
    ...picture.nodes.map((node) => ({
      data: { id: node.id, label: node.label, what: node.what, health: node.health, of: node.of, ...(node.parent ? { parent: node.parent } : {}) },
    })),
    ...picture.edges.map((edge) => ({ data: { id: `${edge.source}>${edge.target}`, source: edge.source, target: edge.target } })),
  ];

  // Health is told by colour and by the border: unbroken is well, dashed is degraded, double is down.
  const sheet = () => {
    const tone = tones(), { text, ground, line } = tone;
    const of = (health, border) => ({ selector: `node[health="${health}"]`, style: { "border-color": tone[health], "border-style": border, "border-width": border === "double" ? 6 : 3 } });
    return [
      { selector: "node", style: { label: "data(label)", color: text, "font-size": 12, "font-family": "system-ui, sans-serif", "text-valign": "bottom", "text-margin-y": 5, "text-wrap": "ellipsis", "text-max-width": 130, "background-color": ground, "border-width": 2, "border-color": line, width: 30, height: 30 } },
      { selector: 'node[what="pop"]', style: { shape: "round-rectangle", "background-opacity": 0.06, "background-color": line, "border-style": "dashed", "border-width": 1, "text-valign": "top", "text-margin-y": -4, "font-weight": "bold", padding: 24 } },
      { selector: 'node[what="segment"]', style: { shape: "round-rectangle", width: 64, height: 10, "background-color": line, "border-width": 0 } },
      { selector: 'node[what="site"]', style: { shape: "cut-rectangle", width: 34, height: 26 } },
      { selector: 'node[what="service"]', style: { shape: "ellipse" } },
      { selector: 'node[what="service"][of="sbc"]', style: { shape: "hexagon", width: 36, height: 32 } },
      { selector: 'node[what="group"]', style: { shape: "round-octagon", width: 60, height: 60, "text-valign": "center", "text-margin-y": 0, "text-wrap": "wrap", "text-max-width": 56, "font-size": 10 } },
      of("healthy", "solid"), of("unknown", "dotted"), of("degraded", "dashed"), of("down", "double"),
      { selector: "edge", style: { width: 2, "line-color": line, "curve-style": "straight", opacity: 0.7 } },
      { selector: "node:selected", style: { "overlay-color": tone.chosen, "overlay-opacity": 0.25, "overlay-padding": 6 } },
    ];
  };

  const cy = cytoscape({ container: place, elements: elements(read()), style: sheet(), minZoom: 0.1, maxZoom: 2.5, layout: { name: "null" } });
  const keep = () => {
    const positions = Object.fromEntries(cy.nodes().filter((node) => !node.isParent()).map((node) => [node.id(), node.position()]));
    try { localStorage.setItem(KEPT, JSON.stringify(positions)); } catch { /* the next visit arranges anew */ }
  };
  const arrange = (anew) => {
    const known = anew ? {} : kept();
    const nodes = cy.nodes().filter((node) => !node.isParent());
    if (nodes.length && nodes.every((node) => known[node.id()])) {
      nodes.positions((node) => known[node.id()]);
      cy.fit(undefined, 30);
      return;
    }
    const fixed = nodes.filter((node) => known[node.id()]).map((node) => ({ nodeId: node.id(), position: known[node.id()] }));
    cy.layout({ name: "fcose", animate: false, randomize: true, quality: "default", nodeSeparation: 90, idealEdgeLength: 70, padding: 30, fixedNodeConstraint: fixed.length ? fixed : undefined }).run();
    cy.fit(undefined, 30);
    keep();
  };
  arrange(false);
  cy.on("dragfree", "node", keep);
  new ResizeObserver(() => { cy.resize(); cy.fit(undefined, 30); }).observe(place);

  const show = async (link) => {
    const answer = await fetch(link.dataset.drawer, { headers: { "X-Requested-With": "fetch" } });
    if (!answer.ok || answer.redirected) return location.assign(link.href);
    const chosen = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("chosen");
    if (chosen) document.getElementById("drawer").replaceChildren(document.importNode(chosen, true));
  };
  const links = () => [...document.querySelectorAll("[data-node]")];
  cy.on("tap", "node", (event) => {
    const link = links().find((each) => each.dataset.node === event.target.id());
    if (link) show(link);
    else if (event.target.data("what") === "group") location.assign(`${location.pathname}services/?kind=${event.target.data("of")}&pop=${event.target.data("parent").replace(/^pop-/, "")}`);
  });
  document.getElementById("services").addEventListener("click", (event) => {
    const link = event.target.closest("[data-node]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    cy.elements().unselect();
    const node = cy.getElementById(link.dataset.node);
    if (node.length) { node.select(); cy.animate({ center: { eles: node } }, { duration: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 200 }); }
    show(link);
  });

  document.querySelector("[data-fit]").addEventListener("click", () => cy.fit(undefined, 30));
  document.querySelector("[data-arrange]").addEventListener("click", () => arrange(true));
  for (const field of document.querySelectorAll("[data-narrow]")) {
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase();
      for (const link of document.querySelectorAll(`${field.dataset.narrow} > a`)) link.classList.toggle("d-none", !link.textContent.toLowerCase().includes(words));
    });
  }

  // What the server says anew: other health is another colour; another network is drawn again, what stood stays.
  new MutationObserver(() => {
    const data = document.getElementById("picture-data");
    if (!data) return;
    const picture = read();
    const ids = new Set(picture.nodes.map((node) => node.id));
    const same = ids.size === cy.nodes().length && cy.nodes().every((node) => ids.has(node.id())) && picture.edges.length === cy.edges().length;
    if (same) {
      for (const node of picture.nodes) cy.getElementById(node.id).data({ health: node.health, label: node.label });
    } else {
      keep();
      cy.elements().remove();
      cy.add(elements(picture));
      arrange(false);
    }
  }).observe(document.getElementById("healths").parentElement, { childList: true, subtree: true, characterData: true });
  new MutationObserver(() => cy.style(sheet())).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
  place.dataset.ready = "";
})();
