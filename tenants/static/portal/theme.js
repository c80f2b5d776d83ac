// Dark or light, before anything is painted: what was chosen here, otherwise what the system says.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    const chosen = localStorage.getItem("theme");
    document.documentElement.dataset.bsTheme = chosen || (system.matches ? "dark" : "light");
  };
  system.addEventListener("change", show);
  addEventListener("storage", show);
  addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const dark = document.documentElement.dataset.bsTheme === "dark";
    localStorage.setItem("theme", dark ? "light" : "dark");
    show();
    dispatchEvent(new Event("naas:theme"));
  });
  show();
})();
