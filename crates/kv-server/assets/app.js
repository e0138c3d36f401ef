// Small improvements to KubeVision's pages: each of them works without this file, except for copying.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const on = (kind, act) => document.addEventListener(kind, act);

  // What a screen reader should hear goes through one polite region, inside the dialog when there is one.
  const live = document.createElement("p");
  live.className = "sr";
  live.setAttribute("role", "status");
  (document.querySelector("dialog[data-modal]") || document.body).append(live);
  const announce = (place, text, after, seconds) => {
    live.textContent = place.textContent = text;
    clearTimeout(place.timer);
    place.timer = setTimeout(() => { place.replaceChildren(...after); live.textContent = ""; }, seconds * 1000);
  };

  // Times: the reader's zone in the text, the exact time in the title.
  const lang = document.documentElement.lang.replace(/^en$/, "en-GB") || undefined;
  const day = { day: "numeric", month: "short" };
  const date = { ...day, year: "numeric" };
  const minute = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const clock = { ...minute, second: "2-digit", fractionalSecondDigits: 3 };
  const shapes = { date: [date], stamp: [day, clock], full: [date, clock] };
  const words = (when, formats) => formats
    .map((format) => new Intl.DateTimeFormat(lang, format).format(when).replace("Sept ", "Sep "))
    .join(formats[0].year ? ", " : " ");
  const localise = (root) => all("time[datetime]", root).forEach((time) => {
    const when = new Date(time.dateTime);
    if (isNaN(when)) return;
    time.title = words(when, [date, { ...clock, timeZoneName: "short" }]) + "\n" + when.toISOString();
    if (!("relative" in time.dataset)) time.textContent = words(when, shapes[time.dataset.as] || [date, minute]);
  });
  localise(document);

  // Copy buttons appear only here, since only a script can copy.
  all("[data-copy]").forEach((button) => {
    const label = [...button.childNodes];
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.innerText);
      } catch { // over plain http there is no clipboard: copy a selection
        getSelection().selectAllChildren(source);
        if (!document.execCommand("copy")) return; // it stays selected, for Ctrl+C
        getSelection().removeAllRanges();
      }
      announce(button, button.dataset.copied, label, 2);
    });
  });

  // Dialogs the server rendered open become modal. Leaving one is always a link, so Back works.
  all("dialog[open][data-modal]").forEach((dialog) => {
    const leave = () => dialog.querySelector("a[data-cancel]")?.click();
    const outside = ({ target, clientX: x, clientY: y }) => {
      const box = dialog.getBoundingClientRect();
      return target === dialog && (x < box.left || x > box.right || y < box.top || y > box.bottom);
    };
    const typed = () => all("input, textarea", dialog).some((field) => field.value !== field.defaultValue);
    let pressed;
    dialog.open = false;
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); leave(); });
    dialog.addEventListener("close", () => dialog.showModal()); // a second Esc cannot be prevented
    dialog.addEventListener("pointerdown", (event) => { pressed = outside(event); });
    dialog.addEventListener("click", (event) => { if (pressed && outside(event) && !typed()) leave(); });
  });

  // Forms: one press, one request. Empty filters stay out of the address.
  const busy = new Map();
  on("submit", (event) => setTimeout(() => {
    if (event.defaultPrevented) return;
    event.target.setAttribute("aria-busy", "true");
    all("button:not([type=button], :disabled)", event.target).forEach((button) => {
      busy.set(button, [...button.childNodes]);
      button.disabled = true;
      if (button === event.submitter && button.dataset.busy) live.textContent = button.textContent = button.dataset.busy;
    });
  }));
  on("formdata", ({ target, formData }) => {
    if (target.method === "get") [...formData].forEach(([name, value]) => value || formData.delete(name));
  });

  // A secret shown once leaves the page, the history and the back/forward cache with its reader.
  const secrets = all("[data-secret]");
  const next = secrets.map((secret) => secret.dataset.forgetUrl).find(Boolean);
  const forget = () => secrets.forEach((secret) => secret.replaceChildren());
  if (next) history.replaceState(null, "", next);
  addEventListener("pagehide", forget);
  on("click", ({ target }) => { if (target.closest("a[data-forget], button[data-forget]")) forget(); });
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    if (next) location.replace(next);
    busy.forEach((label, button) => {
      button.disabled = false;
      button.replaceChildren(...label);
      button.form.removeAttribute("aria-busy");
    });
    busy.clear();
  });

  // Expiry presets: what the choice means, in the reader's zone.
  const preview = document.querySelector("[data-expiry-preview]");
  if (preview) {
    const { form } = preview.closest("fieldset");
    const show = () => {
      const { expiry: { value }, date: last } = form.elements;
      const end = new Date(value === "date" ? last.value + "T23:59:59Z" : Date.now() + value * 864e5);
      preview.textContent = value === "never" ? preview.dataset.never : isNaN(end) ? preview.dataset.choose
        : words(end, [{ weekday: "long", day: "numeric", month: "long", year: "numeric" }, { ...minute, timeZoneName: "short" }]);
    };
    form.addEventListener("input", show);
    show();
  }

  // Slow facts (is that cluster well?) arrive after the page, four at a time.
  const waiting = all("[data-probe]");
  const probe = async () => {
    for (let place; (place = waiting.shift());) {
      try {
        const answer = await fetch(place.dataset.probe, { headers: { Accept: "text/html" }, redirect: "error" });
        if (!answer.ok) throw answer.status;
        const { body } = new DOMParser().parseFromString(await answer.text(), "text/html");
        place.replaceWith(body.querySelector("[data-found]"));
      } catch {
        place.textContent = place.dataset.failed;
      }
    }
  };
  [1, 2, 3, 4].forEach(probe);

  // A download streams while the page stays: say that it is prepared until its answer has come, which a cookie tells.
  all("a[data-download]").forEach((link) => {
    const status = document.createElement("p");
    status.className = "hint";
    link.parentElement.before(status);
    link.addEventListener("click", () => {
      const id = Math.random().toString(36).slice(2);
      const address = new URL(link.href);
      address.searchParams.set("download", id);
      link.href = address;
      announce(status, link.dataset.download, "", 120);
      const look = setInterval(() => {
        if (document.cookie.includes("__Host-kv_begun=" + id)) {
          document.cookie = "__Host-kv_begun=; Path=/; Secure; Max-Age=0";
          announce(status, link.dataset.begun, "", 20);
        } else if (status.textContent) return;
        clearInterval(look);
      }, 250);
    });
  });
})();
