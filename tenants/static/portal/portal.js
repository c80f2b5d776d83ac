// What every page does: moments stay true, choices submit their form.
(() => {
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

  // As `tenants.templatetags.portal.distance` writes it.
  const distance = (at) => {
    const seconds = (Date.now() - Date.parse(at)) / 1000;
    const size = Math.abs(seconds);
    const [unit, length] = UNITS.find(([name, length]) => size >= length || name === "s");
    const said = `${Math.floor(size / length)} ${unit}`;
    return seconds >= 0 ? `${said} ago` : `in ${said}`;
  };

  setInterval(() => {
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const text = distance(time.dateTime);
      if (time.textContent !== text) time.textContent = text;
    }
  }, 1000);

  // The tab that one is on may be beyond the edge.
  const tab = document.querySelector(".tabs [aria-current]");
  if (tab) tab.closest(".tabs").scrollLeft = tab.offsetLeft - 48;

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  // An empty field narrows nothing, and needs not stand in the address.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "get") return;
    for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  });
})();
