// Says when what a page looks for by itself does not come, and when it comes again.
(() => {
  const OLD = "No answer from the platform: what you see may be old. This page goes on asking.";
  const said = document.getElementById("contact");
  const words = (text) => { if (said && said.textContent !== text) said.textContent = text; };
  // Only what the page asks by itself tells anything: a form says on its own what became of it.
  const own = (event) => event.detail?.ctx?.sourceEvent?.type === "every";

  document.addEventListener("htmx:error", (event) => {
    if (own(event)) words(OLD);
  });
  document.addEventListener("htmx:after:request", (event) => {
    if (own(event)) words(event.detail.ctx.response.status < 500 ? "" : OLD);
  });
})();
