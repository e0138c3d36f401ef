// Small improvements to KubeVision's pages. Every page works without this file, except for copying.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // What a screen reader should hear goes through one quiet, polite region.
  const live = document.createElement("p");
  live.className = "sr";
  live.setAttribute("role", "status");
  document.body.append(live);
  const say = (text) => { live.textContent = text; };

  // Times: the reader's zone in the text, the exact time in the title.
  const lang = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang || undefined;
  const day = { day: "numeric", month: "short", year: "numeric" };
  const minute = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const clock = { ...minute, second: "2-digit", fractionalSecondDigits: 3 };
  const shapes = {
    date: [day],
    stamp: [{ day: "numeric", month: "short" }, clock],
    full: [day, clock],
    "": [day, minute],
  };
  const write = (date, formats) => formats
    .map((format) => new Intl.DateTimeFormat(lang, format).format(date).replace("Sept", "Sep"))
    .join(formats.length > 1 && formats[0].year ? ", " : " ");
  const localise = (root) => all("time[datetime]", root).forEach((time) => {
    const date = new Date(time.dateTime);
    if (isNaN(date)) return;
    time.title = write(date, [{ ...day, ...clock, weekday: "short", fractionalSecondDigits: undefined, timeZoneName: "short" }])
      + "\n" + date.toISOString().replace("T", " ").replace("Z", " UTC");
    if (!time.hasAttribute("data-relative")) time.textContent = write(date, shapes[time.dataset.as || ""] || shapes[""]);
  });
  localise(document);

  // Copy buttons appear only here, since only a script can copy.
  const copy = async (source) => {
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch { // plain http, or the browser said no: copy the selection instead
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) return false;
      getSelection().removeAllRanges();
    }
    return true;
  };
  all("[data-copy]").forEach((button) => {
    const label = button.textContent;
    let timer;
    button.hidden = false;
    button.addEventListener("click", async () => {
      if (!await copy(document.getElementById(button.dataset.copy))) return;
      button.textContent = button.dataset.copied;
      say(button.dataset.copied);
      clearTimeout(timer);
      timer = setTimeout(() => { button.textContent = label; say(""); }, 2000);
    });
  });

  // Dialogs the server rendered open become modal. Leaving one is always a link, so Back works.
  all("dialog[open][data-modal]").forEach((dialog) => {
    const cancel = dialog.querySelector("a[data-cancel]");
    const leave = () => { if (cancel) location.assign(cancel.href); };
    const touched = () => all("input, textarea", dialog)
      .some((field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked);
    const outside = (event) => {
      const box = dialog.getBoundingClientRect();
      return event.target === dialog && (event.clientX < box.left || event.clientX > box.right
        || event.clientY < box.top || event.clientY > box.bottom);
    };
    let pressed = false;
    dialog.removeAttribute("open");
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); leave(); });
    dialog.addEventListener("close", () => { dialog.showModal(); leave(); });
    dialog.addEventListener("pointerdown", (event) => { pressed = outside(event); });
    dialog.addEventListener("click", (event) => { if (pressed && outside(event) && !touched()) leave(); });
  });

  // Forms: one press, one request. Empty filters stay out of the address.
  const busy = new Map();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    setTimeout(() => {
      if (event.defaultPrevented) return;
      form.setAttribute("aria-busy", "true");
      all("button:not([type=button])", form).concat(event.submitter || []).forEach((button) => {
        if (button.disabled) return;
        busy.set(button, button.textContent);
        button.disabled = true;
        if (button === event.submitter && button.dataset.busy) say(button.textContent = button.dataset.busy);
      });
    });
  });
  document.addEventListener("formdata", (event) => {
    if (event.target.method !== "get") return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  // A secret shown once leaves the page, the history and the back/forward cache with its reader.
  const secrets = all("[data-secret]");
  const next = secrets.map((secret) => secret.dataset.forgetUrl).find(Boolean);
  const forget = () => secrets.forEach((secret) => secret.replaceChildren());
  if (next) history.replaceState(null, "", next);
  if (secrets.length) {
    addEventListener("pagehide", forget);
    document.addEventListener("click", (event) => {
      if (event.target.closest("a[data-forget], button[data-forget]")) forget();
    });
  }
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    if (next) location.replace(next);
    busy.forEach((text, button) => {
      button.disabled = false;
      button.textContent = text;
      button.closest("form")?.removeAttribute("aria-busy");
    });
    busy.clear();
  });

  // Expiry presets: what the choice means, in the reader's zone.
  const preview = document.querySelector("[data-expiry-preview]");
  if (preview) {
    const form = preview.closest("form");
    const show = () => {
      const { expiry, date } = form.elements;
      const end = expiry.value === "date"
        ? new Date(date.value + "T23:59:59Z")
        : new Date(Date.now() + expiry.value * 864e5);
      preview.textContent = expiry.value === "never" ? preview.dataset.never
        : isNaN(end) ? preview.dataset.choose
        : write(end, [{ weekday: "long", day: "numeric", month: "long", year: "numeric" }, minute]);
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
        if (!answer.ok) throw new Error(answer.status);
        const part = new DOMParser().parseFromString(await answer.text(), "text/html").body.firstElementChild;
        localise(part);
        place.replaceWith(document.adoptNode(part));
      } catch {
        place.textContent = place.dataset.failed;
        place.removeAttribute("data-probe");
      }
    }
  };
  for (let i = 0; i < 4; i++) probe();

  // Downloads stream, so the page stays: say that something is happening.
  all("a[data-download]").forEach((link) => {
    const status = document.createElement("span");
    status.className = "hint";
    link.before(status);
    let timer;
    link.addEventListener("click", () => {
      say(status.textContent = link.dataset.download);
      clearTimeout(timer);
      timer = setTimeout(() => { status.textContent = ""; say(""); }, 5000);
    });
  });
})();
