// Ctrl-K: the search over any page, by keyboard alone. Its results are those of the search page.
(() => {
  const link = document.querySelector("[data-palette]");
  if (!link) return;
  const dialog = document.createElement("dialog");
  dialog.className = "palette";
  dialog.setAttribute("aria-label", "Search");
  const field = document.createElement("input");
  Object.assign(field, { type: "search", className: "form-control form-control-lg", placeholder: "A name, an id, a page" });
  field.setAttribute("aria-label", "Search");
  field.setAttribute("aria-controls", "palette-hits");
  const hits = document.createElement("div");
  hits.id = "palette-hits";
  hits.className = "list-group list-group-flush";
  hits.setAttribute("aria-live", "polite");
  dialog.append(field, hits);
  document.body.append(dialog);

  let timer, asked = 0;
  const links = () => [...hits.querySelectorAll("a")];
  const choose = (one) => {
    for (const each of links()) each.classList.toggle("active", each === one);
    one?.scrollIntoView({ block: "nearest" });
  };
  const find = async () => {
    const mine = ++asked;
    const answer = await fetch(`${link.href}?q=${encodeURIComponent(field.value)}`).catch(() => null);
    if (!answer?.ok || mine !== asked) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("hits");
    if (!found) return;
    hits.replaceChildren(...[...found.children].map((each) => document.importNode(each, true)));
    choose(links()[0]);
  };
  const open = () => {
    if (dialog.open) return;
    field.value = "";
    dialog.showModal();
    field.focus();
    find();
  };
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(find, 150);
  });
  field.addEventListener("keydown", (event) => {
    const all = links(), at = all.findIndex((each) => each.classList.contains("active"));
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(all[(at + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length]);
    } else if (event.key === "Enter" && all[at]) {
      event.preventDefault();
      location.assign(all[at].href);
    }
  });
})();
