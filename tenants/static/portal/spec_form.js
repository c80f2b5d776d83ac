// A form that is checked while it is filled in, by the very code that will take it. Without this script "Check" does it.
(() => {
  const form = document.querySelector("form[data-check]");
  if (!form) return;
  let timer, asked = 0;

  const send = async (act) => {
    const body = new FormData(form);
    body.set("act", act);
    const answer = await fetch(form.action || location.href, { method: "POST", body, headers: { "X-Requested-With": "fetch" } });
    if (answer.redirected || !answer.ok) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  // Only what is said about fields is replaced, never what somebody is typing.
  const check = async () => {
    const mine = ++asked;
    const page = await send("check").catch(() => null);
    if (!page || mine !== asked) return;
    for (const there of page.querySelectorAll("[data-live][id]")) {
      const here = document.getElementById(there.id);
      if (here && here.innerHTML !== there.innerHTML) here.innerHTML = there.innerHTML;
    }
    for (const field of form.querySelectorAll("[aria-describedby]")) {
      const said = document.getElementById(field.getAttribute("aria-describedby"));
      field.classList.toggle("is-invalid", Boolean(said && said.textContent.trim()));
    }
  };

  // What changes which fields there are replaces them all, and leaves the eye where it was.
  const reshape = async (act) => {
    asked += 1;
    clearTimeout(timer);
    const page = await send(act).catch(() => null);
    const next = page && page.querySelector("form[data-check]");
    if (!next) return form.submit();
    const opened = [...form.querySelectorAll("details[open]")].map((details) => details.closest("[id]").id);
    form.innerHTML = next.innerHTML;
    for (const id of opened) {
      const details = document.getElementById(id)?.querySelector("details");
      if (details) details.open = true;
    }
    const [verb, path] = act.split(" ");
    if (verb === "add") {
      const rows = document.getElementById(`f-${path.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "")}`);
      [...(rows?.querySelectorAll("fieldset.group") || [])].pop()?.querySelector("input:not([type=hidden]), select, textarea")?.focus();
    }
  };

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, 500);
  });
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-reload]")) reshape("check");
  });
  form.addEventListener("click", (event) => {
    const fill = event.target.closest("[data-fill]");
    if (fill) {
      const field = document.getElementById(fill.dataset.fill);
      field.value = fill.dataset.value;
      fill.remove();
      field.dispatchEvent(new Event("input", { bubbles: true }));
      return;
    }
    const button = event.target.closest("button[data-act]");
    if (!button) return;
    event.preventDefault();
    reshape(button.value);
  });
  // What is still to be checked is about to be.
  form.addEventListener("submit", () => {
    asked += 1;
    clearTimeout(timer);
  });
  // Enter in a field means to check, not the first button of the form, which may remove something.
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("input")) return;
    event.preventDefault();
    check();
  });
})();
